"""The plan: what Consul says, one Service and its slices each; nobody else's touched; no removal in doubt."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.inbound.instances import Sighting, Spot
from discovery.bridge.inbound.objects import Json, service_body, service_name, slice_body
from discovery.bridge.inbound.plan import ImportPlan, Seen, plan

from .scene import OPTIONS, Namespace, actions, at, foreign_service

A, B, C = ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 81)
V6 = ("fd00::1", 80)


def withheld(made: ImportPlan) -> list[tuple[str, str]]:
    return [(one.consul, one.reason) for one in made.withheld]


def synced(**seen: Sighting) -> Namespace:
    space = Namespace()
    space.sync(seen)
    return space


# What comes of a service


def test_a_service_becomes_a_headless_service_without_a_selector_and_its_endpoints() -> None:
    space = Namespace()
    made = space.sync({"db": at(A, B)})
    assert actions(made) == [("create", "Service", "db"), ("create", "EndpointSlice", "db")]
    service = space.service("db")
    assert service is not None
    assert service["spec"] == {
        "type": "ClusterIP",
        "clusterIP": "None",
        "ports": [{"name": "default", "port": 80, "protocol": "TCP", "targetPort": 80}],
    }
    assert service["metadata"]["annotations"] == {
        "aiodiscovery/consul-service": "db",
        "aiodiscovery/consul-datacenter": "dc1",
    }
    assert space.endpoints("db") == {A: True, B: True}


def test_each_port_and_family_has_slices_of_its_own_under_one_name_of_a_port() -> None:
    space = synced(db=at(A, C, V6))
    described = {(one["addressType"], one["ports"][0]["port"], one["ports"][0]["name"]) for one in space.slices("db")}
    assert described == {("IPv4", 80, "default"), ("IPv4", 81, "default"), ("IPv6", 80, "default")}


def test_slices_belong_to_their_service() -> None:
    space = synced(db=at(A))
    service, (one,) = space.service("db"), space.slices("db")
    assert service is not None
    assert [owner["uid"] for owner in one["metadata"]["ownerReferences"]] == [service["metadata"]["uid"]]


def test_a_second_time_nothing_is_written() -> None:
    seen = {"db": at(A, B, C, V6), "web": at(B, ready=False)}
    space = synced(**seen)
    assert space.sync(seen) == ImportPlan()


def test_a_change_of_readiness_rewrites_the_one_slice_it_is_in() -> None:
    space = synced(db=at(A, C, V6))
    made = space.sync({"db": attrs.evolve(at(A, C, V6), endpoints={A: False, C: True, V6: True})})
    assert actions(made) == [("replace", "EndpointSlice", "db")]
    assert space.endpoints("db") == {A: False, C: True, V6: True}


def test_an_instance_that_moves_to_another_port_is_added_there_before_it_is_removed_here() -> None:
    space = synced(db=at(A, B))
    made = space.sync({"db": at(C)})
    assert actions(made) == [
        ("replace", "Service", "db"),
        ("create", "EndpointSlice", "db"),
        ("delete", "EndpointSlice", "db"),
    ]


def test_the_port_of_the_service_stays_while_an_instance_has_it() -> None:
    space = synced(db=at(A, C))
    space.sync({"db": at(A, C, ("10.0.0.4", 81), ("10.0.0.5", 81))})
    service = space.service("db")
    assert service is not None
    assert service["spec"]["ports"][0]["port"] == 80


def test_a_service_of_which_nothing_can_be_imported_is_not_made() -> None:
    assert synced(db=at(), web=at(empty=True)).objects == {}


def test_a_service_whose_instances_are_all_others_now_stays_without_endpoints() -> None:
    space = synced(db=at(A))
    assert actions(space.sync({"db": at()})) == [("delete", "EndpointSlice", "db")]
    assert space.service("db") is not None
    assert space.sync({"db": at()}) == ImportPlan()


def test_what_has_not_been_read_yet_is_left_as_it_is() -> None:
    space = synced(db=at(A))
    assert space.sync({"db": None, "web": None}) == ImportPlan()


# What others do


def test_drift_is_put_right_and_what_others_added_stays() -> None:
    seen = {"db": at(A)}
    space = synced(**seen)
    service, (slice_,) = space.service("db"), space.slices("db")
    assert service is not None
    service["spec"] |= {"selector": {"app": "x"}, "ports": []}
    service["metadata"]["labels"]["team"] = "data"
    slice_["endpoints"] = []
    assert actions(space.sync(seen)) == [("replace", "Service", "db"), ("replace", "EndpointSlice", "db")]
    assert space.endpoints("db") == {A: True}
    after = space.service("db")
    assert after is not None
    assert after["metadata"]["labels"]["team"] == "data"
    assert "selector" not in after["spec"]


def test_a_slice_of_ours_that_was_made_into_something_else_is_replaced_by_one_that_is_right() -> None:
    seen = {"db": at(A)}
    space = synced(**seen)
    space.slices("db")[0]["ports"] = [{"name": "http", "port": 80, "protocol": "TCP"}]
    space.sync(seen)
    assert [one["ports"][0]["name"] for one in space.slices("db")] == ["default"]
    assert space.sync(seen) == ImportPlan()


def test_a_service_that_was_deleted_is_made_again_and_its_slices_go_over_to_it() -> None:
    seen = {"db": at(A)}
    space = synced(**seen)
    del space.objects["Service", "db"]
    assert actions(space.sync(seen)) == [("create", "Service", "db"), ("replace", "EndpointSlice", "db")]
    assert space.sync(seen) == ImportPlan()


@pytest.mark.parametrize("spec", [{}, {"clusterIP": "10.96.0.7"}, {"clusterIP": "None", "selector": {"app": "db"}}])
def test_a_service_of_the_same_name_that_is_not_ours_is_never_touched_nor_given_endpoints(spec: Json) -> None:
    space = Namespace(foreign_service("db", **spec))
    before = space.objects.copy()
    made = space.sync({"db": at(A)})
    assert (made.units, withheld(made)) == ((), [("db", "foreign")])
    assert space.objects == before


def test_a_service_of_another_owner_is_as_foreign_as_any() -> None:
    space = synced(db=at(A))
    before = space.objects.copy()
    other = attrs.evolve(OPTIONS, owner="other")
    made = space.sync({"db": at(B)}, other)
    assert (made.units, withheld(made)) == ((), [("db", "foreign")])
    assert space.sync({}, other).units == ()
    assert space.objects == before


def test_where_somebody_took_the_name_over_our_slices_go() -> None:
    space = synced(db=at(A))
    space.put(foreign_service("db"))
    made = space.sync({"db": at(A)}, gone=False)
    assert actions(made) == [("delete", "EndpointSlice", "db")]
    assert withheld(made) == [("db", "foreign")]


# What goes


def test_a_service_that_is_gone_beyond_doubt_is_deleted_before_its_slices() -> None:
    space = synced(db=at(A), web=at(B))
    made = space.sync({"web": at(B)})
    assert actions(made) == [("delete", "Service", "db"), ("delete", "EndpointSlice", "db")]
    assert space.service("web") is not None


def test_while_there_is_doubt_it_stays_as_it_is() -> None:
    space = synced(db=at(A))
    made = space.sync({}, gone=False)
    assert (made.units, withheld(made)) == ((), [("db", "unconfirmed")])


def test_an_answer_without_any_instance_takes_nothing_away_until_the_name_goes_too() -> None:
    space = synced(db=at(A))
    assert space.sync({"db": at(empty=True)}) == ImportPlan()
    assert space.endpoints("db") == {A: True}


def test_an_answer_that_may_hide_something_adds_and_changes_and_takes_nothing_away() -> None:
    space = synced(db=at(A, B))
    space.sync({"db": Sighting(endpoints={A: False, C: True}, whole=False)})
    assert space.endpoints("db") == {A: False, B: True, C: True}


def test_more_deletions_than_a_pass_may_do_are_all_held_back_until_they_are_approved() -> None:
    space = synced(**{f"db-{n}": at(A) for n in range(20)})
    kept = {f"db-{n}": at(A, B) for n in range(9)}
    made = space.sync(kept)
    assert {one[0] for one in actions(made)} == {"replace"}
    assert withheld(made) == [(f"db-{n}", "too-many") for n in sorted(range(9, 20), key=str)]
    assert len(actions(space.sync(kept, approved=True))) == 2 * 11
    assert space.sync(kept) == ImportPlan()


def test_as_many_as_a_pass_may_do_are_done() -> None:
    space = synced(**{f"db-{n}": at(A) for n in range(20)})
    made = space.sync({f"db-{n}": at(A) for n in range(10)})
    assert len(made.units) == 10
    assert made.withheld == ()


def test_deletions_come_after_everything_else() -> None:
    space = synced(a=at(A), b=at(B))
    made = space.sync({"b": at(C), "c": at(C)})
    assert [unit.service for unit in made.units] == ["b", "c", "a"]


# Names


def test_another_prefix_makes_new_services_and_deletes_the_old_ones_afterwards() -> None:
    space = synced(db=at(A))
    made = space.sync({"db": at(A)}, attrs.evolve(OPTIONS, prefix="c-"))
    assert [(unit.service, unit.removes) for unit in made.units] == [("c-db", False), ("db", True)]


def test_the_old_name_stays_while_the_new_one_is_somebody_elses() -> None:
    space = synced(db=at(A))
    space.put(foreign_service("c-db"))
    made = space.sync({"db": at(A)}, attrs.evolve(OPTIONS, prefix="c-"))
    assert (made.units, withheld(made)) == ((), [("db", "foreign")])


def test_of_two_that_want_one_name_the_one_spelled_like_it_has_it_and_whoever_has_it_keeps_it() -> None:
    space = Namespace()
    made = space.sync({"my_db": at(A), "my-db": at(B)})
    assert withheld(made) == [("my_db", "name-taken")]
    assert space.endpoints("my-db") == {B: True}
    space = synced(my_db=at(A))
    assert withheld(space.sync({"my_db": at(A), "my-db": at(B)})) == [("my-db", "name-taken")]
    assert space.endpoints("my-db") == {A: True}


def test_a_name_that_kubernetes_cannot_carry_is_withheld() -> None:
    assert withheld(Namespace().sync({"1db": at(A)})) == [("1db", "no-name")]


def test_the_plan_can_be_shown() -> None:
    space = synced(old=at(A))
    shown = plan({"db": at(A, C)}, space.held(), OPTIONS, gone=lambda _: False).as_json()
    service, *slices = shown["create"]
    assert service == {"kind": "Service", "name": "db", "consul": "db", "port": 80}
    assert {(one["kind"], one["consul"], one["port"]) for one in slices} == {
        ("EndpointSlice", "db", 80),
        ("EndpointSlice", "db", 81),
    }
    assert {address for one in slices for address in one["endpoints"]} == {"10.0.0.1", "10.0.0.3"}
    assert shown["withheld"] == [{"service": "old", "consul": "old", "reason": "unconfirmed"}]
    assert shown["delete"] == shown["replace"] == []


# Whatever there is

NAMES = ("db", "my_db", "my-db", "web", "1x", "WEB")
SPOTS = st.sampled_from([A, B, C, V6, ("10.0.0.1", 81)])
SIGHTINGS = st.builds(
    lambda endpoints, whole: Sighting(endpoints=endpoints, datacenter="dc1", whole=whole, empty=False),
    st.dictionaries(SPOTS, st.booleans(), max_size=4),
    st.sampled_from([True, True, True, False]),
)
SEEN = st.dictionaries(st.sampled_from(NAMES), st.one_of(SIGHTINGS, st.none(), st.just(at(empty=True))))
OTHER = attrs.evolve(OPTIONS, owner="other")


def objects() -> st.SearchStrategy[Json]:
    """Of ours, of another owner, of nobody; in shapes that we would and would not make."""
    names = st.sampled_from(["db", "my-db", "web", "old"])
    options = st.sampled_from([OPTIONS, OPTIONS, OTHER])
    services = st.builds(
        lambda n, c, p, o: service_body(n, c, "dc1", p, o), names, st.sampled_from(NAMES), PORTS, options
    )
    slices = st.builds(
        lambda n, s, c, p, e, o: slice_body(f"{s}-{n}", s, c, (p, "IPv4"), e, o),
        st.integers(0, 3),
        names,
        st.sampled_from(NAMES),
        PORTS,
        st.dictionaries(st.sampled_from(["10.0.0.1", "10.0.0.9"]), st.booleans()),
        options,
    )
    return st.one_of(services, slices, st.builds(foreign_service, names))


PORTS = st.sampled_from([80, 81])


@given(SEEN, st.lists(objects(), max_size=8))
def test_whatever_there_was_one_pass_makes_it_right_foreign_objects_stay_and_a_second_pass_does_nothing(
    seen: Seen, there: list[Json]
) -> None:
    space = Namespace(*there)
    held = space.held()
    foreign = {
        key: body
        for key, body in space.objects.items()
        if key[1] not in (held.services if key[0] == "Service" else held.slices)
    }
    first = space.sync(seen, approved=True)
    assert {key: space.objects[key] for key in foreign} == foreign
    second = space.sync(seen, approved=True)
    assert second.units == ()
    assert set(second.withheld) == set(first.withheld)
    kept = {(one.consul, one.reason) for one in first.withheld}
    for consul, sighting in seen.items():
        refused = any(name == consul for name, _ in kept)
        if sighting is not None and sighting.endpoints and sighting.whole and not refused:
            name = service_name(consul, "")
            assert name is not None
            assert space.endpoints(name).items() >= sighting.endpoints.items()
            ours = {spot for spot, _ in _ours(space, name)}
            assert ours == set(sighting.endpoints)


def _ours(space: Namespace, service: str) -> list[tuple[Spot, bool]]:
    slices = space.held().slices_by_service().get(service, {})
    return [
        ((address["addresses"][0], body["ports"][0]["port"]), address["conditions"]["ready"])
        for body in slices.values()
        for address in body["endpoints"]
    ]


@given(SEEN, st.lists(objects(), max_size=8))
def test_in_doubt_nothing_of_ours_goes_but_what_is_wrong_beyond_doubt(seen: Seen, there: list[Json]) -> None:
    space = Namespace(*there)
    before = space.held()
    space.sync(seen, gone=False, approved=True)
    after = space.held()
    listed = {name for name, sighting in seen.items() if sighting is not None and sighting.endpoints}
    for name, body in before.services.items():
        consul = body["metadata"]["annotations"]["aiodiscovery/consul-service"]
        assert name in after.services or consul in listed
