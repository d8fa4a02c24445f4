"""What could leave the bridge wrong for ever, or sure of what it cannot know: crashes, lost answers, odd orders."""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.leading.freshness import Freshness
from discovery.bridge.options import BridgeOptions
from discovery.bridge.running import Running
from discovery.consul.api import Consul
from discovery.consul.settings import Settings
from discovery.events import Event
from discovery.testing import FakeCluster

from ..until import until
from .scene import Scene, scene
from .test_bridge import a_slice, lists, many, service, settled, sole


def named(name: str, port: int, called: str, **spec: Any) -> dict[str, Any]:
    """A Service that asks for a name in Consul."""
    body = service(name, port, **spec)
    body["metadata"]["annotations"] = {"consul.hashicorp.com/service-name": called}
    return body


def balanced(name: str, address: str) -> dict[str, Any]:
    """A Service of the type LoadBalancer."""
    body = service(name, 32099, type="LoadBalancer")
    return {**body, "status": {"loadBalancer": {"ingress": [{"ip": address}]}}}


def running(bridge: ConsulBridge) -> Running:
    """What is within one that runs."""
    assert bridge._running is not None
    return bridge._running


async def relisted(place: Scene, meanwhile: Callable[[], None] = lambda: None, times: int = 1) -> None:
    """Let no watch go on where it was, so that every list is read anew; something may happen before that."""
    await place.cluster.stop_api()
    before = listed(place)
    meanwhile()
    place.cluster.create_namespace(f"meanwhile-{times}")
    place.cluster.compact()
    await place.cluster.start_api()
    await until(lambda: all(count > before[kind] for kind, count in listed(place).items()), timeout=30)


def listed(place: Scene) -> dict[str, int]:
    """How often each kind was listed."""
    paths = [one.path for one in place.cluster.requests if one.verb == "list"]
    return {kind: sum(path.endswith(f"/{kind}") for path in paths) for kind in ("services", "endpointslices", "nodes")}


def ports(place: Scene, name: str) -> set[int]:
    return {one["Service"]["Port"] for one in place.consul.instances(name)}


# Never again


async def test_a_repair_that_could_not_read_consul_is_made_up_for() -> None:
    async with scene() as place, place.running(repair=0.05) as bridge:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        place.consul.faults.answer(500, "rpc error", times=1, path="/v1/catalog/nodes")
        await until(lambda: bool(place.told("bridge.recovered")))
        place.consul.deregister(node="k8s-prod--node-1", id=sole(place, "node-1"))
        await until(lambda: len(place.passing()) == 2)


async def test_once_nothing_is_to_be_approved_any_more_it_rests() -> None:
    async with scene() as place:
        names = many(place, 4)
        async with place.running() as bridge:
            await until(settled(place, bridge, 4))
        for name in names[:3]:
            place.cluster.delete("services", name)
        async with place.running(max_deletes=1, max_delete_percent=0.0) as bridge:
            await until(lambda: bool(bridge.status.asks))
            await bridge.approve(bridge.status.asks)
            await until(lambda: bridge.status.owned == 1, timeout=10)
            within = running(bridge)
            await until(lambda: (within._next() or 0.0) - within.now() > 60, timeout=10)


@pytest.mark.parametrize(("kind", "name"), [("services", "web"), ("endpointslices", "web-1"), ("nodes", "node-1")])
async def test_what_the_first_list_lacked_wrongly_is_followed_to_its_end(kind: str, name: str) -> None:
    async with scene() as place:
        place.cluster.apply(balanced("web", "192.0.2.7") if kind == "services" else service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1"))
        place.cluster.faults.hide(kind, keep=0, times=1)
        async with place.running(confirm_after=0.05, repair=0.1) as bridge:
            await until(settled(place, bridge, 1))
            await relisted(place, lambda: place.cluster.delete(kind, name))
            await until(lambda: not place.instances(), timeout=20)


@pytest.mark.parametrize(("kind", "name"), [("services", "web"), ("endpointslices", "web-1"), ("nodes", "node-1")])
async def test_what_a_later_list_lacked_wrongly_is_followed_to_its_end(kind: str, name: str) -> None:
    async with scene() as place, place.running(confirm_after=0.05, repair=0.1) as bridge:
        place.cluster.apply(balanced("web", "192.0.2.7") if kind == "services" else service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1"))
        await until(settled(place, bridge, 1))
        await until(lambda: lists(place) == 2)
        place.cluster.faults.hide(kind, keep=0, times=1)
        await relisted(place)
        await until(lambda: lists(place) >= 4 and bridge.status.stale_for == 0, timeout=20)
        assert len(place.passing()) == 1
        await relisted(place, lambda: place.cluster.delete(kind, name), times=2)
        await until(lambda: not place.instances(), timeout=20)


async def test_a_lock_that_was_lost_and_is_ours_again_leaves_nothing_of_what_was_known() -> None:
    async with scene() as place, place.running(debounce=0.3, max_debounce=0.3) as bridge:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        place.consul.deregister(node="k8s-prod--node-1", id=sole(place, "node-1"))  # another leader may do so
        place.consul.expire_session(*place.consul.dump()["sessions"])
        await until(lambda: len(place.passing()) == 2)
        assert len(place.told("leader.gained")) == 2


async def test_a_name_is_free_when_its_service_ends_while_nobody_leads() -> None:
    async with scene() as place, place.running() as bridge:
        place.cluster.apply(named("first", 32001, "web"))
        place.cluster.apply(service("other", 32003))
        place.cluster.apply(a_slice("other", "node-1"))
        await until(settled(place, bridge, 1))
        place.cluster.apply(service("web", 32002))
        place.cluster.apply(a_slice("web", "node-1"))
        await until(lambda: ("default", "web") in bridge.status.unusable)
        await place.consul.stop()
        await until(lambda: not bridge.status.leader_known, timeout=15)
        place.cluster.delete("services", "first")
        await until(lambda: ("default", "first") not in running(bridge).cluster)
        await place.consul.start()
        await until(lambda: len(place.instances()) == 1, timeout=60)
        assert not bridge.status.unusable


async def test_after_a_restart_a_name_is_still_of_the_service_that_had_it() -> None:
    async with scene() as place:
        async with place.running() as bridge:
            place.cluster.apply(service("web", 32002))
            place.cluster.apply(a_slice("web", "node-1"))
            place.cluster.apply(service("a", 32001))
            place.cluster.apply(a_slice("a", "node-2"))
            await until(settled(place, bridge, 2))
            place.cluster.apply(named("a", 32001, "web"))
            await until(lambda: ("default", "a") in bridge.status.unusable)
        async with place.running() as bridge:
            await until(lambda: bridge.status.passes > 0)
            await until(lambda: bool(bridge.status.unusable))
            assert ports(place, "web") == {32002}
            assert set(bridge.status.unusable) == {("default", "a")}


# Not sure


async def test_a_list_of_slices_that_is_empty_marks_nothing_critical() -> None:
    async with scene() as place:
        place.cluster.apply(balanced("web", "192.0.2.7"))
        place.cluster.apply(a_slice("web", "node-1"))
        async with place.running() as bridge:
            await until(settled(place, bridge, 1))
            assert place.passing() == {"192.0.2.7"}
        place.cluster.faults.hide("endpointslices", keep=0, times=1)
        async with place.running(confirm_after=0.2) as bridge:
            await until(lambda: bridge.status.withheld == {"unconfirmed": 1})
            await until(lambda: bridge.status.passes > 1 and not bridge.status.withheld)
            assert place.passing() == {"192.0.2.7"}
            assert not bridge.status.changes


async def test_what_became_critical_while_it_was_down_is_marked_once_a_second_list_says_so_too() -> None:
    async with scene() as place:
        place.cluster.apply(service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1"))
        async with place.running() as bridge:
            await until(settled(place, bridge, 1))
        place.cluster.apply(a_slice("web", "node-1", ready=False))
        async with place.running(confirm_after=0.2) as bridge:
            await until(lambda: bridge.status.withheld == {"unconfirmed": 1})
            assert len(place.passing()) == 1
            await until(lambda: not place.passing())
            assert len(place.instances()) == 1


async def test_what_it_registered_itself_is_marked_critical_at_once_by_an_event() -> None:
    async with scene() as place, place.running(confirm_after=3600.0) as bridge:
        place.cluster.apply(service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1", "node-2"))
        await until(settled(place, bridge, 2))
        place.cluster.apply(a_slice("web", "node-1", "node-2", ready=False))
        await until(lambda: not place.passing())
        place.cluster.apply(a_slice("web", "node-1", ready=False))
        await until(lambda: len(place.instances()) == 1)


async def test_an_event_proves_nothing_of_what_the_first_list_lacked() -> None:
    async with scene() as place:
        place.cluster.apply(service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1", name="web-1"))
        place.cluster.apply(a_slice("web", "node-2", name="web-2"))
        async with place.running() as bridge:
            await until(settled(place, bridge, 2))
        place.cluster.faults.hide("endpointslices", keep=1, times=1)
        async with place.running(confirm_after=3600.0) as bridge:
            await until(lambda: bridge.status.withheld == {"unconfirmed": 1})
            place.cluster.apply(a_slice("web", "node-1", "node-3", name="web-1"))
            await until(lambda: len(place.passing()) == 3)
            assert bridge.status.withheld == {"unconfirmed": 1}


async def test_an_event_is_no_leave_to_remove_what_it_did_not_take_away() -> None:
    """As when `opt_in` is set by mistake: what is not wanted any more has not been taken away by an event."""
    async with scene() as place:
        names = many(place, 6)
        async with place.running() as bridge:
            await until(settled(place, bridge, 6))
        async with place.running(opt_in=True, max_deletes=2, max_delete_percent=0.0) as bridge:
            await until(lambda: bridge.status.withheld == {"too-many": 6})
            for name in names:
                place.cluster.apply(a_slice(name, "node-2"))
            wanted = service("wanted", 32111)
            wanted["metadata"]["annotations"] = {"consul.hashicorp.com/service-sync": "true"}
            place.cluster.apply(wanted)
            place.cluster.apply(a_slice("wanted", "node-1"))
            await until(lambda: len(place.passing("wanted")) == 1)
            assert bridge.status.withheld == {"too-many": 6}
            assert bridge.status.owned == 7


async def test_a_replica_that_stood_by_is_no_surer_than_another() -> None:
    async with scene() as place, contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(place.running())
        names = many(place, 6)
        await until(settled(place, first, 6))
        async with place.running(opt_in=True, max_deletes=2, max_delete_percent=0.0) as second:
            await until(lambda: second.status.synced)
            for name in names:
                place.cluster.apply(a_slice(name, "node-1", "node-2"))
            await until(settled(place, first, 12))
            await stack.aclose()
            await until(lambda: second.status.withheld == {"too-many": 12})


async def test_a_replica_that_stood_by_acts_at_once_on_what_it_heard_to_end() -> None:
    async with scene() as place, contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(place.running(policy="create-only"))
        names = many(place, 6)
        await until(settled(place, first, 6))
        async with place.running(confirm_after=3600.0, max_deletes=2, max_delete_percent=0.0) as second:
            await until(lambda: second.status.synced)
            for name in names:
                place.cluster.delete("services", name)
            await until(lambda: first.status.withheld == {"policy": 6})
            await stack.aclose()
            await until(lambda: second.status.leading and second.status.owned == 0 and second.status.passes > 0)
            assert not place.consul.services().keys() & set(names)


async def test_who_does_not_lead_any_more_holds_nothing_back() -> None:
    async with scene() as place:
        names = many(place, 4)
        async with place.running() as bridge:
            await until(settled(place, bridge, 4))
        for name in names:
            place.cluster.delete("services", name)
        async with place.running(max_deletes=1, max_delete_percent=0.0) as bridge:
            await until(lambda: bool(bridge.status.asks))
            await place.consul.stop()
            await until(lambda: not bridge.status.leading, timeout=15)
            await until(lambda: not bridge.status.withheld and not bridge.status.asks)


# Not ours


async def test_a_node_that_has_our_owner_id_and_not_our_mark_is_left_alone() -> None:
    async with scene() as place, place.running(repair=0.02) as bridge:
        meta = {"owner-id": "prod", "external-node": "true"}
        place.consul.register(node="printer", address="10.0.0.9", node_meta=meta)
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        passes = bridge.status.passes
        await until(lambda: bridge.status.passes > passes + 3)
        assert "printer" in place.consul.dump()["nodes"]


# Freshness, and the Lease


class ByLease:
    """Leads, and has no fence. Implements `Leadership`."""

    leading = known = True
    holder = "test"
    error = fence = None

    def check(self) -> None:
        """Any write may be begun."""

    async def run(self, changed: Callable[[], None]) -> None:
        """For ever."""
        await asyncio.Event().wait()


async def test_a_leader_by_lease_undoes_the_marks_that_others_left_and_makes_none() -> None:
    silent, events = 0.0, list[Event]()
    async with scene() as place:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 1))
        place.consul.set_check("k8s-prod--node-1", "discovery:alive", "critical")
        place.consul.register(node="printer", address="10.0.0.9", node_meta={"owner-id": "prod"})
        place.consul.set_check("printer", "discovery:alive", "critical")
        consul = Consul(Settings.read(place.consul.url, {}), emit=events.append, rng=random.Random(1))
        options = BridgeOptions(owner="prod", leader="lease")
        fresh = Freshness(consul, ByLease(), options, silent_for=lambda: silent, emit=events.append)
        await fresh.look()
        assert mark(place, "k8s-prod--node-1") == "passing"
        assert mark(place, "printer") == "critical", "it is not ours"
        silent, writes = 3600.0, place.consul.writes
        await fresh.look()
        assert place.consul.writes == writes
        await consul.aclose()


def mark(place: Scene, node: str) -> str:
    return str(place.consul.dump()["nodes"][node]["Checks"]["discovery:alive"]["Status"])


# No storm


async def test_a_node_that_consul_refuses_each_time_is_not_tried_for_ever() -> None:
    async with scene() as place:
        place.cluster.apply(service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1"))
        async with place.running() as bridge:
            await until(settled(place, bridge, 1))
        node = place.consul.dump()["nodes"]["k8s-prod--node-1"]
        place.consul.register(node="k8s-prod--node-1", address="10.9.9.9", node_meta=node["Meta"])
        refusal = {"Results": None, "Errors": [{"OpIndex": 1, "What": "no such address"}]}
        place.consul.faults.answer(409, json.dumps(refusal), path="/v1/txn")
        async with place.running() as bridge:
            await until(lambda: bridge.status.passes > 0 and bridge.status.behind_for == 0)
            (event,) = place.told("bridge.refused")
            assert event.subject == "k8s-prod--node-1"
            assert bridge.status.transactions == 3
            place.consul.faults.heal()
            place.cluster.apply(a_slice("web", "node-1", "node-2"))
            await until(lambda: len(place.passing()) == 2)


async def test_an_instance_that_conflicts_each_time_holds_up_no_other() -> None:
    async with scene() as place, place.running() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        stale = {"Results": None, "Errors": [{"OpIndex": 1, "What": "failed to set service, index is stale"}]}
        place.consul.faults.answer(409, json.dumps(stale), path="/v1/txn")
        place.cluster.apply(service("new", 32002))
        place.cluster.apply(a_slice("new", "node-1"))
        await until(lambda: bridge.status.withheld == {"conflict": 1})
        place.consul.faults.heal()
        many(place, 3)
        await until(settled(place, bridge, 4))
        assert bridge.status.withheld == {"conflict": 1}


# Blind


async def test_a_leader_that_cannot_read_the_cluster_any_more_gives_way_to_one_that_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("discovery.bridge.options.SHORTEST_EXPIRY", 0.0)
    async with scene() as place, FakeCluster() as other:
        for cluster in (place.cluster, other):  # one cluster, seen from two places
            cluster.apply(service("web", 32001))
            cluster.apply(a_slice("web", "node-1"))
        async with place.running(expire_after=4.0) as first:
            await until(settled(place, first, 1))
            async with place.running(cluster=other, expire_after=4.0) as second:
                await until(lambda: second.status.synced)
                await place.cluster.stop_api()
                other.apply(service("new", 32002))
                other.apply(a_slice("new", "node-1"))
                await until(lambda: len(place.passing("new")) == 1, timeout=20)
                assert second.status.leading
                assert not first.status.leading
                assert not place.told("freshness.expired")


async def test_a_leader_that_cannot_read_the_cluster_and_is_alone_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discovery.bridge.options.SHORTEST_EXPIRY", 0.0)
    async with scene() as place, place.running(expire_after=0.4) as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        await place.cluster.stop_api()
        await until(lambda: not bridge.status.leading, timeout=10)
        await until(lambda: bridge.status.leading, timeout=15)
        await until(lambda: mark(place, "k8s-prod--node-1") == "critical", timeout=15)
        await place.cluster.start_api()
        await until(lambda: mark(place, "k8s-prod--node-1") == "passing", timeout=20)
        assert len(place.passing()) == 1


# Unreadable


@pytest.mark.parametrize("kind", ["services", "endpointslices", "nodes"])
async def test_what_is_there_and_cannot_be_read_is_not_taken_for_gone(kind: str) -> None:
    async with scene() as place:
        place.cluster.apply(service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1"))
        async with place.running() as bridge:
            await until(settled(place, bridge, 1))
        broken: dict[str, tuple[str, Any]] = {
            "services": ("web", {"spec": {"ports": "none"}}),
            "endpointslices": ("web-1", {"endpoints": "none"}),
            "nodes": ("node-1", {"status": {"addresses": "none"}}),
        }
        name, change = broken[kind]
        place.cluster.patch(kind, name, change)
        async with place.running(repair=0.05) as bridge:
            await until(lambda: bool(place.told("object.unreadable")) and bridge.status.passes > 0)
            await until(lambda: running(bridge).confirming.confirmed)
            passes = bridge.status.passes
            await until(lambda: bridge.status.passes > passes + 2)
            assert len(place.passing()) == 1
            assert bridge.status.withheld == ({"unconfirmed": 1})
            place.cluster.delete(kind, name)
            await until(lambda: not place.instances())


# Refused


async def test_what_consul_refuses_of_a_service_does_not_hold_up_the_rest_of_it_and_is_not_hidden() -> None:
    async with scene() as place, place.running() as bridge:
        place.consul.faults.deny_service("web-rpc")
        ports = [
            {"name": "http", "port": 80, "nodePort": 32001, "protocol": "TCP"},
            {"name": "rpc", "port": 81, "nodePort": 32002, "protocol": "TCP"},
        ]
        place.cluster.apply(service("web", 32001, ports=ports))
        both = [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "rpc", "port": 8081, "protocol": "TCP"}]
        place.cluster.apply({**a_slice("web", "node-1"), "ports": both})
        await until(lambda: place.passing() and place.told("bridge.refused"))
        place.cluster.apply({**a_slice("web", "node-1", ready=False), "ports": both})
        await until(lambda: not place.passing())
        await until(lambda: bridge.status.withheld == {"denied": 1})
        assert len(place.told("bridge.refused")) == 1
        place.cluster.delete("services", "web")
        await until(lambda: bridge.status.owned == 0 and not bridge.status.withheld)
