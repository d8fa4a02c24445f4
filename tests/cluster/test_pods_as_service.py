"""Pods by a selector are what a Service with that selector gives, whatever happens to them."""

import random
from collections.abc import Iterable

import pytest

import discovery
from discovery.pool import Pool

from ..until import until
from .admin import Admin, Object
from .cluster import NODES, Cluster
from .kubelet import Kubelet
from .light import Addresses, LightPod, register_nodes
from .manifests import service
from .rollout import slices_path, web

LABELS = {"app": "web", "track": "stable"}
SELECTOR = "app=web,track=stable"
PORTS = ({"http": 8080}, {"http": 8080, "admin": 9000}, {"http": 8081}, {"web": 8080})
"""Of a pod: the name may mean another number in each, and the last has no such port."""

State = tuple[bool, bool, bool]
"""Ready, serving, terminating."""

BURSTS = 12
CHANGES = 14
"""In each burst."""


class Churn:
    """Pods that change at random. Everything is chosen by `rng`: a seed says what happens."""

    def __init__(self, admin: Admin, namespace: str, rng: random.Random) -> None:
        self._admin, self._namespace, self._rng = admin, namespace, rng
        self._addresses = Addresses()
        self._made = 0
        self._alive: list[LightPod] = []
        self._leaving: list[LightPod] = []

    async def step(self) -> None:
        """Change one thing."""
        rng = self._rng
        if len(self._alive) < 4 or (len(self._alive) < 12 and rng.random() < 0.3):
            await self._create()
            return
        pod = rng.choice(self._alive)
        kind = rng.choice(("ready", "ready", "unready", "delete", "evict", "end", "relabel", "lose", "finish"))
        if kind == "finish" and self._leaving:
            await self._leaving.pop(rng.randrange(len(self._leaving))).finish()
        elif kind in ("delete", "evict"):
            self._alive.remove(pod)
            self._leaving.append(pod)
            await (pod.delete() if kind == "delete" else pod.evict())
            if rng.random() < 0.3:
                await pod.report(ready=False)
        elif kind == "end":
            self._alive.remove(pod)
            await pod.end(rng.choice((0, 1)))
        elif kind == "relabel":
            await pod.relabel({"track": rng.choice(("stable", "stable", "canary", None))})
        elif kind == "lose":
            await pod.lose_address()
        else:
            await pod.report(ready=kind != "unready")

    async def remove_all(self) -> None:
        for pod in (*self._alive, *self._leaving):
            await pod.finish()

    async def _create(self) -> None:
        rng = self._rng
        self._made += 1
        place = {"node_name": rng.choice(NODES), "address": self._addresses.next()}
        pod = LightPod(self._admin, self._namespace, f"pod-{self._made}", **place)
        labels = LABELS if rng.random() < 0.8 else LABELS | {"track": "canary"}
        await pod.create(labels, ports=rng.choice(PORTS), bind=True)
        self._alive.append(pod)
        if rng.random() < 0.8:
            await pod.report(ready=rng.random() < 0.8)


def expected(pods: Iterable[Object]) -> dict[tuple[str, int], State]:
    """What the endpoint slice controller makes of pods: its table, written down again."""
    found = {}
    for pod in pods:
        meta, status = pod["metadata"], pod["status"]
        ports = {one["name"]: one["containerPort"] for one in pod["spec"]["containers"][0]["ports"]}
        chosen = (meta.get("labels") or {}).items() >= LABELS.items()
        if not chosen or "podIP" not in status or status["phase"] in ("Succeeded", "Failed") or "http" not in ports:
            continue
        serving = any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])
        terminating = "deletionTimestamp" in meta
        found[status["podIP"], ports["http"]] = (serving and not terminating, serving, terminating)
    return found


def published(listed: Object) -> dict[tuple[str, int], State]:
    """What the slices say."""
    return {
        (endpoint["addresses"][0], port["port"]): tuple(
            endpoint["conditions"][name] for name in ("ready", "serving", "terminating")
        )
        for piece in listed["items"]
        for port in piece.get("ports") or ()
        for endpoint in piece.get("endpoints") or ()
    }


def known(pool: Pool) -> dict[tuple[str, int], State]:
    """What a pool knows of, picked or not."""
    backends = [one.backend for one in pool.explain() if one.backend.port]
    return {(one.address, one.port): (one.ready, one.serving, one.terminating) for one in backends}


@pytest.mark.parametrize("seed", range(3))
async def test_pods_by_a_selector_equal_a_service_with_it_through_random_churn(
    admin: Admin, namespace: str, cluster: Cluster, seed: int
) -> None:
    await register_nodes(admin)
    await admin.create(service(namespace, selector=LABELS))
    churn = Churn(admin, namespace, random.Random(seed))
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"pods://{namespace}/{SELECTOR}:http") as bare,
        disco.pool(f"endpoints://{namespace}/web:http") as behind,
    ):
        seen: set[State] = set()
        for _ in range(BURSTS):
            for _ in range(CHANGES):
                await churn.step()
            wanted = expected(await admin.items(f"/api/v1/namespaces/{namespace}/pods"))
            await admin.wait_for(slices_path(namespace), lambda listed: published(listed) == wanted)  # noqa: B023
            for pool in (behind, bare):
                await until(lambda: known(pool) == wanted, timeout=2)  # noqa: B023
            assert [whole(one) for one in bare.backends] == [whole(one) for one in behind.backends]
            seen |= set(wanted.values())
        assert len(seen) == 4, "ready, not ready, and terminating in both ways"
        await churn.remove_all()
        await until(lambda: not bare.backends and not behind.backends)


def whole(backend: discovery.Backend) -> tuple[object, ...]:
    """All that both know of a backend."""
    return backend.id, backend.pod, backend.node, backend.zone, backend.ready, backend.serving, backend.terminating


async def test_real_pods_by_a_selector_equal_their_service_at_rest(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 5)
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"pods://{namespace}/app=web:http") as bare,
        disco.pool(f"endpoints://{namespace}/web:http") as behind,
    ):
        await bare.ready(timeout=10)
        await behind.ready(timeout=10)
        assert {one.address for one in bare.backends} == pods.keys()
        assert {one.zone for one in bare.backends} == {"zone-1", "zone-2", "zone-3"}
        assert [whole(one) for one in bare.backends] == [whole(one) for one in behind.backends]
