"""Names in the DNS, as CoreDNS answers them: a request arrives at the right process through each kind of record."""

import asyncio
import json
import sys

import dns.asyncquery
import dns.flags
import dns.message
import pytest

import discovery
from discovery.model import Backend

from ..until import until
from .admin import Admin, Object
from .cluster import Cluster
from .kubelet import Kubelet
from .manifests import endpoint_slice, service, stateful_set
from .places import asked, on_node, serving, until_answered
from .rollout import named, restart, scale, settled, web
from .servers import Server
from .test_ways_in import reached

SERVERS = ["127.0.0.1:53"]


async def truth(name: str, kind: str = "A", *, payload: int = 0) -> dns.message.Message:
    """What CoreDNS answers to one question over UDP."""
    question = dns.message.make_query(name, kind, use_edns=0 if payload else None, payload=payload)
    return await dns.asyncquery.udp(question, "127.0.0.1", timeout=5)


async def until_known(name: str) -> None:
    """Wait until CoreDNS has heard of a name: what an earlier "no such name" costs is another test's affair."""
    async with asyncio.timeout(10):
        while not (await truth(name)).answer:  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.02)


def name_of(namespace: str, service: str = "web") -> str:
    return f"{service}.{namespace}.svc.cluster.local"


def external(namespace: str, name: str, host: str) -> Object:
    made = service(namespace, name, kind="ExternalName", externalName=host)
    del made["spec"]["selector"]
    return made


async def test_the_name_of_a_headless_service_is_its_pods(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 3, clusterIP="None")
    assert await reached(cluster, f"dns://{name_of(namespace)}:8080", dns=SERVERS) == pods


async def test_the_name_of_a_service_is_its_cluster_ip(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 1, port=80)
    made = await admin.get(f"/api/v1/namespaces/{namespace}/services/web")
    async with discovery.Discovery(dns=SERVERS) as disco, disco.pool(f"dns://{name_of(namespace)}:80") as pool:
        await pool.ready(timeout=10)
        (backend,) = pool.backends
    assert backend.address == made["spec"]["clusterIP"]
    answer = await on_node(cluster, "node-1", lambda: until_answered(backend.netloc))
    assert [answer["pod"]] == list(pods.values())


async def test_an_external_name_is_followed_through_a_chain_of_two(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, clusterIP="None")
    await admin.create(external(namespace, "near", name_of(namespace)))
    await admin.create(external(namespace, "far", name_of(namespace, "near")))
    await until_known(name_of(namespace, "far"))
    assert await reached(cluster, f"dns://{name_of(namespace, 'far')}:8080", dns=SERVERS) == pods


async def test_srv_records_give_the_port_and_the_pods_own_names(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await admin.create(service(namespace, "db", clusterIP="None"))
    await admin.create(stateful_set(namespace, "db", of="db", replicas=2))
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/db"
    await admin.wait_for(path, lambda found: found["status"].get("readyReplicas") == 2)
    target = f"dns+srv://_http._tcp.{name_of(namespace, 'db')}"
    async with discovery.Discovery(dns=SERVERS) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        await until(lambda: len(pool.backends) == 2, timeout=10)
        found = await asked(pool.backends)
        assert {backend.hostname.partition(".")[0]: found[backend.address] for backend in pool.backends} == {
            "db-0": "db-0",
            "db-1": "db-1",
        }
        assert {backend.port for backend in pool.backends} == {8080}


async def test_the_name_of_one_pod_of_a_stateful_set(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await admin.create(service(namespace, "db", clusterIP="None"))
    await admin.create(stateful_set(namespace, "db", of="db", replicas=2))
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/db"
    await admin.wait_for(path, lambda found: found["status"].get("readyReplicas") == 2)
    found = await reached(cluster, f"dns://db-1.{name_of(namespace, 'db')}:8080", dns=SERVERS)
    assert list(found.values()) == ["db-1"]


async def test_short_names_go_through_the_search_list_of_resolv_conf(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, clusterIP="None")
    conf = cluster.directory / f"{namespace}.resolv.conf"
    search = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    conf.write_text(f"nameserver 127.0.0.1\nsearch {search}\noptions ndots:5\n")
    for name in ("web", f"web.{namespace}", f"web.{namespace}.svc", name_of(namespace) + "."):
        inside = f"mount --bind {conf} /etc/resolv.conf && exec {sys.executable} -W error -m discovery resolve"
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", f"{inside} dns://{name}:8080 --output json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert {backend["address"] for backend in json.loads(out)["backends"]} == pods.keys()


async def test_an_answer_too_large_for_udp_comes_over_tcp(admin: Admin, namespace: str, cluster: Cluster) -> None:
    addresses = [f"10.1.2.{last}" for last in range(1, 251)]
    made = service(namespace, "many", clusterIP="None", port=9095)
    del made["spec"]["selector"]
    await admin.create(made)
    await admin.create(endpoint_slice(namespace, "many-1", "many", addresses, port=9095))
    await until_known(name_of(namespace, "many"))
    for payload in (0, 1232):
        assert (await truth(name_of(namespace, "many"), payload=payload)).flags & dns.flags.TC, "too easy"
    async with serving(cluster, "node-2", 9095, address="0.0.0.0", name="all"):
        found = await reached(cluster, f"dns://{name_of(namespace, 'many')}:9095", dns=SERVERS)
    assert found == dict.fromkeys(addresses, "all")


async def test_a_name_that_is_not_there_says_so_and_is_found_once_it_is(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    target = f"dns://{name_of(namespace)}:8080"
    async with discovery.Discovery(dns=SERVERS) as disco, disco.pool(target) as pool:
        with pytest.raises(discovery.NotReady, match=namespace) as caught:
            await pool.ready(timeout=1)
        assert isinstance(caught.value.__cause__, discovery.ResolutionError)
        assert caught.value.__cause__.reason == "no-such-name"
        pods = await web(admin, namespace, 2, clusterIP="None")
        await pool.ready(timeout=10)
        await until(lambda: addresses_of(pool.backends) == pods.keys(), timeout=10)


async def test_a_name_without_records_of_the_family_is_told_from_one_that_is_not_there(
    admin: Admin, namespace: str, cluster: Cluster
) -> None:
    await admin.create(service(namespace))
    await until_known(name_of(namespace))
    target = f"dns://{name_of(namespace)}:8080?family=ipv6"
    async with discovery.Discovery(dns=SERVERS) as disco, disco.pool(target) as pool:
        with pytest.raises(discovery.NotReady) as caught:
            await pool.ready(timeout=1)
        assert isinstance(caught.value.__cause__, discovery.ResolutionError)
        assert caught.value.__cause__.reason == "no-data"


async def test_restarts_and_scaling_are_followed_within_a_ttl(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 2, clusterIP="None")
    async with (
        discovery.Discovery(dns=SERVERS) as disco,
        disco.pool(f"dns://{name_of(namespace)}:8080") as plain,
        disco.pool(f"dns+srv://_http._tcp.{name_of(namespace)}") as srv,
    ):
        for pool in (plain, srv):
            await pool.ready(timeout=10)
        await restart(admin, namespace, "web")
        await settled(admin, namespace, "web", 2)
        await scale(admin, namespace, "web", 3)
        pods = named(await settled(admin, namespace, "web", 3))
        for pool in (plain, srv):
            await until(lambda: addresses_of(pool.backends) == pods.keys(), timeout=5 + 1)  # noqa: B023
            assert await asked(pool.backends) == pods


async def test_the_last_answer_holds_while_the_server_is_down_and_is_made_good_once_it_is_back(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, clusterIP="None")
    (server,) = Server.named(cluster, "coredns")
    target = f"dns://{name_of(namespace)}:8080"
    async with discovery.Discovery(dns=SERVERS) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        await server.kill()
        try:
            await until(lambda: pool.status.stale_for > 0, timeout=5 + 10)
            assert isinstance(pool.status.last_error, discovery.ResolutionError)
            assert await asked(pool.backends) == pods
            await scale(admin, namespace, "web", 3)
            more = named(await settled(admin, namespace, "web", 3))
            assert addresses_of(pool.backends) == pods.keys()
        finally:
            await server.start()
        await until(lambda: addresses_of(pool.backends) == more.keys(), timeout=30)
        assert pool.status.stale_for == 0
        assert await asked(pool.backends) == more


def addresses_of(backends: tuple[Backend, ...]) -> set[str]:
    return {backend.address for backend in backends}
