"""`discovery sync` for as long as it is let: it follows the cluster, answers its probes, and ends in good order."""

import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import attrs
import pytest

from discovery.testing import Deployment, FakeCluster
from discovery.testing.consul import FakeConsul

from ..until import until
from .command import LONGEST, Running, run, started


@attrs.frozen
class Scene:
    """Both ends, and a Service that is registered."""

    cluster: FakeCluster
    consul: FakeConsul
    web: Deployment

    @property
    def arguments(self) -> tuple[object, ...]:
        return (
            *("sync", "--owner", "prod", "--consul", self.consul.url, "--address-types", "InternalIP"),
            *("--kubeconfig", self.cluster.kubeconfig, "--debounce", "0.01"),
        )

    @asynccontextmanager
    async def syncing(self, *arguments: object) -> AsyncIterator[Running]:
        """A bridge that has registered what there is."""
        async with started(*self.arguments, *arguments) as running:
            await until(self.passing, LONGEST)
            yield running

    def passing(self) -> int:
        return sum(
            check["Status"] == "passing"
            for one in self.consul.instances("web")
            for check in one["Checks"]
            if check["ServiceID"]
        )

    @property
    def sessions(self) -> int:
        return len(self.consul.dump()["sessions"])


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with FakeCluster() as cluster, FakeConsul(session_ttl_min=0.1) as consul:
        yield Scene(cluster, consul, await cluster.deploy("web", kind="NodePort", replicas=2))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_it_follows_the_cluster(scene: Scene) -> None:
    async with scene.syncing():
        assert scene.passing() == 2
        await scene.web.scale(3)
        await until(lambda: scene.passing() == 3, LONGEST)
        scene.cluster.delete("services", "web")
        await until(lambda: "web" not in scene.consul.services(), LONGEST)


async def test_it_tells_what_it_does_and_at_the_end_that_it_leads_no_more(scene: Scene) -> None:
    told = {}
    async with scene.syncing("--log-json") as running:
        while "bridge.wrote" not in told:
            one = json.loads(await running.warned())
            told[one["event"]] = one
        running.process.terminate()
        ran = await running.end()
    assert told.keys() == {"leader.gained", "bridge.synced", "bridge.wrote"}
    assert told["bridge.wrote"]["data"] == {"register": 2}
    assert told["bridge.synced"]["subject"] == "prod"
    assert "leader.released" in [json.loads(line)["event"] for line in ran.err.splitlines()]


async def test_its_lines_are_for_people_unless_json_is_asked_for(scene: Scene) -> None:
    async with scene.syncing() as running:
        while " bridge.wrote " not in (line := await running.warned()):
            pass
    assert line.endswith(" INFO bridge.wrote prod register=2\n")


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_told_to_end_it_gives_up_the_lock_and_keeps_what_is_registered(
    scene: Scene, told: signal.Signals, code: int
) -> None:
    async with scene.syncing() as running:
        assert scene.sessions == 1
        running.process.send_signal(told)
        ran = await running.end()
    assert (ran.code, ran.out) == (code, "")
    assert "Traceback" not in ran.err
    assert scene.sessions == 0
    assert scene.passing() == 2


async def test_an_end_that_is_to_deregister_does_so_first(scene: Scene) -> None:
    scene.consul.register(node="db-1", address="10.0.0.7", service="db", port=5432)
    async with scene.syncing("--shutdown", "deregister") as running:
        running.process.terminate()
        assert (await running.end()).code == 0
    assert {*scene.consul.services()} == {"consul", "db"}


async def test_one_that_is_told_to_end_while_it_waits_for_its_pass_is_interrupted(scene: Scene) -> None:
    scene.cluster.faults.stall()
    async with started(*scene.arguments, "--once") as running:
        await until(lambda: scene.cluster.requests, LONGEST)
        running.process.terminate()
        ran = await running.end()
    assert (ran.code, ran.out) == (130, "")
    assert "Traceback" not in ran.err
    assert scene.sessions == 0


async def test_the_probes_the_metrics_and_the_status_are_those_of_the_bridge(scene: Scene) -> None:
    port = free_port()
    async with (
        scene.syncing("--listen", f"127.0.0.1:{port}"),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        for path in ("/livez", "/readyz"):
            async with http.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok\n")
        status = {"owned": 0}
        while not status["owned"]:  # the answer to its transaction may be under way
            async with http.get("/status") as response:
                status = await response.json()
        assert (status["ready"], status["leading"], status["owned"], status["passing"]) == (True, True, 2, 2)
        async with http.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        assert 'discovery_bridge_instances{status="passing"} 2.0' in lines
        assert 'discovery_events_total{event="bridge.wrote"} 1.0' in lines
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


async def test_a_standby_is_ready_and_one_pass_beside_a_leader_says_who_that_is(scene: Scene) -> None:
    port = free_port()
    async with (
        scene.syncing(),
        started(*scene.arguments, "--listen", f"127.0.0.1:{port}"),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        ran = await run(*scene.arguments, "--once", "--timeout", "2")
        assert (ran.code, ran.out) == (3, "")
        assert "another bridge with the owner id prod leads: " in ran.err.splitlines()[-1]

        async def is_ready() -> bool:
            try:
                async with http.get("/readyz") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False

        while not await is_ready():  # its process starts slowly
            pass
        async with http.get("/status") as response:
            status = await response.json()
        assert (status["ready"], status["leading"]) == (True, False)
        assert status["leader"] in ran.err


async def test_a_port_that_is_taken_is_named_before_anything_is_done(scene: Scene) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = await run(*scene.arguments, "--listen", place)
    assert ran.code == 2
    assert f"'{place}' cannot be listened on" in ran.complaint
    assert (scene.consul.requests, scene.cluster.requests) == ([], [])


@pytest.mark.parametrize("missing", ["kubeconfig", "token"])
async def test_started_without_a_file_that_it_needs_it_ends(scene: Scene, missing: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    named = ("--kubeconfig", nowhere) if missing == "kubeconfig" else ()
    env = {"CONSUL_HTTP_TOKEN_FILE": str(nowhere)} if missing == "token" else {}
    ran = await run(*scene.arguments, *named, env=env)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith("discovery: ")
    assert "nowhere" in ran.err.splitlines()[-1]
    assert scene.passing() == 0


async def test_what_goes_wrong_meanwhile_is_told_and_does_not_end_it(scene: Scene) -> None:
    async with scene.syncing("--log-json") as running:
        await scene.cluster.stop_api()
        while (said := json.loads(await running.warned()))["event"] != "watch.failed":
            pass
        assert (said["level"], said["data"]["kind"]) == ("WARNING", "ApiUnavailable")
        await scene.cluster.start_api()
        await scene.web.scale(3)
        await until(lambda: scene.passing() == 3, LONGEST)
        running.process.terminate()
        assert (await running.end()).code == 0
