"""What could leave the bridge wrong for ever, or sure of what it cannot know: crashes, lost answers, odd orders."""

import asyncio
from typing import Any

from ..until import until
from .scene import Scene, scene
from .test_bridge import a_slice, many, relisted, service, settled, sole


def named(name: str, port: int, called: str, **spec: Any) -> dict[str, Any]:
    """A Service that asks for a name in Consul."""
    body = service(name, port, **spec)
    body["metadata"]["annotations"] = {"consul.hashicorp.com/service-name": called}
    return body


def balanced(name: str, address: str) -> dict[str, Any]:
    """A Service of the type LoadBalancer."""
    body = service(name, 32099, type="LoadBalancer")
    return {**body, "status": {"loadBalancer": {"ingress": [{"ip": address}]}}}


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
        async with place.bridge(max_deletes=1, max_delete_percent=0.0) as bridge:
            task = asyncio.create_task(bridge.run())
            await until(lambda: bool(bridge.status.asks))
            running = bridge._running
            assert running is not None
            await bridge.approve(bridge.status.asks)
            await until(lambda: bridge.status.owned == 1, timeout=10)
            await until(lambda: running._next() is None or running._next() - running.now() > 60, timeout=10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_what_a_list_lacked_wrongly_is_removed_when_it_is_deleted_after_all() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        place.cluster.faults.hide("services", keep=0, times=1)
        async with place.running(confirm_after=0.05, repair=0.1) as bridge:
            await until(settled(place, bridge, 2))
            place.cluster.delete("services", "web")
            await until(lambda: not place.instances())


async def test_what_a_later_list_lacked_wrongly_is_removed_when_it_is_deleted_after_all() -> None:
    async with scene() as place, place.running(confirm_after=0.05, repair=0.1) as bridge:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        place.cluster.faults.hide("services", keep=0, times=1)
        await relisted(place)
        await until(lambda: not bridge._running.cluster.doubted["services"] and bridge.status.stale_for == 0)
        assert len(place.passing()) == 2
        place.cluster.delete("services", "web")
        await until(lambda: not place.instances())


async def test_a_name_is_free_when_its_service_ends_while_consul_is_away() -> None:
    async with scene() as place, place.running() as bridge:
        place.cluster.apply(named("first", 32001, "web"))
        await until(lambda: bridge.status.passes > 0)
        place.cluster.apply(service("web", 32002))
        place.cluster.apply(a_slice("web", "node-1"))
        await until(lambda: ("default", "web") in bridge.status.unusable)
        await place.consul.stop()
        await until(lambda: not bridge.status.leader_known, timeout=15)
        place.cluster.delete("services", "first")
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
        async with place.running(confirm_after=0.3) as bridge:
            await until(lambda: bridge.status.passes > 0)
            assert place.passing() == {"192.0.2.7"}
            passes = bridge.status.passes
            await until(lambda: bridge.status.passes > passes and not bridge.status.withheld)
            assert place.passing() == {"192.0.2.7"}


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
    """As when `opt_in` is set by mistake: what nobody wants any more has not been taken away by an event."""
    async with scene() as place:
        names = many(place, 6)
        async with place.running() as bridge:
            await until(settled(place, bridge, 6))
        async with place.running(opt_in=True, max_deletes=2, max_delete_percent=0.0) as bridge:
            await until(lambda: bridge.status.withheld == {"too-many": 6})
            passes = bridge.status.passes
            for name in names:
                place.cluster.apply(a_slice(name, "node-2"))
            await until(lambda: bridge.status.passes > passes + 1)
            assert bridge.status.owned == 6


async def test_a_replica_that_stood_by_is_not_surer_than_another() -> None:
    async with scene() as place, place.running() as first:
        names = many(place, 6)
        await until(settled(place, first, 6))
        async with place.running(opt_in=True, max_deletes=2, max_delete_percent=0.0) as second:
            await until(lambda: second.status.synced)
            for name in names:
                place.cluster.apply(a_slice(name, "node-1", "node-2"))
            await until(settled(place, first, 12))
            (session,) = [key for key in place.consul.dump()["sessions"]]
            first._running.leadership.contend(False)
            await until(lambda: second.status.leading)
            await until(lambda: second.status.withheld == {"too-many": 12})
            del session


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


async def test_a_leader_by_lease_undoes_the_marks_that_others_left() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 1))
        place.consul.set_check("k8s-prod--node-1", "discovery:alive", "critical")
        async with place.running(leader="lease", lease_namespace="default") as bridge:
            await until(lambda: bridge.status.leading)
            await until(
                lambda: place.consul.dump()["nodes"]["k8s-prod--node-1"]["Checks"]["discovery:alive"]["Status"] == "passing"
            )
