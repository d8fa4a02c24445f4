"""The bridge between a simulated cluster and a simulated Consul: it follows at once, and removes only what it must."""

import contextlib
from typing import Any

import pytest

import discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.testing.consul import FakeConsul

from ..until import until
from .scene import Scene, foreign, scene


def service(name: str, port: int, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": port, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "ports": ports, **spec},
    }


def a_slice(of: str, *nodes: str, ready: bool = True, name: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name or f"{of}-1", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.1.0.{number + 1}"], "nodeName": node, "conditions": {"ready": ready}}
            for number, node in enumerate(nodes)
        ],
    }


def many(place: Scene, count: int, *, first: int = 0) -> list[str]:
    """Services with one endpoint each."""
    names = [f"many-{number}" for number in range(first, first + count)]
    for number, name in enumerate(names):
        place.cluster.apply(service(name, 31000 + first + number))
        place.cluster.apply(a_slice(name, "node-1"))
    return names


def settled(place: Scene, bridge: ConsulBridge, count: int) -> Any:
    return lambda: bridge.status.owned == count and bridge.status.behind_for == 0


# The main thing


async def test_it_registers_what_is_there_once_and_writes_nothing_the_second_time() -> None:
    async with scene() as place, place.bridge() as bridge:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        plan = await bridge.once()
        assert len(plan.register) == 3
        assert len(place.passing()) == 3
        before, writes = place.consul.dump(volatile=False)["nodes"], place.consul.writes
        assert (await bridge.once()).empty
        assert (place.consul.dump(volatile=False)["nodes"], place.consul.writes) == (before, writes)


async def test_nodes_that_are_not_there_are_not_asked_for_one_by_one() -> None:
    async with scene() as place, place.bridge() as bridge:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        await bridge.once()
        reads = [path for method, path in place.consul.requests if method == "GET" and "/node" in path]
        assert reads == ["/v1/catalog/nodes"]


async def test_a_node_that_bears_our_name_and_is_not_ours_is_found_and_left_alone() -> None:
    async with scene() as place, place.bridge() as bridge:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        place.consul.register(node="k8s-prod--node-1", address="10.9.9.9")
        before = foreign(place.consul)
        plan = await bridge.once()
        assert [one.reason for one in plan.withheld] == ["foreign"]
        assert [one.instance.node for one in plan.register] == ["k8s-prod--node-2"]
        assert foreign(place.consul) == before


async def test_a_look_writes_nothing_at_all_and_needs_no_lock() -> None:
    async with scene() as place, place.bridge() as bridge, place.running("prod") as other:
        await until(lambda: other.status.leading)
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(lambda: len(place.passing()) == 2)
        place.consul.deregister(node="k8s-prod--node-1", id=sole(place, "node-1"))
        before = place.consul.writes
        plan = await bridge.once(dry_run=True)
        assert [change.instance.node for change in plan.register] == ["k8s-prod--node-1"]
        assert place.consul.writes == before


def sole(place: Scene, node: str) -> str:
    (found,) = [
        one["Service"]["ID"] for one in place.consul.instances("web") if one["Node"]["Node"].endswith(f"--{node}")
    ]
    return str(found)


async def test_it_follows_pods_nodes_and_services_as_they_come_and_go() -> None:
    async with scene() as place, place.running() as bridge:
        web = await place.cluster.deploy("web", replicas=3, kind="NodePort")
        await until(lambda: len(place.passing()) == 3)
        web.set_ready(web.pods[0], False)
        await until(lambda: len(place.passing()) == 2)
        assert len(place.instances()) == 3, "a node that is not ready stays, as critical"
        web.set_ready(web.pods[0], True)
        await until(lambda: len(place.passing()) == 3)
        place.cluster.delete("nodes", "node-2")
        await until(lambda: len(place.instances()) == 2)
        await web.scale(1)
        await until(lambda: len(place.instances()) == 1)
        place.cluster.delete("services", "web")
        await until(lambda: not place.instances())
        await until(lambda: bridge.status.owned == 0)
        assert not bridge.status.withheld


async def test_a_service_that_is_deleted_goes_at_once_even_if_it_is_the_last() -> None:
    async with scene() as place, place.running(confirm_after=3600.0):
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(lambda: len(place.passing()) == 1)
        place.cluster.delete("services", "web")
        await until(lambda: not place.instances())


async def test_a_first_fill_is_one_pass_however_large_it_is_and_so_is_one_of_nothing() -> None:
    async with scene() as place:
        async with place.running() as bridge:
            await until(lambda: bridge.status.leading and bridge.status.behind_for == 0 and bridge.status.passes == 1)
        many(place, 300)
        async with place.running() as bridge:
            await until(settled(place, bridge, 300), timeout=20)
            assert bridge.status.passes == 1
            assert len(place.told("bridge.wrote")) > 1, "the first were written while the rest was worked out"


async def test_with_nothing_changed_it_writes_nothing() -> None:
    async with scene() as place, place.running(repair=0.02) as bridge:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        await until(lambda: len(place.passing()) == 3)
        writes, passes = place.consul.writes, bridge.status.passes
        await until(lambda: bridge.status.passes > passes + 5)
        assert place.consul.writes == writes


# Started again


async def test_a_restart_removes_and_writes_nothing_of_what_is_alive() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 3))
        before, writes = foreign(place.consul, "nobody"), place.consul.writes
        async with place.running(repair=0.02) as bridge:
            await until(settled(place, bridge, 3))
            await until(lambda: bridge.status.passes > 1)
        assert (foreign(place.consul, "nobody"), place.consul.writes) == (before, writes)


async def test_what_went_while_it_was_down_goes_once_a_second_list_lacks_it_too() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 2))
        place.cluster.delete("services", "web")
        async with place.running(confirm_after=0.3) as bridge:
            await until(lambda: bridge.status.withheld == {"unconfirmed": 2})
            assert len(place.instances()) == 2
            await until(lambda: not place.instances())


@pytest.mark.parametrize("kind", ["services", "endpointslices", "nodes"])
async def test_a_list_that_is_empty_or_cut_short_removes_nothing(kind: str) -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 3))
        before = foreign(place.consul, "nobody")
        place.cluster.faults.hide(kind, keep=0, times=1)
        async with place.running(confirm_after=0.2, repair=0.02) as bridge:
            await until(lambda: bridge.status.passes > 0)
            await until(lambda: bridge.status.owned == 3 and not bridge.status.withheld)
            await until(lambda: bridge.status.passes > 2)
            assert bridge.status.owned == 3
        after = foreign(place.consul, "nobody")
        assert {name: services.keys() for name, (_, services, _) in after.items()} == {
            name: services.keys() for name, (_, services, _) in before.items()
        }
        assert len(place.passing()) == 3


@pytest.mark.parametrize(("kind", "name", "left"), [("services", "web", 0), ("nodes", "node-2", 2)])
async def test_what_a_first_list_lacked_wrongly_goes_when_an_event_ends_it(kind: str, name: str, left: int) -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        place.cluster.faults.hide(kind, keep=0, times=1)
        async with place.running(confirm_after=0.2) as bridge:
            await until(settled(place, bridge, 3))
            place.cluster.delete(kind, name)
            await until(lambda: len(place.instances()) == left)


@pytest.mark.parametrize("kind", ["services", "endpointslices", "nodes"])
async def test_nothing_is_written_before_everything_has_been_read(kind: str) -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 3))
        writes = place.consul.writes
        place.cluster.faults.answer(503, resource=kind)
        async with place.running() as bridge:
            await until(lambda: bool(place.told("watch.retry")))
            assert not bridge.status.leading, "the lock is for one that can read the cluster"
            assert not bridge.status.synced
            assert not bridge.status.ready
            assert place.consul.writes == writes
            place.cluster.faults.heal()
            await until(lambda: bridge.status.ready, timeout=20)
        assert len(place.passing()) == 3


# Lists that shrink while it runs


async def relisted(place: Scene) -> None:
    """Let no watch go on where it was, so that every list is read anew."""
    await place.cluster.stop_api()
    before = lists(place)
    place.cluster.create_namespace("meanwhile")
    place.cluster.compact()
    await place.cluster.start_api()
    await until(lambda: lists(place) > before, timeout=20)


def lists(place: Scene) -> int:
    """How often Services were listed."""
    return sum(one.verb == "list" and one.path.endswith("/services") for one in place.cluster.requests)


async def test_a_list_that_shrinks_is_believed_the_second_time() -> None:
    async with scene() as place, place.running(confirm_after=0.3) as bridge:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        await until(lambda: not place.told("bridge.withheld"))
        place.cluster.faults.hide("services", keep=0)
        await relisted(place)
        await until(lambda: not place.instances(), timeout=10)


async def test_a_list_that_shrank_for_a_moment_changes_nothing() -> None:
    async with scene() as place, place.running(confirm_after=0.2) as bridge:
        web = await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        await until(lambda: lists(place) == 2)
        place.cluster.faults.hide("services", keep=0, times=1)
        place.cluster.faults.hide("endpointslices", keep=0, times=1)
        await relisted(place)
        await until(lambda: lists(place) == 4 and bridge.status.stale_for == 0, timeout=20)  # two, and two again
        assert len(place.passing()) == 2
        await web.scale(1)
        await until(lambda: len(place.instances()) == 1)


# Too many


async def test_more_than_the_cap_is_held_back_until_an_operator_says_so() -> None:
    async with scene() as place:
        names = many(place, 12)
        async with place.running() as bridge:
            await until(settled(place, bridge, 12))
        for name in names[:9]:
            place.cluster.delete("services", name)
        async with place.running(max_deletes=5, max_delete_percent=20.0) as bridge:
            await until(lambda: bridge.status.withheld == {"too-many": 9})
            asks = bridge.status.asks
            assert asks
            (event,) = place.told("bridge.asks")
            assert event.data == {"removals": 9, "word": asks}
            await bridge.approve("another")
            place.cluster.apply(service("new", 32000))
            place.cluster.apply(a_slice("new", "node-2"))
            await until(lambda: len(place.instances("new")) == 1)
            await until(lambda: bridge.status.owned == 13)  # what is wanted goes on being written
            await bridge.approve(asks)
            await until(lambda: bridge.status.owned == 4 and not bridge.status.withheld, timeout=15)


async def test_small_steps_count_together() -> None:
    async with scene() as place:
        names = many(place, 12)
        async with place.running() as bridge:
            await until(settled(place, bridge, 12))
        for step in (names[:3], names[3:6]):
            for name in step:
                place.cluster.delete("services", name)
        async with place.running(max_deletes=5, max_delete_percent=20.0) as bridge:
            await until(lambda: bridge.status.withheld == {"too-many": 6})


async def test_events_are_evidence_enough_for_any_number() -> None:
    async with scene() as place, place.running(max_deletes=0, max_delete_percent=0.0) as bridge:
        names = many(place, 12)
        await until(settled(place, bridge, 12))
        for name in names:
            place.cluster.delete("services", name)
        await until(lambda: bridge.status.owned == 0)


# What is not ours


async def test_foreign_entries_are_left_byte_for_byte_on_our_names_and_nodes() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 3))
        node = place.consul.dump()["nodes"]["k8s-prod--node-1"]
        there = {"node": "k8s-prod--node-1", "address": node["Address"], "node_meta": node["Meta"]}
        place.consul.register(**there, service="theirs", id="theirs-1", port=1)
        place.consul.register(node="db-1", address="10.0.0.7", service="web", id="web-1", port=5432, status="passing")
        before = foreign(place.consul)
        async with place.running(shutdown="deregister") as bridge:
            await until(settled(place, bridge, 3))
            place.cluster.delete("services", "web")
            await until(lambda: bridge.status.owned == 0)
        after = foreign(place.consul)
        assert after["db-1"] == before["db-1"]
        assert after["k8s-prod--node-1"][1:] == before["k8s-prod--node-1"][1:], "the node stays for what stands on it"


async def test_what_stands_under_our_id_and_is_not_ours_is_left_alone_and_told() -> None:
    async with scene() as place, place.bridge() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        (wanted,) = (await bridge.once(dry_run=True)).register
        one = wanted.instance
        place.consul.register(node=one.node, address="10.9.9.9", service="theirs", id=one.id, port=1)
        before = foreign(place.consul)
        plan = await bridge.once()
        assert [withheld.reason for withheld in plan.withheld] == ["foreign"]
        assert foreign(place.consul) == before


async def test_two_clusters_with_the_same_names_live_side_by_side() -> None:
    from discovery.testing import FakeCluster

    async with scene() as place, FakeCluster() as other:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        there = await other.deploy("web", replicas=2, kind="NodePort")
        async with place.bridge("one") as first, place.bridge("two", cluster=other) as second:
            await first.once()
            await second.once()
            writes = place.consul.writes
            for _ in range(10):
                assert (await first.once()).empty
                assert (await second.once()).empty
            assert place.consul.writes == writes
            assert len(place.instances()) == 4
            await there.scale(1)
            other.delete("services", "web")
            mine = foreign(place.consul, "two")
            await second.once()
            assert foreign(place.consul, "two") == mine
        assert len(place.instances()) == 2


def api_service(uid: str) -> dict[str, Any]:
    """That of the API server itself, by which clusters are told apart."""
    body = service("kubernetes", 0, type="ClusterIP")
    del body["spec"]["ports"][0]["nodePort"]
    body["metadata"]["uid"] = uid
    return body


async def test_another_cluster_with_our_owner_id_touches_nothing_until_it_is_told_to_take_over() -> None:
    from discovery.testing import FakeCluster

    async with scene() as place, FakeCluster() as other:
        place.cluster.apply(api_service("one"))
        other.apply(api_service("two"))
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await other.deploy("db", replicas=1, kind="NodePort")
        async with place.bridge() as first, place.bridge(cluster=other) as second:
            await first.once()
            before, writes = foreign(place.consul, "nobody"), place.consul.writes
            with pytest.raises(discovery.ConfigurationError, match="of another cluster") as caught:
                await second.once()
            assert "--adopt" in str(caught.value)
            assert (foreign(place.consul, "nobody"), place.consul.writes) == (before, writes)
        async with place.bridge(cluster=other, adopt=True) as third:
            await third.once()
            assert not place.instances()
            assert len(place.instances("db")) == 1
        async with place.bridge(cluster=other) as fourth:
            assert (await fourth.once()).empty


async def test_drift_is_repaired() -> None:
    async with scene() as place, place.running(repair=0.05) as bridge:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        place.consul.deregister(node="k8s-prod--node-1", id=sole(place, "node-1"))
        await until(lambda: len(place.passing()) == 2)
        place.consul.set_check(
            "k8s-prod--node-2", f"ready:{sole(place, 'node-2')}", "critical", instance=sole(place, "node-2")
        )
        await until(lambda: len(place.passing()) == 2)


# Several of them


async def test_of_several_with_one_owner_id_one_writes_and_another_takes_over_without_a_gap() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(place.running())
            await until(settled(place, first, 3))
            async with place.running() as second:
                await until(lambda: second.status.synced and second.status.leader_known)
                assert second.status.ready
                assert not second.status.leading
                writes = place.consul.writes
                await stack.aclose()
                await until(settled(place, second, 3))
                assert place.consul.writes == writes, "nothing was missing, so nothing is written"


async def test_a_leader_that_is_deposed_in_the_middle_writes_nothing_more() -> None:
    async with scene() as place, place.running() as bridge:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        await until(settled(place, bridge, 3))
        (session,) = place.consul.dump()["sessions"]
        place.consul.expire_session(session)
        place.cluster.apply(service("new", 32000))
        place.cluster.apply(a_slice("new", "node-2"))
        await until(lambda: bool(place.told("leader.lost")))
        await until(lambda: len(place.instances("new")) == 1, timeout=10)  # as a leader anew


# Consul away, or refusing


async def test_while_consul_is_away_changes_are_kept_and_written_when_it_is_back() -> None:
    async with scene() as place, place.running() as bridge:
        web = await place.cluster.deploy("web", replicas=3, kind="NodePort")
        await until(settled(place, bridge, 3))
        await place.consul.stop()
        await web.scale(1)
        await until(lambda: bool(bridge.status.last_error or place.told("leader.failed")), timeout=15)
        await place.consul.start()
        await until(lambda: len(place.instances()) == 1, timeout=60)
        await until(lambda: bridge.status.behind_for == 0 and not bridge.status.last_error)


@pytest.mark.parametrize("fault", ["rate_limit", "no_leader"])
async def test_a_consul_that_cannot_take_more_is_given_time_and_nothing_is_lost(fault: str) -> None:
    async with scene() as place, place.running() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        getattr(place.consul.faults, fault)()
        many(place, 5)
        await until(lambda: bool(place.told("bridge.failed") or place.told("leader.failed")), timeout=15)
        place.consul.faults.heal()
        await until(settled(place, bridge, 6), timeout=60)


async def test_an_answer_that_is_lost_leaves_no_doubt_for_long() -> None:
    async with scene() as place, place.running() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        place.consul.faults.lose_answer(path="/v1/txn")
        many(place, 3)
        await until(settled(place, bridge, 4), timeout=30)
        assert not bridge.status.withheld


async def test_one_service_that_is_denied_does_not_hold_up_the_others() -> None:
    async with scene() as place, place.running() as bridge:
        place.consul.faults.deny_service("many-2")
        many(place, 5)
        await until(lambda: bridge.status.owned == 4 and bool(place.told("bridge.refused")))
        (event,) = place.told("bridge.refused")
        assert event.subject == "default/many-2"
        assert event.data["reason"] == "denied"
        await until(lambda: bridge.status.behind_for == 0)


async def test_an_answer_that_consul_has_filtered_proves_no_absence() -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        async with place.running() as bridge:
            await until(settled(place, bridge, 2))
        place.cluster.delete("services", "web")
        place.consul.faults.filtered()
        async with place.running(repair=0.02) as bridge:
            await until(lambda: bool(place.told("bridge.filtered")))
            passes = bridge.status.passes
            await until(lambda: bridge.status.passes > passes + 5)
            assert len(place.instances()) == 2
            place.consul.faults.heal()
            await until(lambda: not place.instances())


async def test_a_consul_restored_from_an_old_backup_is_made_current_again() -> None:
    async with scene() as place, place.running(repair=0.05) as bridge:
        web = await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        old = place.consul.snapshot()
        await web.scale(3)
        await until(settled(place, bridge, 3))
        place.consul.restore(old)
        await until(lambda: len(place.passing()) == 3, timeout=15)


# The API server away


async def test_while_the_api_server_is_away_nothing_changes() -> None:
    async with scene() as place, place.running(repair=0.02, confirm_after=0.02) as bridge:
        await place.cluster.deploy("web", replicas=3, kind="NodePort")
        await until(settled(place, bridge, 3))
        writes = place.consul.writes
        await place.cluster.stop_api()
        await until(lambda: bridge.status.stale_for > 0.2, timeout=15)
        assert len(place.passing()) == 3
        assert place.consul.writes == writes
        await place.cluster.start_api()
        await until(lambda: bridge.status.stale_for == 0, timeout=20)
        assert place.consul.writes == writes


# Bad input


async def test_a_service_that_cannot_be_registered_any_more_keeps_what_it_had_and_is_told_once() -> None:
    async with scene() as place, place.running(repair=0.02) as bridge:
        web = await place.cluster.deploy("web", replicas=2, kind="NodePort")
        await until(settled(place, bridge, 2))
        bad = {"metadata": {"annotations": {"consul.hashicorp.com/service-name": "no_name"}}}
        place.cluster.patch("services", "web", bad)
        await until(lambda: bool(bridge.status.unusable))
        (event,) = place.told("bridge.unusable")
        assert event.subject == "default/web"
        assert "no_name" in event.data["error"]
        await web.scale(1)
        await until(lambda: len(place.instances()) == 1)  # its endpoints are followed all the same
        passes = bridge.status.passes
        await until(lambda: bridge.status.passes > passes + 3)
        assert len(place.told("bridge.unusable")) == 1
        place.cluster.patch(
            "services", "web", {"metadata": {"annotations": {"consul.hashicorp.com/service-name": "shop"}}}
        )
        await until(lambda: len(place.instances("shop")) == 1 and not place.instances())
        assert not bridge.status.unusable
        assert len(place.told("bridge.usable")) == 1


async def test_of_two_services_with_one_name_the_first_keeps_it_and_the_other_gets_it_after() -> None:
    async with scene() as place, place.running() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(settled(place, bridge, 1))
        place.cluster.create_namespace("shop")
        body = service("web", 32111)
        body["metadata"]["namespace"] = "shop"
        place.cluster.apply(body)
        endpoints = a_slice("web", "node-3")
        endpoints["metadata"]["namespace"] = "shop"
        place.cluster.apply(endpoints)
        await until(lambda: ("shop", "web") in bridge.status.unusable)
        assert len(place.instances()) == 1
        place.cluster.delete("services", "web")
        await until(lambda: not bridge.status.unusable)
        await until(lambda: {one["Service"]["Port"] for one in place.consul.instances("web")} == {32111})


# Policies, and the end


@pytest.mark.parametrize(("policy", "left", "port"), [("upsert-only", 2, 32001), ("create-only", 2, 32000)])
async def test_a_policy_bounds_what_is_done(policy: Any, left: int, port: int) -> None:
    async with scene() as place, place.running(policy=policy) as bridge:
        place.cluster.apply(service("web", 32000))
        place.cluster.apply(a_slice("web", "node-1", "node-2"))
        await until(settled(place, bridge, 2))
        place.cluster.apply(service("web", 32001))
        place.cluster.apply(a_slice("web", "node-1"))
        await until(lambda: bridge.status.withheld.get("policy", 0) > 0)
        ports = {one["Node"]["Node"]: one["Service"]["Port"] for one in place.consul.instances("web")}
        assert len(ports) == left
        await until(
            lambda: (
                {one["Node"]["Node"]: one["Service"]["Port"] for one in place.consul.instances("web")}[
                    "k8s-prod--node-1"
                ]
                == port
            )
        )


@pytest.mark.parametrize(("shutdown", "expected"), [("keep", [2, 2]), ("critical", [0, 2]), ("deregister", [0, 0])])
async def test_the_end_leaves_what_it_was_told_to_leave(shutdown: Any, expected: list[int]) -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        async with place.running(shutdown=shutdown) as bridge:
            await until(settled(place, bridge, 2))
        assert [len(place.passing()), len(place.instances())] == expected
        assert not place.consul.dump()["sessions"], "the lock is free at once"


async def test_one_pass_waits_for_nobody_who_leads_longer_than_it_was_told() -> None:
    async with scene() as place, place.running() as other, place.bridge() as bridge:
        await until(lambda: other.status.leading)
        with pytest.raises(discovery.NotReady, match="another bridge with the owner id prod leads"):
            await bridge.once(timeout=0.3)


async def test_one_pass_without_rights_says_so_at_once() -> None:
    async with scene() as place, place.bridge() as bridge:
        place.cluster.faults.deny("nodes")
        with pytest.raises(discovery.AccessDenied, match="nodes"):
            await bridge.once(timeout=30)


async def test_a_bridge_runs_once_at_a_time() -> None:
    async with scene(), FakeConsul(), scene() as place, place.running() as bridge:
        await until(lambda: bridge.status.leading)
        with pytest.raises(RuntimeError, match="runs already"):
            await bridge.once()
