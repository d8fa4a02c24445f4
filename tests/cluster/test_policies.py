"""What a Service says of where its callers are to go, as the real controllers turn it into slices and hints."""

from collections.abc import Callable
from typing import Any

import pytest

import discovery

from ..until import until
from .admin import Admin, Object
from .cluster import NODES, Cluster
from .kubelet import Kubelet
from .manifests import deployment, service
from .places import ask, asked, control, until_answered
from .rollout import scale, slices_path, web
from .test_ways_outside import reasons, service_path


async def test_the_internal_traffic_policy_local_gives_only_pods_of_our_node(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 3, internalTrafficPolicy="Local")
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig, node="node-1") as disco,
        disco.pool(f"endpoints://{namespace}/web:http") as pool,
    ):
        await pool.ready(timeout=10)
        assert {one.node for one in pool.backends} == {"node-1"}
        assert list((await asked(pool.backends)).values()) == [kubelet.on("node-1")[0].name]
        assert reasons(pool).keys() == {"node-2", "node-3"}
        assert all("Local" in reason for reason in reasons(pool).values())
        await admin.patch(service_path(namespace), {"spec": {"internalTrafficPolicy": "Cluster"}})
        await until(lambda: {one.address for one in pool.backends} == pods.keys())


async def test_the_internal_traffic_policy_local_without_a_pod_on_our_node_is_an_error_that_names_it(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 2, internalTrafficPolicy="Local")
    (empty,) = set(NODES) - {one.node for one in kubelet.pods.values()}
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig, node=empty) as disco,
        disco.pool(f"endpoints://{namespace}/web:http") as pool,
    ):
        with pytest.raises(discovery.NotReady, match="Local"):
            await pool.ready(timeout=1)
        with pytest.raises(discovery.NoBackends, match=f"Local.*{empty}"):
            pool.pick()
        await scale(admin, namespace, "web", 3)
        await pool.ready(timeout=10)
        with pool.pick() as lease:
            assert (await ask(lease.backend.netloc))["node"] == empty


async def test_the_internal_traffic_policy_local_on_an_unknown_node_gives_all_and_a_warning(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    pods = await web(admin, namespace, 3, internalTrafficPolicy="Local")
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"endpoints://{namespace}/web:http") as pool,
    ):
        await pool.ready(timeout=10)
        assert await asked(pool.backends) == pods
        assert [note for note in pool.notes if "NODE_NAME" in note]


def hinted(kind: str) -> Callable[[Object], bool]:
    """Whether every endpoint of the slices has such hints."""

    def complete(listed: Object) -> bool:
        found = [endpoint for piece in listed["items"] for endpoint in piece.get("endpoints") or ()]
        return bool(found) and all(kind in (endpoint.get("hints") or {}) for endpoint in found)

    return complete


PREFERENCES = {
    "PreferSameZone": ("forZones", "zone"),
    "PreferClose": ("forZones", "zone"),
    "PreferSameNode": ("forNodes", "node"),
}


@pytest.mark.parametrize("preference", PREFERENCES)
async def test_hints_that_the_controller_writes_are_kept_to_and_never_empty_a_pool(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, preference: str
) -> None:
    kind, what = PREFERENCES[preference]
    pods = await web(admin, namespace, 3, trafficDistribution=preference)
    await admin.wait_for(slices_path(namespace), hinted(kind))
    target = f"endpoints://{namespace}/web:http"
    ours: dict[str, Any] = {what: f"{what}-2"}
    far: dict[str, Any] = {what: f"{what}-9"}
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig, **ours) as near,
        discovery.Discovery(kubeconfig=cluster.kubeconfig, **far) as away,
        near.pool(target) as pool,
        away.pool(target) as other,
    ):
        await pool.ready(timeout=10)
        await other.ready(timeout=10)
        assert await asked(pool.backends) == {kubelet.on("node-2")[0].address: kubelet.on("node-2")[0].name}
        assert {one.address for one in other.backends} == pods.keys()
        # Without a ready pod of its own, our place is given those of others.
        failing = kubelet.on("node-2")[0].address
        await control(failing, "ready=0")
        await until(lambda: {one.address for one in pool.backends} == pods.keys() - {failing}, timeout=10)
        await control(failing, "ready=1")
        await until(lambda: {one.address for one in pool.backends} == {failing}, timeout=10)


async def test_our_zone_is_learnt_from_a_pod_on_our_node(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 3, trafficDistribution="PreferSameZone")
    await admin.wait_for(slices_path(namespace), hinted("forZones"))
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig, node="node-3") as disco,
        disco.pool(f"endpoints://{namespace}/web:http") as pool,
    ):
        await pool.ready(timeout=10)
        assert {one.zone for one in pool.backends} == {"zone-3"}


async def test_pods_that_are_not_ready_are_published_where_the_service_says_so(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    made = deployment(namespace, replicas=2)
    probe = made["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    probe["httpGet"]["port"] = 9  # nothing listens there
    await admin.create(service(namespace, publishNotReadyAddresses=True))
    await admin.create(made)
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"endpoints://{namespace}/web:http") as pool,
    ):
        await pool.ready(timeout=10)
        await until(lambda: len(pool.backends) == 2, timeout=10)
        for backend in pool.backends:
            assert backend.pod is not None
            assert (await until_answered(backend.netloc))["pod"] == backend.pod.name
