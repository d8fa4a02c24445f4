"""What Consul holds: who owns what, what is one after normalisation, and what is found by which key."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.plan.operations import ALIVE, probe_id, readiness_id
from discovery.bridge.records import MANAGED_BY, NAME, OWNER, US, Instance
from discovery.bridge.registry.catalog import Catalog, read_node
from discovery.consul.objects import Check, NodeServices

from .entries import MINE, catalog_of, held, held_node, instance, wire_check, wire_node, wire_service

WEB = instance()


def test_what_was_written_is_read_as_what_was_wanted() -> None:
    node, (one,) = read_node(wire_node(services=[wire_service(WEB)]), [wire_check(WEB)], MINE)

    assert one.instance == WEB
    assert (one.index, one.check_index, one.probe) == (5, 6, None)
    assert node == held_node()


@pytest.mark.parametrize("odd", [{"Weights": {"Passing": 0, "Warning": 0}}, {"Weights": None}])
def test_weights_that_a_transaction_left_out_are_one(odd: dict[str, object]) -> None:
    _, (one,) = read_node(wire_node(services=[wire_service(WEB, **odd)]), [wire_check(WEB)], MINE)

    assert one.instance.weight == 1


def test_no_tags_are_none_however_consul_spells_it() -> None:
    bare = attrs.evolve(WEB, tags=())

    _, (one,) = read_node(wire_node(services=[wire_service(bare, Tags=None)]), [wire_check(bare)], MINE)

    assert one.instance == bare


@pytest.mark.parametrize(
    "meta", [{}, None, {OWNER: "prod-us", MANAGED_BY: US}, {OWNER: MINE}, {OWNER: MINE, MANAGED_BY: "consul-k8s"}]
)
def test_an_instance_is_ours_only_with_our_owner_id_and_our_name(meta: dict[str, str] | None) -> None:
    services = wire_node(services=[wire_service(WEB, Meta=meta)])

    node, ours = read_node(services, [], MINE)

    assert not ours
    assert node.foreign == {WEB.id}


def test_nothing_is_ours_on_a_node_that_is_not() -> None:
    node, ours = read_node(wire_node(services=[wire_service(WEB)], meta={OWNER: "prod-us"}), [wire_check(WEB)], MINE)

    assert not node.owned
    assert not ours
    assert node.foreign == {WEB.id}
    assert node.foreign_checks == {readiness_id(WEB.id)}


@pytest.mark.parametrize("check", [True, False])
def test_an_agent_shows_in_its_check_or_in_its_metadata(check: bool) -> None:
    meta = {OWNER: MINE} if check else {OWNER: MINE, "consul-network-segment": ""}

    node, _ = read_node(wire_node(meta=meta), [Check(check_id="serfHealth")] if check else [], MINE)

    assert node.agent


def test_checks_of_others_are_told_from_ours() -> None:
    checks = [
        wire_check(WEB),
        wire_check(WEB, CheckID="their own, of our instance"),
        Check(check_id=ALIVE, status="critical", modify_index=9),
        Check(check_id="disk", status="passing"),
    ]

    node, _ = read_node(wire_node(services=[wire_service(WEB)]), checks, MINE)

    assert node.foreign_checks == {"disk"}
    assert (node.check, node.check_index) == ("critical", 9)


@pytest.mark.parametrize(("asked", "foreign"), [(True, set[str]()), (False, {"externalNodeHealth"})])
def test_the_check_of_a_node_that_esm_adds_is_not_foreign_where_we_asked_for_it(asked: bool, foreign: set[str]) -> None:
    meta = {OWNER: MINE, MANAGED_BY: US} | ({"external-node": "true"} if asked else {})

    node, _ = read_node(wire_node(meta=meta), [Check(check_id="externalNodeHealth", status="passing")], MINE)

    assert node.foreign_checks == foreign


def test_a_check_with_our_id_on_something_else_is_foreign() -> None:
    check = wire_check(WEB, ServiceID="", ServiceName="")

    node, (one,) = read_node(wire_node(services=[wire_service(WEB)]), [check], MINE)

    assert one.check_index == 0
    assert node.foreign_checks == {readiness_id(WEB.id)}


@pytest.mark.parametrize("suffix", ["", "Duration"])
def test_a_probe_is_read_in_both_spellings_and_without_what_it_says(suffix: str) -> None:
    definition = {
        "TCP": "10.0.0.1:30080",
        f"Interval{suffix}": "10s",
        f"Timeout{suffix}": "2s",
        "HTTP": "",
        "Header": {},
    }
    probe = wire_check(WEB, CheckID=probe_id(WEB.id), Status="critical", Definition=definition, ModifyIndex=8)

    _, (one,) = read_node(wire_node(services=[wire_service(WEB)]), [wire_check(WEB), probe], MINE)

    assert one.probe == (("Interval", "10s"), ("TCP", "10.0.0.1:30080"), ("Timeout", "2s"))
    assert one.probe_index == 8
    assert one.instance.status == "passing"


def test_a_status_that_we_never_write_is_kept_so_that_it_is_repaired() -> None:
    _, (one,) = read_node(wire_node(services=[wire_service(WEB)]), [wire_check(WEB, Status="warning")], MINE)

    assert one.instance.status not in ("passing", "critical")


def test_an_instance_belongs_to_the_service_of_its_id_whatever_its_metadata_say() -> None:
    drifted = dict(WEB.meta) | {NAME: "other"}

    _, (one,) = read_node(wire_node(services=[wire_service(WEB, Meta=drifted)]), [], MINE)

    assert one.instance.of == ("shop", "web")


def test_an_id_that_we_do_not_give_belongs_to_the_service_of_its_metadata() -> None:
    _, (one,) = read_node(wire_node(services=[wire_service(WEB, ID="hand-made")]), [], MINE)

    assert one.instance.of == ("shop", "web")


def test_a_node_that_is_not_there_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="drop it"):
        read_node(NodeServices(), [], MINE)


def test_equal_values_of_nodes_read_together_are_one_object() -> None:
    shared: dict[object, object] = {}
    other = instance(node=2)

    _, (first,) = read_node(wire_node(services=[wire_service(WEB)]), [], MINE, shared)
    _, (second,) = read_node(wire_node("n2", services=[wire_service(other)]), [], MINE, shared)

    assert first.instance.meta is second.instance.meta
    assert first.instance.of is second.instance.of


# The catalog


def test_an_instance_is_found_by_key_by_service_and_by_node() -> None:
    catalog = catalog_of(WEB, instance("api"))

    assert set(catalog.owned) == {WEB.key, instance("api").key}
    assert list(catalog.of(("shop", "web"))) == [WEB.key]
    assert set(catalog.on("n1")) == set(catalog.owned)
    assert set(catalog.services) == {("shop", "web"), ("shop", "api")}
    assert not catalog.of(("shop", "none"))


def test_a_node_that_was_read_replaces_all_that_was_known_of_it_and_tells_which_services_differ() -> None:
    api, old, new = instance("api"), instance("old"), instance("new")
    catalog = catalog_of(WEB, api, old)

    touched = catalog.put_node(held_node(), [held(WEB), held(api, index=9), held(new)])

    assert touched == {("shop", "api"), ("shop", "old"), ("shop", "new")}
    assert set(catalog.owned) == {WEB.key, api.key, new.key}


def test_a_node_alone_leaves_its_instances() -> None:
    catalog = catalog_of(WEB)

    assert not catalog.put_node(held_node(index=99))

    assert catalog.nodes["n1"].index == 99
    assert catalog.owned[WEB.key].instance == WEB


def test_a_node_that_is_gone_takes_its_instances_with_it() -> None:
    catalog = catalog_of(WEB, instance("api"), instance(node=2))

    assert catalog.drop_node("n1") == {("shop", "web"), ("shop", "api")}

    assert list(catalog.owned) == [("n2", instance(node=2).id)]
    assert "n1" not in catalog.nodes
    assert not catalog.drop_node("n1")


def test_doubt_ends_when_the_node_has_been_read_and_not_before() -> None:
    catalog = catalog_of(WEB, instance(node=2))
    catalog.doubt(["n1", "n2"])

    catalog.put_node(held_node())
    assert set(catalog.doubtful) == {"n1", "n2"}

    catalog.put_node(held_node(), [held(WEB)])
    catalog.drop_node("n2")
    assert not catalog.doubtful


def test_dropping_what_is_not_there_changes_nothing() -> None:
    catalog = catalog_of(WEB)

    catalog.drop(("n1", "none"))

    assert list(catalog.owned) == [WEB.key]


def test_an_operator_sees_how_much_there_is() -> None:
    assert repr(catalog_of(WEB)) == "<Catalog 1 instances on 1 nodes, 0 doubtful>"


SOME = st.sampled_from([instance(name, node) for name in ("a", "b", "c") for node in (1, 2, 3)])


@given(st.lists(st.tuples(st.sampled_from(["put", "drop", "node"]), SOME)))
def test_every_index_says_the_same_after_any_changes(steps: list[tuple[str, Instance]]) -> None:
    catalog = Catalog()
    for step, one in steps:
        if step == "put":
            catalog.put(held(one))
        elif step == "drop":
            catalog.drop(one.key)
        else:
            catalog.drop_node(one.node)

    owned = catalog.owned
    assert {key for service in catalog.services for key in catalog.of(service)} == set(owned)
    assert {key for node in ("n1", "n2", "n3") for key in catalog.on(node)} == set(owned)
    assert all(catalog.of(service) for service in catalog.services)
