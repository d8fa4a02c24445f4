"""Transactions: as few as the limits allow, in the order that nobody is left with nothing; and the whole pure pass."""

import itertools
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.batches import Batch, batches, packed
from discovery.bridge.plan.changes import Change, NodeChange, Plan, compare
from discovery.bridge.plan.guard import guarded
from discovery.bridge.plan.operations import node_cas, readiness_cas, service_cas
from discovery.bridge.plan.units import Unit, held_after, node_after, unit_of
from discovery.bridge.records import Held, Instance
from discovery.bridge.registry.catalog import Catalog

from .entries import OPTIONS, PROBED, SmallConsul, by_key, entry, held, held_node, instance

FENCE = b'{"KV":{"Verb":"check-session","Key":"discovery/prod-eu/leader","Session":"6a1c3c4e"}}'


def registers(count: int, nodes: int = 1) -> tuple[Change, ...]:
    return tuple(Change("register", instance(f"s{number // nodes}", number % nodes)) for number in range(count))


def removals(count: int) -> tuple[Change, ...]:
    old = [instance(f"old{number}") for number in range(count)]
    return tuple(Change("deregister", one, held(one)) for one in old)


def sizes(plan: Plan, options: BridgeOptions = OPTIONS, **more: Any) -> list[int]:
    """Operations of each transaction, with its fence."""
    fence = 0 if more.get("fence") is None else 1
    return [len(batch.operations) + fence for batch in batches(plan, options, **more)]


def test_a_first_fill_of_15000_instances_on_100_nodes_is_239_transactions() -> None:
    nodes = tuple(NodeChange("create", entry(number)) for number in range(100))
    plan = Plan(register=registers(15_000, 100), nodes=nodes)

    made = sizes(plan, fence=FENCE)

    assert len(made) == 239
    assert max(made) <= 128


def test_as_many_removals_as_additions_are_three_transactions() -> None:
    made = list(batches(Plan(register=registers(112), deregister=removals(112)), OPTIONS, fence=FENCE))

    assert len(made) == 3
    assert [batch.after for batch in made] == [False, True, True]


def test_a_plan_that_is_empty_makes_no_transaction() -> None:
    assert list(batches(Plan(), OPTIONS, fence=FENCE)) == []


@pytest.mark.parametrize(("fence", "each"), [(FENCE, 63), (None, 64)])
def test_the_fence_takes_the_place_of_one_operation(fence: bytes | None, each: int) -> None:
    made = list(batches(Plan(register=registers(200)), OPTIONS, fence=fence))

    assert [len(batch.units) for batch in made[:-1]] == [each] * (len(made) - 1)


def test_an_instance_and_its_checks_are_never_parted() -> None:
    for batch in batches(Plan(register=registers(100)), PROBED, fence=FENCE, most=9):
        assert [len(unit.operations) for unit in batch.units] in ([3, 3], [3])


def test_bytes_are_counted_as_they_are_sent() -> None:
    plan = Plan(register=registers(50))

    for batch in batches(plan, OPTIONS, fence=FENCE, longest=10_000):
        assert len(b"[" + b",".join([FENCE, *batch.operations]) + b"]") <= 10_000
    assert len(list(batches(plan, OPTIONS, fence=FENCE, longest=10_000))) < 10


def test_what_is_longer_than_any_transaction_goes_alone() -> None:
    huge = Change("register", instance("huge", meta={"text": "x" * 5000}))

    made = list(batches(Plan(register=(*registers(1), huge)), OPTIONS, longest=2000))

    assert [len(batch.units) for batch in made] == [1, 1]


def test_nodes_go_before_what_stands_on_them() -> None:
    nodes = tuple(NodeChange("create", entry(number)) for number in range(200))

    made = list(batches(Plan(register=registers(200, 200), nodes=nodes), OPTIONS, fence=FENCE))

    assert [batch.after for batch in made] == [False, True, True, False, False]
    assert all(isinstance(unit.change, NodeChange) for unit in made[0].units)


def test_nodes_are_not_deleted_by_a_batch() -> None:
    assert list(batches(Plan(nodes=(NodeChange("delete", entry(), held_node()),)), OPTIONS)) == []


def test_what_becomes_critical_waits_for_what_takes_its_place() -> None:
    leaving = instance("web", 1, status="critical")
    plan = Plan(
        register=(Change("register", instance("web", 2)),),
        update=(Change("check", leaving, held(attrs.evolve(leaving, status="passing"))),),
        deregister=removals(1),
    )

    (batch,) = batches(plan, OPTIONS)

    assert [unit.change.action for unit in batch.units] == ["register", "check", "deregister"]


def test_the_units_of_a_node_are_together() -> None:
    made = list(batches(Plan(register=registers(300, 10)), OPTIONS))

    nodes = [unit.node for batch in made for unit in batch.units]
    assert len([one for one, other in itertools.pairwise(nodes) if one != other]) == 9


def test_a_batch_is_made_when_it_is_asked_for() -> None:
    """To encode all of a first fill at once would stop every other task."""
    made = batches(Plan(register=registers(15_000, 100)), OPTIONS, fence=FENCE)
    next(made)
    since = time.process_time()
    for _ in range(20):
        next(made)

    assert (time.process_time() - since) / 20 < 0.01


def parted(batch_list: Iterable[Batch]) -> Iterator[list[Batch]]:
    """The batches that may go at once, group after group."""
    group: list[Batch] = []
    for batch in batch_list:
        if batch.after and group:
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def phase(unit: Unit) -> int:
    if isinstance(unit.change, NodeChange):
        return 0
    return 2 if unit.change.withdraws else 1


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(3, 12))
def test_what_must_come_first_has_been_answered_before_what_follows_is_sent(
    nodes: int, adds: int, leaving: int, most: int
) -> None:
    plan = Plan(
        nodes=tuple(NodeChange("create", entry(number)) for number in range(nodes)),
        register=registers(adds),
        deregister=removals(leaving),
    )
    groups = list(parted(batches(plan, OPTIONS, fence=FENCE, most=most)))

    earlier = 0
    for group in groups:
        phases = [phase(unit) for batch in group for unit in batch.units]
        assert min(phases) >= earlier
        earlier = max(phases)
        if len(group) > 1:
            assert len(set(phases)) == 1 or [len(set(map(phase, batch.units))) for batch in group[:-1]] == [1]
        for batch in group:
            assert [phase(unit) for unit in batch.units] == sorted(phase(unit) for unit in batch.units)
    assert sum(len(batch.units) for group in groups for batch in group) == nodes + adds + leaving


@given(st.lists(st.integers(1, 5), max_size=40), st.integers(6, 20), st.integers(0, 3000))
def test_no_group_is_beyond_the_limits_and_nothing_is_lost_or_moved(counts: list[int], most: int, more: int) -> None:
    units = [
        Unit(Change("register", instance(f"s{n}")), (b"x" * 99,) * count, (), 100 * count)
        for n, count in enumerate(counts)
    ]
    longest = 600 + len(FENCE) + more

    groups = list(packed(units, fence=FENCE, most=most, longest=longest))

    assert [unit for group in groups for unit in group] == units
    for group in groups:
        operations = [FENCE, *(one for unit in group for one in unit.operations)]
        assert len(operations) <= most
        assert len(b"[" + b",".join(operations) + b"]") <= longest


# The whole pass, from any state


NAMES = ("a", "b", "c")
NODES = (1, 2, 3)
ALL = [instance(name, node) for name in NAMES for node in NODES]
OTHER = "prod-us"

WISHES = st.lists(
    st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {}, optional={"port": st.integers(1, 2), "status": st.sampled_from(["passing", "critical"])}
        ),
    ),
    min_size=len(ALL),
    max_size=len(ALL),
)
ROWS = st.lists(
    st.sampled_from(["none", "ours", "ours", "no check", "critical", "drifted", "renamed", "foreign", "other owner"]),
    min_size=len(ALL),
    max_size=len(ALL),
)
ON_NODES = st.lists(
    st.sampled_from(["none", "ours", "ours", "ours", "drifted", "foreign", "agent", "with others", "checked"]),
    min_size=len(NODES),
    max_size=len(NODES),
)


def written_by_somebody(nodes: list[str], rows: list[str], probed: bool) -> SmallConsul:
    consul = SmallConsul()
    for number, what in zip(NODES, nodes, strict=True):
        name, theirs = f"n{number}", {"owner-id": OTHER}
        if what == "none":
            continue
        meta = theirs if what == "foreign" else dict(entry(number).meta)
        consul.put("Node", (name,), Address="10.1.1.1" if what == "drifted" else f"10.0.0.{number}", Meta=meta)
        if what == "agent":
            consul.put("Check", (name, "serfHealth"), CheckID="serfHealth", ServiceID="", Status="passing")
        if what == "checked":
            consul.put("Check", (name, "disk"), CheckID="disk", ServiceID="", Status="passing")
        if what == "with others":
            consul.put("Service", (name, "theirs"), ID="theirs", Service="a", Port=1, Meta=theirs)
    for one, what in zip(ALL, rows, strict=True):
        if what != "none" and (one.node,) in consul.tables["Node"]:
            put(consul, one, what, probed)
    return consul


def put(consul: SmallConsul, one: Instance, what: str, probed: bool) -> None:
    meta: dict[str, str] | None = dict(one.meta)
    if what in ("foreign", "other owner"):
        meta = None if what == "foreign" else {**dict(one.meta), "owner-id": OTHER}
    there = attrs.evolve(
        one,
        port=4 if what == "drifted" else one.port,
        service="old" if what == "renamed" else one.service,
        status="critical" if what == "critical" else "passing",
    )
    weights = {"Passing": 0, "Warning": 0}
    consul.put(
        "Service",
        (one.node, one.id),
        ID=one.id,
        Service=there.service,
        Address=one.address,
        Port=there.port,
        Meta=meta,
        Tags=list(one.tags),
        Weights=weights,
    )
    if what != "no check":
        name = f"ready:{one.id}"
        consul.put("Check", (one.node, name), CheckID=name, ServiceID=one.id, Status=there.status)
    if probed:
        name = f"probe:{one.id}"
        consul.put(
            "Check", (one.node, name), CheckID=name, ServiceID=one.id, Status="critical", Definition={"TCP": "x:1"}
        )


def planned(wanted: Iterable[Instance], catalog: Catalog, options: BridgeOptions) -> Plan:
    of: dict[tuple[str, str], list[Instance]] = {key: [] for key in catalog.services}
    for one in wanted:
        of.setdefault(one.of, []).append(one)
    changes = [change for key, ones in of.items() for change in compare(key, by_key(ones), catalog, options)]
    nodes = {one.node: entry(int(one.node[1:])) for one in wanted}
    return guarded(
        changes, catalog, options, nodes=nodes, sure=lambda _: True, confirmed=lambda _: False, approved=False
    )


def write(plan: Plan, consul: SmallConsul, catalog: Catalog, options: BridgeOptions, rng: random.Random) -> None:
    """Every batch, those of one group in any order; the small Consul raises where one is refused."""
    probed = options.probe is not None
    for group in parted(list(batches(plan, options, most=7))):
        rng.shuffle(group)
        for batch in group:
            keep(batch.units, catalog, consul.transact(batch.operations), probed)
    for node in plan.nodes:
        if node.action == "delete":
            consul.transact(unit_of(node, probed).operations)
            catalog.drop_node(node.entry.name)


def keep(units: Iterable[Unit], catalog: Catalog, indexes: dict[tuple[str, str, str], int], probed: bool) -> None:
    for unit in units:
        change = unit.change
        if isinstance(change, NodeChange):
            catalog.put_node(node_after(change, catalog.nodes.get(change.entry.name), indexes))
        elif change.action == "deregister":
            catalog.drop(change.instance.key)
        else:
            catalog.put(held_after(change, probed, indexes))


@settings(max_examples=300, deadline=None)
@given(WISHES, ROWS, ON_NODES, st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_from_any_state_one_pass_gives_what_is_planned_and_leaves_the_rest_byte_for_byte(
    wishes: list[dict[str, Any] | None], rows: list[str], nodes: list[str], was: bool, probed: bool, rng: random.Random
) -> None:
    options = PROBED if probed else OPTIONS
    wanted = [attrs.evolve(one, **wish) for one, wish in zip(ALL, wishes, strict=True) if wish is not None]
    consul = written_by_somebody(nodes, rows, was)
    foreign = consul.foreign()
    catalog = consul.catalog()
    plan = planned(wanted, catalog, options)
    left = {one.change.instance.key: one for one in plan.withheld}

    write(plan, consul, catalog, options, rng)

    after = consul.catalog()
    assert consul.foreign() == foreign
    assert dict(catalog.owned) == dict(after.owned)  # no need to read again
    assert {name: node.entry for name, node in catalog.nodes.items()} == {
        name: node.entry for name, node in after.nodes.items()
    }
    should = {one.key: one for one in wanted if one.key not in left}
    assert {key: one.instance for key, one in after.owned.items() if key not in left} == should
    assert planned(wanted, after, options).empty


@given(WISHES, ROWS, st.randoms(use_true_random=False))
def test_a_pass_that_ends_anywhere_is_made_whole_by_the_next_one(
    wishes: list[dict[str, Any] | None], rows: list[str], rng: random.Random
) -> None:
    wanted = [attrs.evolve(one, **wish) for one, wish in zip(ALL, wishes, strict=True) if wish is not None]
    consul = written_by_somebody(["ours"] * len(NODES), rows, False)
    catalog = consul.catalog()
    made = list(batches(planned(wanted, catalog, OPTIONS), OPTIONS, most=7))
    for batch in made[: rng.randint(0, len(made))]:
        consul.transact(batch.operations)

    catalog = consul.catalog()
    write(planned(wanted, catalog, OPTIONS), consul, catalog, OPTIONS, rng)

    assert planned(wanted, consul.catalog(), OPTIONS).empty


@given(WISHES, ROWS, st.randoms(use_true_random=False))
def test_at_no_moment_has_a_service_nothing_if_it_had_something_and_shall_have_something(
    wishes: list[dict[str, Any] | None], rows: list[str], rng: random.Random
) -> None:
    wanted = [attrs.evolve(one, **wish) for one, wish in zip(ALL, wishes, strict=True) if wish is not None]
    consul = written_by_somebody(["ours"] * len(NODES), rows, False)
    catalog = consul.catalog()
    plan = planned(wanted, catalog, OPTIONS)
    left = {one.change.instance.key for one in plan.withheld}
    served = {one.of for one in wanted if one.status == "passing" and one.key not in left} & _served(consul)
    for group in parted(list(batches(plan, OPTIONS, most=7))):
        rng.shuffle(group)
        for batch in group:
            consul.transact(batch.operations)
            assert served <= _served(consul)


def _served(consul: SmallConsul) -> set[tuple[str, str]]:
    """The Services that have a passing instance of ours."""
    owned: Iterable[Held] = consul.catalog().owned.values()
    return {one.instance.of for one in owned if one.instance.status == "passing"}


@given(ROWS, st.randoms(use_true_random=False))
def test_what_changed_in_between_refuses_the_whole_transaction(rows: list[str], rng: random.Random) -> None:
    consul = written_by_somebody(["ours"] * len(NODES), rows, False)
    catalog = consul.catalog()
    if not catalog.owned:
        return
    key = rng.choice(sorted(catalog.owned))
    consul.put("Service", key, ID=key[1], Service="theirs", Port=9, Meta={"owner-id": OTHER})
    before = repr(consul.tables)
    plan = planned([], catalog, OPTIONS)

    with pytest.raises(Exception, match="stale"):
        consul.transact([one for batch in batches(plan, OPTIONS) for one in batch.operations])

    assert repr(consul.tables) == before


def test_operations_of_one_instance_are_as_large_as_expected() -> None:
    """128 of them stay far below what Consul takes: the number is what limits a transaction."""
    one = instance(meta={f"key-{number}": "value" * 5 for number in range(10)})

    assert len(service_cas(one, 0)) + len(readiness_cas(one, 0)) < 2000
    assert 63 * 2000 < 400 * 1024
    assert len(node_cas(entry(), 0)) < 500
