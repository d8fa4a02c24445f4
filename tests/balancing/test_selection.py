"""What a pool picks from: the fixed order of priority, locality, ejection and panic, whatever comes and goes."""

import random
from collections import Counter
from collections.abc import Collection

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Balancer, LeastRequest, Node, RoundRobin
from discovery.balancing.locality import LocalityAware
from discovery.balancing.selection import Selection, Shape, Surroundings
from discovery.balancing.slow_start import SlowStart
from discovery.model import Backend


@attrs.define
class Scene:
    """A selection over candidates that a test changes in place, as a membership does."""

    shape: Shape
    zone: str = "a"
    time: float = 0.0
    nodes: list[Node] = attrs.field(factory=list)
    selection: Selection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        around = Surroundings(
            zone=lambda: self.zone, rng=random.Random(1), now=lambda: self.time, offload=lambda work: work()
        )
        self.selection = Selection(self.nodes, self.shape, around)

    def show(self, *nodes: Node, out: Collection[Node] = ()) -> None:
        """These are the candidates now."""
        fresh = [node for node in nodes if node not in self.nodes]
        for node in fresh:
            node.since = self.time
        self.nodes[:] = nodes
        self.selection.refresh(
            out,
            uneven=any(node.backend.weight != 1 for node in nodes),
            ranked=any(node.backend.priority for node in nodes),
        )

    def shares(self, picks: int = 1000, key: str | None = None) -> Counter[str]:
        """How often each address is picked."""
        return Counter(self.selection.picker(key).backend.address for _ in range(picks))


def node(address: str, *, weight: float = 1.0, priority: int = 0, zone: str = "", machine: str = "") -> Node:
    return Node(Backend(address=address, port=80, weight=weight, priority=priority, zone=zone, node=machine))


def scene(balancer: Balancer | None = None, **shape: object) -> Scene:
    return Scene(Shape(balancer=balancer or RoundRobin(), **shape))  # type: ignore[arg-type]


def test_where_nothing_is_to_be_minded_the_candidates_own_list_is_picked_from() -> None:
    some = scene()
    some.show(node("1"), node("2"))
    assert some.selection.nodes is some.nodes
    assert some.shares(10) == {"1": 5, "2": 5}


def test_who_is_out_is_not_picked_and_comes_back() -> None:
    some, good, bad = scene(), node("good"), node("bad")
    some.show(good, bad, out=[bad])
    assert some.shares() == {"good": 1000}
    assert some.selection.why_not(bad) == "out"
    some.show(good, bad)
    assert some.shares() == {"good": 500, "bad": 500}


def test_in_panic_all_are_picked() -> None:
    some, nodes = scene(panic_threshold=0.5), [node(name) for name in "abc"]
    some.show(*nodes, out=nodes[:2])
    panics = [some.selection.panic]
    assert set(some.shares()) == {"a", "b", "c"}
    some.show(*nodes, out=nodes[:1])
    panics.append(some.selection.panic)
    assert set(some.shares()) == {"b", "c"}
    assert panics == [True, False]


def test_without_panic_there_may_be_nothing_left() -> None:
    some, nodes = scene(panic_threshold=0.0), [node("a"), node("b")]
    some.show(*nodes, out=nodes)
    assert some.selection.nodes == []
    assert not some.selection.panic


def test_standbys_are_used_when_the_first_ones_are_not_enough() -> None:
    some = scene(panic_threshold=0.5)
    first, standby = [node(f"first-{n}") for n in range(4)], [node(f"standby-{n}", priority=1) for n in range(4)]
    some.show(*first, *standby)
    assert {name[:5] for name in some.shares()} == {"first"}
    assert some.selection.why_not(standby[0]) == "priority 1: those before it are enough"
    some.show(*first, *standby, out=first[:2])
    counts: Counter[str] = Counter()
    for name, count in some.shares(10_000).items():
        counts[name[:5]] += count
    assert counts["first"] / 10_000 == pytest.approx(0.7, abs=0.03)  # Envoy: 1.4 * 2/4
    some.show(*first, *standby, out=first)
    assert {name[:5] for name in some.shares()} == {"stand"}


def test_who_has_no_weight_gets_nothing_unless_nobody_has_any() -> None:
    some = scene()
    heavy, weightless = node("heavy"), node("weightless", weight=0)
    some.show(heavy, weightless)
    assert some.shares() == {"heavy": 1000}
    assert some.selection.why_not(weightless) == "its weight is 0"
    some.show(weightless, other := node("other", weight=0))
    assert some.shares() == {"weightless": 500, "other": 500}
    assert not some.selection.why_not(other)


def test_equal_weights_that_are_not_one_are_picked_from_as_if_there_were_none() -> None:
    some, busy, idle = scene(LeastRequest()), node("busy", weight=100), node("idle", weight=100)
    busy.in_flight = 1
    some.show(busy, idle, node("spare", weight=0))
    assert some.shares() == {"idle": 1000}


def test_nothing_is_kept_of_a_priority_that_is_gone() -> None:
    some = scene()
    for priority in range(1, 100):
        some.show(node("1", priority=priority))
    assert len(some.selection._lanes) == 1
    some.show(node("1"))
    assert len(some.selection._lanes) == 0


def test_the_own_zone_is_preferred_while_it_has_its_share() -> None:
    some = scene(locality=LocalityAware())
    some.show(node("1", zone="a"), node("2", zone="b"))
    assert some.shares() == {"1": 1000}


def test_what_the_own_zone_cannot_bear_goes_elsewhere() -> None:
    some = scene(locality=LocalityAware())
    some.show(node("1", zone="a"), *(node(f"far-{n}", zone="b") for n in range(3)))
    assert some.shares(10_000)["1"] / 10_000 == pytest.approx(0.5, abs=0.03)  # 1/4 of the backends, 1/2 of the clients


def test_a_busy_backend_here_gives_way_to_an_idle_one_elsewhere() -> None:
    near, far = node("near", zone="a"), node("far", zone="b")
    some = scene(LeastRequest(), locality=LocalityAware(spill=4))
    some.show(near, far)
    near.in_flight = 3
    assert some.shares() == {"near": 1000}
    near.in_flight = 4
    assert some.shares() == {"far": 1000}


def test_without_a_backend_in_the_own_zone_or_a_zone_of_our_own_all_are_used() -> None:
    some = scene(locality=LocalityAware())
    some.show(node("1", zone="b"), node("2", zone="c"))
    assert some.shares() == {"1": 500, "2": 500}
    some.zone = ""
    some.show(node("3", zone="b"), node("4", zone="a"))
    assert some.shares() == {"3": 500, "4": 500}


def test_a_zone_that_is_told_is_preferred_to_the_clients_own() -> None:
    some = scene(locality=LocalityAware(zone="b"))
    some.show(node("1", zone="a"), node("2", zone="b"))
    assert some.shares() == {"2": 1000}


def test_a_new_one_starts_slowly_and_gets_its_whole_share_at_the_end_of_the_window() -> None:
    some = scene(slow_start=SlowStart(window=10))
    old, new = node("old"), node("new")
    some.show(old)
    some.time = 100
    some.show(old, new)
    some.time = 102
    early = some.shares(1200)["new"]
    some.time = 110
    late = some.shares(1200)["new"]
    assert early / 1200 == pytest.approx(1 / 6, abs=0.02)  # 2 s of 10: a fifth of the other's
    assert late == pytest.approx(600, abs=1)
    whole: Counter[str] = some.shares(100)
    assert whole == {"old": 50, "new": 50}


def test_another_one_is_on_another_machine_first_then_another_at_all_then_any() -> None:
    some = scene()
    tried, same, away = node("1", machine="m"), node("2", machine="m"), node("3", machine="n")
    some.show(tried, same, away)
    assert some.selection.other([tried], None) is away
    assert some.selection.other([tried, away], None) is same
    assert some.selection.other([tried, same, away], None) in some.nodes
    away.in_flight = 1
    assert some.selection.other([tried], None, room=1) is same


ADDRESSES = [f"10.0.0.{n}" for n in range(12)]


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from(range(12)), min_size=1),
            st.sets(st.sampled_from(range(12))),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([None, LocalityAware()]),
    st.sampled_from([RoundRobin(), LeastRequest()]),
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 2), st.sampled_from(["", "a", "b"])), min_size=12
    ),
)
def test_whatever_comes_goes_and_is_out_a_pick_is_one_of_the_nodes_and_never_one_that_is_out_without_panic(
    steps: list[tuple[set[int], set[int]]],
    locality: LocalityAware | None,
    balancer: Balancer,
    kinds: list[tuple[float, int, str]],
) -> None:
    everybody = [
        node(address, weight=weight, priority=priority, zone=zone)
        for address, (weight, priority, zone) in zip(ADDRESSES, kinds, strict=False)
    ]
    some = scene(balancer, locality=locality, panic_threshold=0.5)
    for there, out in steps:
        gone = [everybody[n] for n in out & there]
        some.show(*(everybody[n] for n in there), out=gone)
        usable = some.selection.nodes
        assert usable  # panic leaves nobody with nothing
        for _ in range(20):
            picked = some.selection.picker(None)
            assert picked in usable
            assert picked in some.nodes
            assert picked not in gone or some.selection.panic
        assert {node for node in some.nodes if not some.selection.why_not(node)} == set(usable)
