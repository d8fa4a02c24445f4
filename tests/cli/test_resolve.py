"""`discovery resolve`, run as its users run it."""

import os
from collections.abc import AsyncIterator

import attrs
import pytest

from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul

from .command import Ran, run, started


async def test_a_table_has_a_line_for_each_backend(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", replicas=2)
    ran = await run("resolve", "web:http", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    head, *rows = (line.split() for line in ran.out.splitlines())
    assert head == ["ADDRESS", "STATE", "ZONE", "NODE", "POD"]
    assert sorted(rows) == sorted(
        [f"{pod.address}:{pod.port}", "ready", pod.zone, pod.node, pod.name] for pod in web.pods
    )


async def test_json_has_the_target_in_full_and_each_backend_with_all_its_fields(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", namespace="shop")
    (pod,) = web.pods
    ran = await run("resolve", "shop/web:80", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "target": "endpoints://shop/web:80",
        "backends": [
            {
                "address": pod.address,
                "port": pod.port,
                "ready": True,
                "serving": True,
                "terminating": False,
                "weight": 1.0,
                "priority": 0,
                "zone": pod.zone,
                "node": pod.node,
                "hostname": "",
                "pod": {"namespace": "shop", "name": pod.name, "uid": pod.uid},
                "labels": [],
                "app_protocol": "",
            }
        ],
    }


async def test_a_namespace_may_be_given_apart_and_the_kubeconfig_by_the_environment(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web", namespace="shop")
    config = str(fake_cluster.kubeconfig)
    ran = await run("resolve", "web", "--namespace", "shop", "--output", "json", env={"KUBECONFIG": config})
    assert (ran.code, ran.json["target"]) == (0, "endpoints://shop/web")
    assert len(ran.json["backends"]) == 1


async def test_what_stands_in_is_shown_as_such(fake_cluster: FakeCluster) -> None:
    fake_cluster.apply(slice_of(conditions={"ready": False, "serving": True, "terminating": True}))
    ran = await run("resolve", "odd:http", "--kubeconfig", fake_cluster.kubeconfig)
    assert ran.code == 0
    assert "standing-in" in ran.out


async def test_a_service_without_ready_pods_is_told_of_in_json_too(fake_cluster: FakeCluster) -> None:
    fake_cluster.apply(slice_of(conditions={"ready": False}))
    ran = await run("resolve", "odd:http", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.json) == (1, {"target": "endpoints://default/odd:http", "backends": []})
    assert attrs.evolve(ran, out="").complaint.startswith(
        "endpoints://default/odd:http has nothing usable: 1 known, none ready"
    )


async def test_no_control_character_of_the_cluster_reaches_the_terminal(fake_cluster: FakeCluster) -> None:
    evil = "\x1b[2J\x07\u202e\r\n"
    fake_cluster.apply(slice_of(nodeName=evil, zone=evil, targetRef={"kind": "Pod", "name": f"{evil}pod", "uid": evil}))
    for output in ("table", "json"):
        ran = await run("resolve", "odd:http", "--output", output, "--kubeconfig", fake_cluster.kubeconfig)
        assert (ran.code, ran.err) == (0, "")
        assert all(line.isprintable() for line in ran.out.split("\n")), repr(ran.out)
        assert len(ran.out.splitlines()) == (2 if output == "table" else 1)
        assert "pod" in ran.out


async def test_a_closed_pipe_is_quiet(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    reading, writing = os.pipe()
    os.close(reading)
    async with started("resolve", "web", "--kubeconfig", fake_cluster.kubeconfig, stdout=writing) as running:
        os.close(writing)
        assert await running.end() == Ran(0, "", "")


async def test_a_full_disk_is_one_line(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    full = os.open("/dev/full", os.O_WRONLY)
    async with started("resolve", "web", "--kubeconfig", fake_cluster.kubeconfig, stdout=full) as running:
        os.close(full)
        ran = await running.end()
    assert (ran.code, ran.complaint) == (2, "[Errno 28] No space left on device")


@pytest.fixture
async def consul() -> AsyncIterator[FakeConsul]:
    """A Consul with one instance of `db`."""
    async with FakeConsul() as made:
        made.register(node="db-1", address="10.0.0.7", service="db", port=5432, status="passing")
        yield made


async def test_consul_may_be_named_and_needs_no_kubeconfig(consul: FakeConsul) -> None:
    ran = await run("resolve", "consul://db", "--consul", consul.url, "--output", "json")
    assert (ran.code, ran.err, ran.json["target"]) == (0, "", "consul://db")
    (backend,) = ran.json["backends"]
    assert (backend["address"], backend["port"], backend["node"]) == ("10.0.0.7", 5432, "db-1")


async def test_the_consul_that_is_named_wins_over_that_of_the_environment(consul: FakeConsul) -> None:
    nobody = {"CONSUL_HTTP_ADDR": "http://127.0.0.1:1"}
    assert (await run("resolve", "consul://db", "--consul", consul.url, env=nobody)).code == 0
    assert (await run("resolve", "consul://db", env={"CONSUL_HTTP_ADDR": consul.url})).code == 0
    ran = await run("resolve", "consul://db", env=nobody)
    assert (ran.code, "127.0.0.1:1 " in ran.complaint) == (3, True), ran


async def test_a_consul_that_never_answers_is_what_is_to_be_looked_at(consul: FakeConsul) -> None:
    consul.faults.hang()
    ran = await run("resolve", "consul://db", "--consul", consul.url, "--timeout", 1)
    assert (ran.code, "no answer for consul://db within 1 s. Check the address of Consul" in ran.complaint) == (3, True)


async def test_explain_and_watch_find_that_consul_too(consul: FakeConsul) -> None:
    consul.register(node="db-2", address="10.0.0.8", service="db", port=5432, status="critical")
    ran = await run("explain", "consul://db", "--consul", consul.url)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[:2] for line in ran.out.splitlines()[1:3]] == [
        ["10.0.0.7:5432", "yes"],
        ["10.0.0.8:5432", "no"],
    ]
    async with started("watch", "consul://db", "--consul", consul.url) as running:
        assert "+ 10.0.0.7:5432 ready" in await running.line()


@pytest.mark.parametrize("url", ["", "ftp://consul", "http://me:hidden-word@consul:8500"])
async def test_a_consul_that_cannot_be_one_is_refused_and_no_password_of_it_shown(url: str) -> None:
    ran = await run("resolve", "consul://db", "--consul", url)
    assert ran.code == 2
    assert ran.complaint
    assert "hidden-word" not in ran.err


async def test_a_token_that_consul_refuses_is_4() -> None:
    async with FakeConsul(acls=True) as consul:
        ran = await run("resolve", "consul://db", "--consul", consul.url, env={"CONSUL_HTTP_TOKEN": "hidden-word"})
    assert (ran.code, "hidden-word" in ran.complaint) == (4, False), ran


def slice_of(**endpoint: object) -> dict[str, object]:
    """A slice of a Service `odd` with one endpoint."""
    labels = {"kubernetes.io/service-name": "odd"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "odd-1", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"], **endpoint}],
    }
