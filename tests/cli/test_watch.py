"""`discovery watch`, run as its users run it."""

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul

from .command import Running, started


def names(backends: list[dict[str, Any]]) -> list[str]:
    return sorted(backend["pod"]["name"] for backend in backends)


async def read(running: Running) -> dict[str, Any]:
    """The next change."""
    change = json.loads(await running.line())
    assert list(change) == ["at", "added", "removed", "updated", "ready"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(change["at"])) < timedelta(minutes=1)
    assert isinstance(change, dict)
    return change


async def test_each_line_of_json_is_a_change_and_they_add_up_to_what_is_there(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", replicas=2, grace=0)
    async with started("watch", "web:http", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig) as running:
        first = await read(running)
        assert (names(first["added"]), first["removed"], first["ready"]) == (sorted(p.name for p in web.pods), [], 2)
        await web.scale(4)
        there = {backend["pod"]["name"] for backend in first["added"]}
        while len(there) < 4:
            change = await read(running)
            there.update(names(change["added"]))
            assert change["ready"] == len(there)
        assert there == {pod.name for pod in web.pods}
        await web.scale(1)
        while len(there) > 1:
            change = await read(running)
            there.difference_update(names(change["removed"]))
            assert change["ready"] == len(there)
        assert there == {pod.name for pod in web.pods}


async def test_what_stays_but_differs_is_updated(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    (pod,) = web.pods
    async with started("watch", "web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig) as running:
        await read(running)
        pod.node = "node-9"
        web.set_ready(pod, True)
        change = await read(running)
        assert (change["added"], change["removed"], change["updated"][0]["node"]) == ([], [], "node-9")


async def test_a_service_that_has_nothing_ready_is_watched_until_it_has(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    web.set_ready(web.pods[0], False)
    async with started("watch", "web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig) as running:
        first = await read(running)
        assert (first["added"], first["ready"]) == ([], 0)
        web.set_ready(web.pods[0], True)
        second = await read(running)
        assert (names(second["added"]), second["ready"]) == ([web.pods[0].name], 1)


async def test_in_a_file_a_line_tells_of_each_backend(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    (pod,) = web.pods
    async with started("watch", "web", "--kubeconfig", fake_cluster.kubeconfig) as running:
        at, *rest = (await running.line()).split()
        assert datetime.fromisoformat(at).tzinfo is not None
        assert rest == ["+", f"{pod.address}:{pod.port}", "ready", pod.name]
        pod.name = "\x1b[2Jweb"
        web.set_ready(pod, True)
        assert (await running.line()).split()[1:] == ["~", f"{pod.address}:{pod.port}", "ready", "\ufffd[2Jweb"]
        web.set_ready(pod, False)
        assert (await running.line()).split()[1:3] == ["-", f"{pod.address}:{pod.port}"]


@pytest.mark.parametrize("output", ["table", "json"])
async def test_an_interrupt_ends_it_quietly(fake_cluster: FakeCluster, output: str) -> None:
    await fake_cluster.deploy("web")
    async with started("watch", "web", "--output", output, "--kubeconfig", fake_cluster.kubeconfig) as running:
        assert await running.line()
        running.process.send_signal(signal.SIGINT)
        ran = await running.end()
    assert (ran.code, ran.out, ran.err) == (130, "", "")


async def test_an_interrupt_ends_it_while_the_first_answer_is_awaited(fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.stall()
    asked = asyncio.Event()
    fake_cluster.on_request(lambda _: asked.set())
    async with started("watch", "web", "--kubeconfig", fake_cluster.kubeconfig) as running:
        await asyncio.wait_for(asked.wait(), 30)
        running.process.send_signal(signal.SIGINT)
        ran = await running.end()
    assert (ran.code, ran.out, ran.err) == (130, "", "")


async def test_a_pipe_that_is_closed_ends_it_quietly(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    async with started("watch", "web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig) as running:
        assert await running.line()
        assert running.process.stdout is not None
        running.process.stdout._transport.close()  # type: ignore[attr-defined]
        for replicas in (2, 3):  # what is written first may be before the pipe's end is seen
            await web.scale(replicas)
        ran = await running.end()
    assert (ran.code, ran.err) == (0, "")


async def test_a_lost_api_server_is_told_of_once_and_what_is_known_stays(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    async with started("watch", "web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig) as running:
        assert (await read(running))["ready"] == 1
        await fake_cluster.stop_api()
        assert "cannot be reached" in await running.warned()
        await fake_cluster.start_api()
        assert "can be read again" in await running.warned()
        await web.scale(2)
        assert (await read(running))["ready"] == 2


async def test_a_lost_consul_is_told_of_once_and_what_is_known_stays() -> None:
    async with FakeConsul() as consul:
        consul.register(node="db-1", address="10.0.0.7", service="db", port=5432, status="passing")
        async with started("watch", "consul://db", "--output", "json", "--consul", consul.url) as running:
            assert (await read(running))["ready"] == 1
            await consul.stop()
            assert "cannot be reached" in await running.warned()
            consul.register(node="db-2", address="10.0.0.8", service="db", port=5432, status="passing")
            await consul.start()
            assert await running.warned() == "discovery: consul://db can be read again\n"
            assert (await read(running))["ready"] == 2


async def test_what_is_only_empty_is_waited_for(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("other")
    arguments = ("watch", "pods://default/app=web:http", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    async with started(*arguments) as running:
        assert "no pod in the namespace default matches app=web" in await running.warned()
        assert (await read(running))["ready"] == 0
        await fake_cluster.deploy("web")
        while (await read(running))["ready"] != 1:
            pass


async def test_another_cause_is_told_where_it_is_lost_for_long(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    async with started("watch", "web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig) as running:
        assert (await read(running))["ready"] == 1
        fake_cluster.faults.deny("endpointslices")
        fake_cluster.faults.cut()
        while "does not allow us to" not in (said := await running.warned()):
            assert "cannot be reached" in said
