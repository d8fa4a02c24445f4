"""A pod with an address of each family: it counts once, by the family that is wanted."""

from collections.abc import AsyncIterator

import pytest

import discovery

from ..until import until
from .admin import Admin, Object
from .cluster import Cluster
from .light import LightPod, register_nodes
from .manifests import endpoint_slice, service
from .places import asked, serving, with_ipv6

PORT = 9096
IPV6 = "fd00:10:1::7"
EXPECTED = {"prefer-ipv4": "ipv4", "prefer-ipv6": "ipv6", "ipv4": "ipv4", "ipv6": "ipv6"}


@pytest.fixture
async def both(admin: Admin, namespace: str, cluster: Cluster) -> AsyncIterator[dict[str, str]]:
    """A pod with two addresses, and its headless Service, in slices of both families; gives the addresses."""
    await register_nodes(admin)
    with with_ipv6(cluster, "node-1", IPV6):
        async with serving(cluster, "node-1", PORT, also=IPV6, name="both") as ipv4:
            pod = LightPod(admin, namespace, "both", node_name="node-1", address=ipv4)
            await pod.create({"app": "both"}, ports={"http": PORT})
            await pod.report(ready=True)
            status: Object = {"podIPs": [{"ip": ipv4}, {"ip": IPV6}]}
            made = await admin.patch(f"{pod.path}/status", {"status": status})
            await admin.create(service(namespace, "both", clusterIP="None", selector=None))
            for family, address in (("IPv4", ipv4), ("IPv6", IPV6)):
                piece = endpoint_slice(namespace, family.lower(), "both", [address], port=PORT)
                target = {"kind": "Pod", "namespace": namespace, "name": "both", "uid": made["metadata"]["uid"]}
                piece["addressType"] = family
                piece["endpoints"][0]["targetRef"] = target
                await admin.create(piece)
            yield {"ipv4": ipv4, "ipv6": IPV6}
            await pod.finish()


@pytest.mark.parametrize("scheme", ["endpoints", "pods", "dns"])
@pytest.mark.parametrize("family", EXPECTED)
async def test_a_pod_of_both_families_counts_once_by_the_family_that_is_wanted(
    namespace: str, cluster: Cluster, both: dict[str, str], scheme: str, family: str
) -> None:
    target = {
        "endpoints": f"endpoints://{namespace}/both:http",
        "pods": f"pods://{namespace}/app=both:http",
        "dns": f"dns://both.{namespace}.svc.cluster.local:{PORT}",
    }[scheme]
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig, dns=["127.0.0.1:53"]) as disco,
        disco.pool(f"{target}?family={family}") as pool,
    ):
        wanted = both[EXPECTED[family]]
        await until(lambda: [one.address for one in pool.backends] == [wanted], timeout=10)
        assert await asked(pool.backends) == {wanted: "both"}
