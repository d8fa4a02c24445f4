"""The bridge between a real cluster and a real Consul: who knows nothing but Consul reaches the pods."""

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

import discovery
from discovery.bridge.options import BridgeKeywords

from ..until import until
from .admin import Admin, Object
from .bridges import ROLE, bridging, remove, spread_service
from .catalogs import DEV, Catalog, dev, eventually
from .cluster import NODES, Cluster
from .faults import kubeconfig_with
from .kubelet import Kubelet
from .light import register_nodes
from .places import ask, control, until_answered
from .rollout import web
from .statuses import node_address

ALL = {node_address(node) for node in NODES}


@pytest.fixture
async def kubeconfig(admin: Admin, cluster: Cluster, namespace: str) -> Path:
    """Of an account that may do what a bridge must, and nothing else."""
    return await kubeconfig_with(admin, cluster, namespace, [ROLE])


@pytest.fixture
async def catalog(cluster: Cluster) -> AsyncIterator[Catalog]:
    async with dev() as made:
        yield made


async def spread(pool: discovery.Pool, pods: Iterable[str], *, timeout: float = 20.0) -> dict[str, set[str]]:
    """By address, the pods that answered there: requests to whom the pool picks, until all pods have answered.

    kube-proxy learns of one after the other.
    """
    found: dict[str, set[str]] = {}
    async with asyncio.timeout(timeout):
        for number in itertools.count():
            with pool.pick() as lease:
                answer = await ask(lease.backend.netloc)
            found.setdefault(lease.backend.address, set()).add(answer["pod"])
            if number >= 30 and set().union(*found.values()) >= set(pods):
                return found
    raise AssertionError


def addresses(pool: discovery.Pool) -> set[str]:
    return {backend.address for backend in pool.backends}


async def reached(netlocs: Iterable[str]) -> None:
    """Wait until kube-proxy leads on from each of these."""
    await asyncio.gather(*map(until_answered, netlocs))


async def as_another_program(target: str) -> list[Object]:
    """The backends that a program finds which has an address of Consul and nothing else."""
    command = (sys.executable, "-m", "discovery", "resolve", target, "--output", "json")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, env={"CONSUL_HTTP_ADDR": DEV, "HOME": "/nowhere"}, cwd=Path(__file__).parents[2]
    )
    out, _ = await process.communicate()
    found: list[Object] = json.loads(out)["backends"]
    return found


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
async def test_who_knows_only_consul_reaches_the_pods_and_hears_what_becomes_of_them(
    admin: Admin, namespace: str, kubelet: Kubelet, kubeconfig: Path, catalog: Catalog, policy: str
) -> None:
    pods = await web(admin, namespace, 3, kind="NodePort", port=80, externalTrafficPolicy=policy)
    nodes = {pod.name: node_address(pod.node) for pod in kubelet.pods.values()}
    assert set(nodes.values()) == ALL
    async with (
        bridging(kubeconfig, DEV, "e2e", namespaces=namespace) as bridge,
        discovery.Discovery(consul=DEV, kubeconfig="/nowhere") as outside,
        outside.pool("consul://web") as pool,
    ):
        await pool.ready(timeout=20)
        await until(lambda: addresses(pool) == ALL, 10)
        await reached(backend.netloc for backend in pool.backends)
        answers = await spread(pool, pods.values())
        assert answers.keys() == ALL
        assert set().union(*answers.values()) == set(pods.values())
        assert {(one["address"], one["port"]) for one in await as_another_program("consul://web")} == {
            (backend.address, backend.port) for backend in pool.backends
        }
        if policy == "Local":
            assert all(nodes[pod] == address for address, there in answers.items() for pod in there)

        unready = next(pod for pod in kubelet.pods.values() if pod.node == "node-1")
        await control(unready.address, "ready=0")
        await until(lambda: addresses(pool) == ALL - {"172.31.1.1"}, 10)
        assert (await catalog.healthy("web"))["172.31.1.1"] == "critical"
        await control(unready.address, "ready=1")
        await until(lambda: addresses(pool) == ALL, 10)

        await admin.delete("/api/v1/nodes/node-2")
        await until(lambda: addresses(pool) == ALL - {"172.31.2.1"}, 10)
        assert (await catalog.healthy("web")).keys() == ALL - {"172.31.2.1"}
        await eventually(catalog.nodes, lambda nodes: "k8s-e2e--node-2" not in nodes)  # nothing is left on it

        await admin.delete(f"/api/v1/namespaces/{namespace}/services/web")
        await until(lambda: not pool.backends, 10)
        await bridge.settled(0)
        assert await catalog.owned("e2e") == {}
        await eventually(catalog.nodes, lambda nodes: not [node for node in nodes if node.startswith("k8s-e2e--")])
        assert [event.name for event in bridge.events if event.name in ("bridge.failed", "bridge.refused")] == []


@pytest.mark.parametrize("target", ["dns+srv://web.service.consul", "dns://web.service.consul:{port}"])
async def test_a_client_with_nothing_but_the_dns_of_consul_is_spread_over_the_nodes(
    admin: Admin, namespace: str, kubelet: Kubelet, kubeconfig: Path, catalog: Catalog, target: str
) -> None:
    pods = await web(admin, namespace, 3, kind="NodePort", port=80)
    port = (await admin.get(f"/api/v1/namespaces/{namespace}/services/web"))["spec"]["ports"][0]["nodePort"]
    await reached(f"{address}:{port}" for address in ALL)
    async with (
        bridging(kubeconfig, DEV, "e2e", namespaces=namespace) as bridge,
        discovery.Discovery(dns=["127.0.0.1:8600"], kubeconfig="/nowhere") as outside,
    ):
        await bridge.settled(3)
        async with outside.pool(target.format(port=port)) as pool:
            await pool.ready(timeout=10)
            answers = await spread(pool, pods.values())
            assert answers.keys() == ALL
            assert set().union(*answers.values()) == set(pods.values())
            unready = next(pod for pod in kubelet.pods.values() if pod.node == "node-1")
            await control(unready.address, "ready=0")
            await until(lambda: addresses(pool) == ALL - {"172.31.1.1"}, 20)


# What users do wrong

SYNC = "consul.hashicorp.com"


async def make(admin: Admin, namespace: str, name: str, **annotations: str) -> str:
    """A Service with an endpoint on each node, and these annotations (`service_name` is `service-name`)."""
    await register_nodes(admin)
    made, piece = spread_service(namespace, name)
    made["metadata"]["annotations"] = annotated(**annotations)
    await admin.create(made)
    await admin.create(piece)
    return f"{namespace}/{name}"


def annotated(**annotations: str | None) -> dict[str, str | None]:
    return {f"{SYNC}/{key.replace('_', '-')}": value for key, value in annotations.items()}


async def annotate(admin: Admin, namespace: str, name: str, **annotations: str | None) -> None:
    """Change annotations; None takes one away."""
    path = f"/api/v1/namespaces/{namespace}/services/{name}"
    await admin.patch(path, {"metadata": {"annotations": annotated(**annotations)}})


BAD = [
    {"service_name": "not.a-label"},
    {"service_name": "under_score"},
    {"service_name": "-begins-wrongly"},
    {"service_name": "x" * 64},
    {"service_weight": "much"},
    {"service_weight": "65536"},
    {"service_port": "nothing"},
    {"service_meta_owner-id": "somebody"},
]


@pytest.mark.parametrize("wrong", BAD, ids=lambda wrong: "=".join(*wrong.items())[:40])
async def test_what_cannot_be_is_told_once_and_the_last_good_registration_is_kept(
    admin: Admin, namespace: str, kubeconfig: Path, catalog: Catalog, wrong: dict[str, str]
) -> None:
    web = await make(admin, namespace, "web", service_tags="first")
    async with bridging(kubeconfig, DEV, "e2e", namespaces=namespace, repair=0.1) as bridge:
        await bridge.settled(3)
        before = await catalog.owned("e2e")
        await annotate(admin, namespace, "web", service_tags="second", **wrong)
        await until(lambda: bridge.told("bridge.unusable"), 10)
        await bridge.passed(3)
        assert await catalog.owned("e2e") == before
        assert bridge.status.unusable.keys() == {(namespace, "web")}
        assert [event.subject for event in bridge.told("bridge.unusable")] == [web]
        await make(admin, namespace, "fine")
        await bridge.settled(6)  # the others go on
        await annotate(admin, namespace, "web", **dict.fromkeys(wrong))
        await until(lambda: bridge.told("bridge.usable"), 10)
        await bridge.settled(6)
        after = await catalog.owned("e2e")
        assert {tuple(after[place]["Tags"]) for place in before} == {("kubernetes", "second")}
        assert {place: after[place]["CreateIndex"] for place in before} == {
            place: one["CreateIndex"] for place, one in before.items()
        }
        assert len(bridge.told("bridge.unusable")) == 1


async def test_one_that_was_never_good_is_not_registered_and_holds_up_no_other(
    admin: Admin, namespace: str, kubeconfig: Path, catalog: Catalog
) -> None:
    bad = await make(admin, namespace, "bad", service_weight="0")
    await make(admin, namespace, "good")
    async with bridging(kubeconfig, DEV, "e2e", namespaces=namespace, repair=0.1) as bridge:
        await bridge.settled(3)
        await bridge.passed(3)
        assert {one["Service"] for one in (await catalog.owned("e2e")).values()} == {"good"}
        assert [event.subject for event in bridge.told("bridge.unusable")] == [bad]


async def test_of_two_services_with_one_name_the_first_has_it_until_it_goes(
    admin: Admin, namespace: str, kubeconfig: Path, catalog: Catalog
) -> None:
    other = f"{namespace}-other"
    await admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    try:
        await make(admin, namespace, "web")
        async with bridging(kubeconfig, DEV, "e2e", namespaces=(namespace, other), repair=0.1) as bridge:
            await bridge.settled(3)
            before = await catalog.owned("e2e")
            second = await make(admin, other, "web")
            await until(lambda: bridge.told("bridge.unusable"), 10)
            await bridge.passed(3)
            assert await catalog.owned("e2e") == before
            assert [event.subject for event in bridge.told("bridge.unusable")] == [second]
            await remove(admin, namespace, "web")
            await until(lambda: bridge.told("bridge.usable", second), 10)
            # Read node by node, so what is there meanwhile may be of both.
            await eventually(
                lambda: catalog.owned("e2e"),
                lambda found: [one["Meta"]["external-k8s-ns"] for one in found.values()] == [other] * 3,
            )
    finally:
        await admin.delete(f"/api/v1/namespaces/{other}")


@pytest.mark.parametrize(
    "options", [{"family": "ipv6"}, {"address_types": "ExternalIP"}], ids=lambda one: next(iter(one))
)
async def test_an_address_that_no_node_has_is_told_once_and_what_was_registered_before_is_kept(
    admin: Admin, namespace: str, kubeconfig: Path, catalog: Catalog, options: BridgeKeywords
) -> None:
    web = await make(admin, namespace, "web")
    async with bridging(kubeconfig, DEV, "e2e", namespaces=namespace) as bridge:
        await bridge.settled(3)
    before = await catalog.owned("e2e")
    narrow: BridgeKeywords = {**options, "namespaces": namespace, "repair": 0.1}
    async with bridging(kubeconfig, DEV, "e2e", **narrow) as bridge:
        await bridge.settled(3)
        await bridge.passed(3)
        assert await catalog.owned("e2e") == before
        assert [event.subject for event in bridge.told("bridge.unusable")] == [web]
        assert bridge.status.transactions == 0
