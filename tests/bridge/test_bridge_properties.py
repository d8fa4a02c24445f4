"""From any state of Consul and of the cluster, one pass makes what is ours as wanted, and one more writes nothing."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discovery.bridge.options import BridgeOptions
from discovery.bridge.records import Instance, Key
from discovery.bridge.registry.reading import NodeReader
from discovery.bridge.running import Running
from discovery.bridge.single import Single
from discovery.bridge.wanted.wanting import Wanting
from discovery.consul.api import Consul
from discovery.consul.settings import Settings
from discovery.kube.kinds import ENDPOINT_SLICES, NODES, SERVICES, Kind
from discovery.kube.objects import NodeBody, Object, ServiceBody, SliceBody
from discovery.kube.readers import Follower
from discovery.kube.store import Name
from discovery.testing.consul import FakeConsul

from .scene import foreign

OPTIONS = BridgeOptions(owner="prod", confirm_after=0.001)
NODE_NAMES = ("node-1", "node-2", "node-3")
NAMES = ("web", "db", "api")

Json = dict[str, Any]


class Leader:
    """Leads, and needs no lock. Implements `Leadership`."""

    leading = known = True
    holder = "test"
    error = fence = None

    def check(self) -> None:
        """Any write may be begun."""

    async def run(self, changed: Callable[[], None]) -> None:
        await asyncio.Event().wait()


class Still:
    """A cluster that does not change. Implements `Kubernetes`."""

    def __init__(self, objects: Mapping[str, list[Object]]) -> None:
        self._objects = objects

    def follow(self, kind: Kind, namespace: str | None, follower: Follower) -> Callable[[], None]:
        follower.changed(self._all(kind), listed=True)
        follower.synced()
        return lambda: None

    async def listed_anew(self, kind: Kind, namespace: str | None) -> Mapping[Name, Object]:
        return self._all(kind)

    def _all(self, kind: Kind) -> dict[Name, Object]:
        return {(one.namespace, one.name): one for one in self._objects[kind.resource]}


def held(kind: Kind, namespace: str, name: str, group: str, body: Any) -> Object:
    return Object(namespace, name, f"uid-{name}", "1", group, body, lambda read: read)


# Clusters

annotations = st.sampled_from(
    [
        {},
        {"consul.hashicorp.com/service-tags": "a,b"},
        {"consul.hashicorp.com/service-name": "shared"},
        {"consul.hashicorp.com/service-name": "no_name"},
        {"consul.hashicorp.com/service-sync": "false"},
        {"consul.hashicorp.com/service-weight": "7"},
        {"consul.hashicorp.com/service-weight": "heavy"},
    ]
)
ports = st.sampled_from(
    [
        [{"name": "", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
        [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
        [
            {"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"},
            {"name": "admin", "port": 81, "nodePort": 30081, "protocol": "TCP"},
        ],
    ]
)
endpoints = st.lists(
    st.fixed_dictionaries(
        {
            "nodeName": st.sampled_from(NODE_NAMES),
            "conditions": st.fixed_dictionaries({"ready": st.booleans(), "serving": st.booleans()}),
            "addresses": st.integers(1, 250).map(lambda number: [f"10.1.0.{number}"]),
        }
    ),
    max_size=4,
)
services = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["NodePort", "NodePort", "NodePort", "LoadBalancer", "ClusterIP"]),
        "ports": ports,
        "annotations": annotations,
        "endpoints": endpoints,
        "externalIPs": st.sampled_from([[], [], [], ["203.0.113.7"]]),
        "local": st.booleans(),
    }
)
nodes = st.fixed_dictionaries(
    {"address": st.sampled_from(["", "192.0.2.1", "192.0.2.2"]), "ready": st.sampled_from([True, True, True, False])}
)
clusters = st.fixed_dictionaries(
    {
        "services": st.dictionaries(st.tuples(st.sampled_from(["shop", "lab"]), st.sampled_from(NAMES)), services),
        "nodes": st.dictionaries(st.sampled_from(NODE_NAMES), nodes),
    }
)


def objects(cluster: Json) -> dict[str, list[Object]]:
    """As the watches bring them."""
    found: dict[str, list[Object]] = {"services": [], "endpointslices": [], "nodes": []}
    for (namespace, name), one in cluster["services"].items():
        spec = {"type": one["type"], "ports": one["ports"], "externalIPs": one["externalIPs"], "clusterIP": "10.96.0.1"}
        spec |= {"externalTrafficPolicy": "Local"} if one["local"] else {}
        status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}} if one["type"] == "LoadBalancer" else {}
        service = {"spec": spec, "metadata": {"annotations": one["annotations"]}, "status": status}
        found["services"].append(held(SERVICES, namespace, name, name, msgspec.convert(service, ServiceBody)))
        slice_ports = [{"name": port["name"], "port": 8080, "protocol": "TCP"} for port in one["ports"]]
        body = {"addressType": "IPv4", "ports": slice_ports, "endpoints": one["endpoints"]}
        found["endpointslices"].append(
            held(ENDPOINT_SLICES, namespace, f"{name}-1", name, msgspec.convert(body, SliceBody))
        )
    for name, node in cluster["nodes"].items():
        addresses = [{"type": "InternalIP", "address": node["address"]}] if node["address"] else []
        conditions = [{"type": "Ready", "status": str(node["ready"])}]
        body = {"status": {"addresses": addresses, "conditions": conditions}}
        found["nodes"].append(held(NODES, "", name, "", msgspec.convert(body, NodeBody)))
    return found


# What others, and accidents, have done to Consul

mischiefs = st.lists(
    st.tuples(
        st.sampled_from(
            ["drop", "critical", "port", "strange check", "theirs", "on our node", "other owner", "no check"]
        ),
        st.integers(0, 20),
    ),
    max_size=6,
)


def misbehave(consul: FakeConsul, what: str, number: int) -> None:
    """One of these things, to the entry of this number."""
    there = [
        (node, head, key, one)
        for node, head in sorted(consul.dump()["nodes"].items())
        for key, one in sorted(head["Services"].items())
        if (one["Meta"] or {}).get("owner-id") == "prod"
    ]
    if what == "theirs":
        consul.register(node=f"db-{number}", address="10.0.0.7", service="web", id="web-1", port=1, status="passing")
    elif what == "other owner":
        meta = {"managed-by": "aiodiscovery", "owner-id": "prod-eu"}
        consul.register(node="k8s-prod-eu--node-1", node_meta=meta, service="web", id=f"prod-eu.{number}", meta=meta)
    if not there:
        return
    node, head, key, one = there[number % len(there)]
    on_it: Json = {"node": node, "address": head["Address"], "node_meta": head["Meta"]}
    if what == "drop":
        consul.deregister(node=node, id=key)
    elif what == "critical":
        consul.set_check(node, f"ready:{key}", "critical", instance=key)
    elif what == "no check":
        consul.deregister(node=node, check=f"ready:{key}")
    elif what == "port":
        consul.register(**on_it, service=one["Service"], id=key, port=number + 1, meta=one["Meta"])
    elif what == "strange check":
        consul.set_check(node, "theirs", "passing")
    elif what == "on our node":
        consul.register(**on_it, service="theirs", id=f"theirs-{number}", port=1, status="passing")


@attrs.frozen
class Made:
    """What one pass did."""

    empty: bool
    withheld: tuple[str, ...]
    wanted: Mapping[Key, Instance]
    held: Mapping[Key, Instance]
    kept: frozenset[tuple[str, str]]


async def passed(fake: FakeConsul, consul: Consul, cluster: Json) -> Made:
    """One pass over this cluster, and what is there afterwards."""
    running = Running(consul, Still(objects(cluster)), Leader(), OPTIONS, lambda event: None, random.Random(0))
    plan = await Single(running, OPTIONS).run(dry_run=False, timeout=5)
    wanting = running.syncing.wanting
    reader = NodeReader(consul, OPTIONS)
    found = await reader.read((await reader.named())[0])
    there = {one.instance.key: one.instance for ones in found.held.values() for one in ones}
    assert there == {key: one.instance for key, one in running.syncing.catalog.owned.items()}, "it knows what it did"
    kept = frozenset(wanting.unusable)
    wanted: dict[Key, Instance] = {}
    for key in running.cluster.keys - kept:
        wanted.update(Wanting.of(wanting, key).instances)
    return Made(plan.empty, tuple(one.reason for one in plan.withheld), wanted, there, kept)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(before=clusters, now=clusters, mischief=mischiefs)
def test_one_pass_makes_what_is_ours_as_it_is_wanted_and_touches_nothing_else(
    before: Json, now: Json, mischief: list[tuple[str, int]]
) -> None:
    async def check() -> None:
        async with FakeConsul() as fake:
            consul = Consul(Settings.read(fake.url, {}), emit=lambda event: None, rng=random.Random(0))
            try:
                await passed(fake, consul, before)
                for what, number in mischief:
                    misbehave(fake, what, number)
                others = foreign(fake)
                made = await passed(fake, consul, now)
                assert {key: one for key, one in made.held.items() if one.of not in made.kept} == made.wanted
                assert foreign(fake) == others
                writes, state = fake.writes, fake.dump()
                again = await passed(fake, consul, now)
                assert again.empty
                assert (fake.writes, fake.dump()) == (writes, state)
            finally:
                await consul.aclose()

    asyncio.run(check())
