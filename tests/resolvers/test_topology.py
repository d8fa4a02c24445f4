"""Which endpoints are for whom: kube-proxy's cases (pkg/proxy/topology_test.go), and the laws behind them."""

import gc
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.errors import NoBackends
from discovery.kube.objects import ServiceBody, SliceBody
from discovery.membership import Membership
from discovery.resolvers.readiness import EndpointSet
from discovery.resolvers.topology import Place
from discovery.targets import Endpoints

from .test_readiness import endpoint, service_of, slice_of

ZONES = {3: "a", 4: "b", 5: "c", 6: "a"}


def at(number: int, *zones: str, nodes: tuple[str, ...] = (), node: str = "", **more: Any) -> dict[str, Any]:
    """10.0.0.NUMBER, with hints for these zones and nodes."""
    hints: dict[str, Any] = {}
    if zones:
        hints["forZones"] = [{"name": zone} for zone in zones]
    if nodes:
        hints["forNodes"] = [{"name": one} for one in nodes]
    return endpoint(f"10.0.0.{number}", **{"hints": hints, "nodeName": node or f"node-{number}", **more})


FOUR = [at(number, zone) for number, zone in ZONES.items()]
LOCAL = service_of({"name": "http", "port": 80}, internalTrafficPolicy="Local")
LEAVING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}
DOWN: dict[str, Any] = {"ready": False, "serving": False, "terminating": False}


class View:
    """What a client at a place may pick, through the real membership."""

    def __init__(self, node: str = "node-0", zone: str = "a") -> None:
        self.place = Place(node, zone)
        self.set = EndpointSet(Endpoints("web", namespace="shop", port="http"), self.place)
        self.events: list[str] = []
        self.members = Membership("test://web", emit=lambda event: self.events.append(event.name), clock=lambda: 0.0)

    def see(self, *endpoints: dict[str, Any], service: ServiceBody | None = None, name: str = "a") -> list[int]:
        if service is not None:
            self.set.serve(service)
        return self.put(slice_of(*endpoints), name)

    def put(self, body: SliceBody | None, name: str = "a") -> list[int]:
        self.set.put(name, body)
        return self.take()

    def take(self) -> list[int]:
        delta = self.set.take()
        self.members.note(self.set.problem())
        self.members.remark(self.set.remarks())
        self.members.update(delta.changed, delta.removed, delta.withheld)
        self.members.synced()
        return self.picked

    @property
    def picked(self) -> list[int]:
        return [int(one.address.rpartition(".")[2]) for one in self.members.snapshot().backends]

    @property
    def reasons(self) -> dict[int, str]:
        return {int(one.backend.address.rpartition(".")[2]): one.reason for one in self.members.candidates()}


# The table


def test_hints_on_all_keep_a_client_in_its_zone() -> None:
    """Case 39."""
    view = View()
    assert view.see(*FOUR) == [3, 6]
    assert view.reasons[4] == "its hints name b: this client is in a"
    assert view.reasons[3] == "ready"


@pytest.mark.parametrize("zone", ["", "d"])
def test_in_a_zone_that_no_hint_names_or_that_is_unknown_all_are_for_everybody(zone: str) -> None:
    """Case 41."""
    assert View(zone=zone).see(*FOUR) == [3, 4, 5, 6]


def test_what_is_not_ready_is_not_picked_for_being_near() -> None:
    """Case 42."""
    assert View().see(at(3, "a"), at(4, "b"), at(5, "c"), at(6, "a", **DOWN)) == [3]


def test_where_only_unready_ones_are_near_the_others_serve() -> None:
    """Case 43."""
    assert View().see(at(3, "a", **DOWN), at(4, "b"), at(5, "c"), at(6, "a", **DOWN)) == [4, 5]


def test_one_ready_endpoint_without_a_hint_is_enough_to_heed_none() -> None:
    """Case 44."""
    assert View().see(at(3, "a"), at(4, "b"), at(5), at(6, "a")) == [3, 4, 5, 6]


def test_an_unready_endpoint_without_a_hint_changes_nothing() -> None:
    """The controller gives hints to ready ones only."""
    assert View().see(at(3, "a"), at(4, "b"), at(5, **DOWN)) == [3]


def test_an_endpoint_may_be_for_several_zones() -> None:
    """Case 45."""
    assert View(zone="c").see(at(3, "a", "b", "c"), at(4, "b", "c"), at(5, "b", "d"), at(6, "c")) == [3, 4, 6]


def test_hints_for_our_node_go_before_those_for_our_zone() -> None:
    view = View(node="node-3")
    assert view.see(*(at(number, zone, nodes=(f"node-{number}",)) for number, zone in ZONES.items())) == [3]
    assert view.reasons[6] == "its hints name node-6: this client is on node-3"


def test_where_no_hint_names_our_node_those_for_our_zone_count() -> None:
    assert View().see(*(at(number, zone, nodes=(f"node-{number}",)) for number, zone in ZONES.items())) == [3, 6]


def test_where_nothing_is_ready_those_that_leave_stand_in_wherever_they_are() -> None:
    """Topology is ignored then: case 47 with hints."""
    view = View()
    assert view.see(at(3, "a", **DOWN), at(4, "b", **LEAVING), at(5, "c", **LEAVING)) == [4, 5]
    assert view.members.standing_in


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [((), []), (("node-1", "node-2"), []), (("node-0", "node-1"), [1]), (("node-0", "node-0"), [1, 2])],
)
def test_the_policy_local_uses_our_node_only_even_if_nothing_is_there(
    nodes: tuple[str, ...], expected: list[int]
) -> None:
    """Case 46."""
    view = View()
    assert view.see(*(at(n, node=node) for n, node in enumerate(nodes, 1)), service=LOCAL) == expected
    if nodes and not expected:
        assert isinstance(view.members.last_error, NoBackends)
        assert "internal traffic policy Local, and no endpoint on this client's node node-0" in str(
            view.members.why_empty()
        )
        assert view.reasons[1].startswith("on node-1, and the internal traffic policy is Local")


def test_the_policy_local_lets_those_stand_in_that_leave_our_node() -> None:
    view = View()
    assert view.see(at(1, node="node-0", **LEAVING), at(2, node="node-1"), service=LOCAL) == [1]
    assert view.members.standing_in
    assert view.see(at(1, node="node-0"), at(2, node="node-1")) == [1]
    assert not view.members.standing_in


def test_the_policy_local_heeds_no_hints() -> None:
    assert View().see(at(1, "b", node="node-0"), at(2, "a", node="node-1"), service=LOCAL) == [1]


def test_without_a_node_of_our_own_the_policy_local_is_not_kept_and_that_is_said_once() -> None:
    view = View(node="")
    for _ in range(3):
        assert view.see(at(1, node="node-0"), at(2, node="node-1"), service=LOCAL) == [1, 2]
    assert view.events.count("pool.warning") == 1
    assert "NODE_NAME" in view.members.remarks[0].text


def test_the_policy_is_followed_when_it_changes() -> None:
    view = View()
    assert view.see(at(1, node="node-0"), at(2, node="node-1"), service=LOCAL) == [1]
    view.set.serve(service_of({"name": "http", "port": 80}, internalTrafficPolicy="Cluster"))
    assert view.take() == [1, 2]
    view.set.serve(LOCAL)
    assert view.take() == [1]


def test_hints_that_come_or_go_are_heeded_at_once() -> None:
    """Case 58: nothing else of the endpoints changes."""
    view = View()
    assert view.see(*(at(number) for number in ZONES)) == [3, 4, 5, 6]
    assert view.see(*FOUR) == [3, 6]
    assert view.see(*(at(number, "b") for number in ZONES)) == [3, 4, 5, 6]
    assert view.see(at(3, "b"), at(4, "a")) == [4]
    assert view.see(at(3), at(4)) == [3, 4]


def test_a_change_outside_our_zone_changes_nothing_that_may_be_picked() -> None:
    """Case 57."""
    view = View()
    view.see(*FOUR)
    before = view.members.snapshot().backends
    view.see(at(3, "a"), at(4, "b", **DOWN), at(6, "a"))
    assert view.members.snapshot().backends == before


def test_our_zone_is_learnt_from_any_endpoint_on_our_node() -> None:
    view = View(node="node-3", zone="")
    assert view.see(*(at(number, zone, zone=zone) for number, zone in ZONES.items())) == [3, 6]
    assert view.place.zone == "a"


def test_a_zone_is_not_learnt_from_endpoints_that_disagree_or_are_gone() -> None:
    view = View(node="node-3", zone="")
    endpoints = [at(number, zone, zone=zone) for number, zone in ZONES.items()]
    assert view.see(*endpoints) == [3, 6]
    liar = at(9, "b", node="node-3", zone="b")
    assert view.see(*endpoints, liar) == [3, 4, 5, 6, 9]
    assert view.see(*endpoints) == [3, 6]
    assert view.see(*endpoints[1:]) == [4, 5, 6], "and it is not known any more"


def test_what_one_target_has_told_of_our_zone_goes_with_it() -> None:
    view = View(node="node-3", zone="")
    view.see(*(at(number, zone, zone=zone) for number, zone in ZONES.items()))
    place = view.place
    assert place.zone == "a"
    del view
    gc.collect()
    assert place.zone == ""


def test_an_external_name_has_no_endpoints_whatever_slices_are_left_of_what_it_was() -> None:
    view = View()
    assert view.see(at(3), service=service_of({"name": "http", "port": 80})) == [3]
    view.set.serve(service_of({"name": "http", "port": 80}, type="ExternalName", externalName="db.example"))
    assert view.take() == []
    view.set.serve(service_of({"name": "http", "port": 80}))
    assert view.take() == [3]


def test_session_affinity_is_said_to_be_gone_past() -> None:
    view = View()
    view.see(at(3), service=service_of({"name": "http", "port": 80}, sessionAffinity="ClientIP"))
    assert "session affinity" in view.members.remarks[0].text
    assert "pool.warning" not in view.events


# The laws

NAMES = st.lists(st.sampled_from("abc"), max_size=2, unique=True)
STATES = st.sampled_from([{}, {}, {}, DOWN, LEAVING])
ENDPOINTS = st.builds(
    lambda number, zones, nodes, node, state: at(number, *zones, nodes=tuple(nodes), node=node, zone=node, **state),
    st.integers(1, 4),
    NAMES,
    st.just(()) | NAMES,
    st.sampled_from("abc"),
    STATES,
)
BODIES = st.none() | st.lists(ENDPOINTS, max_size=4, unique_by=lambda one: one["addresses"][0]).map(
    lambda found: slice_of(*found)
)
SERVICES = st.sampled_from([None, LOCAL, service_of({"name": "http", "port": 80})])
STEPS = st.lists(st.tuples(st.sampled_from("xyz"), BODIES) | st.tuples(st.just("service"), SERVICES), max_size=10)


def told(steps: list[tuple[str, Any]], node: str, zone: str, chance: random.Random | None = None) -> View:
    view = View(node, zone)
    for name, body in steps:
        view.set.serve(body) if name == "service" else view.set.put(name, body)
        if chance is not None and chance.random() < 0.5:
            view.take()
    view.take()
    return view


@settings(max_examples=300)
@given(STEPS, st.sampled_from(["", "a", "b"]), st.sampled_from(["", "a", "c"]), st.randoms(use_true_random=True))
def test_any_history_gives_the_picks_and_the_reasons_of_its_last_state(
    steps: list[tuple[str, Any]], node: str, zone: str, chance: random.Random
) -> None:
    last = list(dict(steps).items())
    chance.shuffle(last)
    zone = zone or node  # a zone that is learnt stays known
    lived, fresh = told(steps, node, zone, chance), told(last, node, zone)
    assert lived.picked == fresh.picked
    assert lived.reasons == fresh.reasons
    assert str(lived.members.last_error) == str(fresh.members.last_error)


@given(STEPS, st.sampled_from(["", "a", "b"]), st.sampled_from(["", "a", "c"]))
def test_hints_never_empty_a_pool_and_never_add_to_it(steps: list[tuple[str, Any]], node: str, zone: str) -> None:
    steps = [step for step in steps if step[0] != "service"]
    everywhere, here = told(steps, "", ""), told(steps, node, zone)
    assert set(here.picked) <= set(everywhere.picked)
    assert bool(here.picked) == bool(everywhere.picked)
