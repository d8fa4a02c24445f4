"""What a plan may do: never to others, never without evidence, never too much at once."""

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.changes import Change, Plan
from discovery.bridge.plan.guard import guarded, most_removals
from discovery.bridge.plan.operations import readiness_id
from discovery.bridge.records import Instance
from discovery.bridge.registry.catalog import Catalog

from .entries import MINE, OPTIONS, catalog_of, entry, held, held_node, instance

WEB = instance()


def always(_change: Change) -> bool:
    return True


def never(_change: Change) -> bool:
    return False


def plan_of(
    changes: Iterable[Change],
    catalog: Catalog,
    options: BridgeOptions = OPTIONS,
    *,
    sure: Callable[[Change], bool] = always,
    confirmed: Callable[[Change], bool] = never,
    **more: Any,
) -> Plan:
    nodes = more.pop("nodes", {f"n{number}": entry(number) for number in range(1, 10)})
    return guarded(changes, catalog, options, nodes=nodes, sure=sure, confirmed=confirmed, **more)


def withheld(plan: Plan) -> list[tuple[str, str]]:
    return [(one.change.instance.node, one.reason) for one in plan.withheld]


def gone(*instances: Instance) -> list[Change]:
    return [Change("deregister", one, held(one)) for one in instances]


def fleet(count: int) -> list[Instance]:
    return [instance(f"s{number}") for number in range(count)]


# Ownership


def test_nothing_is_registered_on_a_node_of_our_name_that_is_not_ours() -> None:
    plan = plan_of([Change("register", WEB)], catalog_of(n1=held_node(owned=False)))

    assert plan.empty
    assert withheld(plan) == [("n1", "foreign")]


def test_an_instance_of_our_id_that_is_not_ours_is_left_alone() -> None:
    plan = plan_of([Change("register", WEB)], catalog_of(n1=held_node(foreign=frozenset({WEB.id}))))

    assert plan.empty
    assert withheld(plan) == [("n1", "foreign")]


def test_others_on_our_node_do_not_matter_to_ours() -> None:
    plan = plan_of([Change("register", WEB)], catalog_of(n1=held_node(foreign=frozenset({"theirs"}))))

    assert [change.instance for change in plan.register] == [WEB]


@pytest.mark.parametrize("action", ["register", "update", "check"])
def test_a_check_of_our_id_that_is_not_ours_is_left_alone(action: Any) -> None:
    node = held_node(foreign_checks=frozenset({readiness_id(WEB.id)}))

    plan = plan_of([Change(action, WEB, None if action == "register" else held(WEB))], catalog_of(n1=node))

    assert withheld(plan) == [("n1", "foreign")]


@pytest.mark.parametrize("owned", [True, False])
def test_nothing_is_registered_where_an_agent_would_delete_it(owned: bool) -> None:
    plan = plan_of([Change("register", WEB)], catalog_of(n1=held_node(owned=owned, agent=True)))

    assert withheld(plan) == [("n1", "agent-node")]


def test_an_instance_whose_node_nobody_knows_is_not_registered() -> None:
    assert withheld(plan_of([Change("register", WEB)], Catalog(), nodes={})) == [("n1", "no-node")]


# Policies


@pytest.mark.parametrize(
    ("policy", "made"),
    [
        ("sync", ["register", "update", "check", "deregister"]),
        ("upsert-only", ["register", "update", "check"]),
        ("create-only", ["register"]),
    ],
)
def test_a_policy_says_what_is_done_at_all(policy: Any, made: list[str]) -> None:
    old = [instance(name) for name in ("a", "b", "c")]
    changes = [
        Change("register", WEB),
        Change("update", old[0], held(old[0])),
        Change("check", old[1], held(old[1])),
        *gone(old[2]),
    ]

    plan = plan_of(changes, catalog_of(*old), BridgeOptions(owner=MINE, policy=policy))

    assert [change.action for change in plan.changes] == made
    assert {reason for _, reason in withheld(plan)} <= {"policy"}
    assert len(plan.withheld) == 4 - len(made)


# Evidence


def test_a_removal_that_an_event_tells_of_is_made_at_once_however_many_there_are() -> None:
    instances = fleet(500)

    plan = plan_of(gone(*instances), catalog_of(*instances))

    assert len(plan.deregister) == 500


def test_a_removal_that_only_one_list_tells_of_waits_for_a_second() -> None:
    plan = plan_of(gone(WEB), catalog_of(WEB), sure=never)

    assert plan.empty
    assert withheld(plan) == [("n1", "unconfirmed")]


def test_a_removal_that_two_lists_tell_of_is_made() -> None:
    plan = plan_of(gone(WEB), catalog_of(WEB), sure=never, confirmed=always)

    assert len(plan.deregister) == 1


def test_too_many_removals_on_the_evidence_of_lists_are_all_held_back() -> None:
    instances = fleet(51)

    plan = plan_of(gone(*instances), catalog_of(*instances), sure=never, confirmed=always)

    assert plan.empty
    assert [reason for _, reason in withheld(plan)] == ["too-many"] * 51


def test_the_cap_is_the_larger_of_the_number_and_the_share() -> None:
    instances = fleet(300)
    catalog = catalog_of(*instances)

    assert len(plan_of(gone(*instances[:60]), catalog, sure=never, confirmed=always).deregister) == 60
    assert plan_of(gone(*instances[:61]), catalog, sure=never, confirmed=always).empty
    assert most_removals(300, OPTIONS) == 60
    assert most_removals(10, OPTIONS) == 50


def test_what_went_lately_counts_with_what_goes_now() -> None:
    instances = fleet(50)
    catalog = catalog_of(*instances)

    assert len(plan_of(gone(*instances[:10]), catalog, sure=never, confirmed=always, spent=40).deregister) == 10
    assert plan_of(gone(*instances[:10]), catalog, sure=never, confirmed=always, spent=41).empty


def test_the_cap_holds_back_what_is_unsure_and_lets_the_sure_ones_go() -> None:
    instances = fleet(100)
    certain = {one.key for one in instances[:30]}

    plan = plan_of(
        gone(*instances), catalog_of(*instances), sure=lambda one: one.instance.key in certain, confirmed=always
    )

    assert {change.instance.key for change in plan.deregister} == certain
    assert len(plan.withheld) == 70


def test_what_is_not_confirmed_yet_does_not_count_towards_the_cap() -> None:
    instances = fleet(100)
    seen = {one.key for one in instances[:50]}

    plan = plan_of(gone(*instances), catalog_of(*instances), sure=never, confirmed=lambda one: one.instance.key in seen)

    assert len(plan.deregister) == 50
    assert {reason for _, reason in withheld(plan)} == {"unconfirmed"}


def test_a_person_may_let_them_all_go() -> None:
    instances = fleet(200)

    plan = plan_of(gone(*instances), catalog_of(*instances), sure=never, confirmed=always, approved=True)

    assert len(plan.deregister) == 200


def test_what_is_added_is_never_capped() -> None:
    plan = plan_of([Change("register", one) for one in fleet(1000)], Catalog(), sure=never)

    assert len(plan.register) == 1000


# The last instance


def test_a_service_keeps_its_last_instance_where_its_successor_cannot_be_registered() -> None:
    changes = [Change("register", instance(node=2)), *gone(WEB)]

    plan = plan_of(changes, catalog_of(WEB, n2=held_node(2, owned=False)))

    assert plan.empty
    assert sorted(withheld(plan)) == [("n1", "last"), ("n2", "foreign")]


def test_a_service_that_has_another_instance_gives_up_the_old_one() -> None:
    changes = [Change("register", instance(node=2)), *gone(WEB)]

    plan = plan_of(changes, catalog_of(WEB, instance(node=3), n2=held_node(2, owned=False)))

    assert [change.instance for change in plan.deregister] == [WEB]


def test_a_service_that_gets_one_of_two_new_instances_gives_up_the_old_one() -> None:
    changes = [Change("register", instance(node=2)), Change("register", instance(node=3)), *gone(WEB)]

    plan = plan_of(changes, catalog_of(WEB, n2=held_node(2, owned=False)))

    assert [change.instance for change in plan.deregister] == [WEB]


def test_a_service_that_nobody_wants_any_more_goes_altogether() -> None:
    assert len(plan_of(gone(WEB), catalog_of(WEB)).deregister) == 1


# Nodes


def node_changes(plan: Plan) -> list[tuple[str, str]]:
    return [(one.action, one.entry.name) for one in plan.nodes]


def test_a_node_is_created_for_what_is_registered_on_it_and_not_otherwise() -> None:
    assert node_changes(plan_of([Change("register", WEB)], Catalog())) == [("create", "n1")]


def test_a_node_of_ours_that_is_otherwise_than_it_should_be_is_changed() -> None:
    drifted = attrs.evolve(held_node(), entry=entry(address="10.1.1.1"))

    plan = plan_of([], catalog_of(WEB, n1=drifted))

    assert [(one.action, one.entry, one.held) for one in plan.nodes] == [("update", entry(), drifted)]


@pytest.mark.parametrize("node", [held_node(owned=False), held_node(agent=True)])
def test_a_node_that_is_not_ours_alone_is_never_changed(node: Any) -> None:
    drifted = attrs.evolve(node, entry=entry(address="10.1.1.1"))

    assert plan_of([], catalog_of(n1=drifted)).empty


def test_a_node_that_its_last_instance_leaves_is_deleted() -> None:
    assert node_changes(plan_of(gone(WEB), catalog_of(WEB))) == [("delete", "n1")]


def test_a_node_of_ours_that_was_left_empty_is_deleted() -> None:
    assert node_changes(plan_of([], catalog_of(n1=held_node()))) == [("delete", "n1")]


@pytest.mark.parametrize(
    "node",
    [
        held_node(owned=False),
        held_node(agent=True),
        held_node(foreign=frozenset({"theirs"})),
        held_node(foreign_checks=frozenset({"disk"})),
    ],
)
def test_a_node_that_anything_of_others_is_on_is_never_deleted(node: Any) -> None:
    assert node_changes(plan_of([], catalog_of(n1=node))) == []


def test_a_node_stays_while_something_is_registered_on_it_or_a_removal_is_withheld() -> None:
    api = instance("api")

    assert node_changes(plan_of([*gone(WEB), Change("register", api)], catalog_of(WEB))) == []
    assert node_changes(plan_of(gone(WEB), catalog_of(WEB), sure=never)) == []
    assert node_changes(plan_of(gone(WEB), catalog_of(WEB, api))) == []


@pytest.mark.parametrize("policy", ["upsert-only", "create-only"])
def test_no_node_is_deleted_by_a_policy_that_deletes_nothing(policy: Any) -> None:
    assert plan_of([], catalog_of(n1=held_node()), BridgeOptions(owner=MINE, policy=policy)).empty


def test_create_only_changes_no_node() -> None:
    drifted = attrs.evolve(held_node(), entry=entry(address="10.1.1.1"))

    assert plan_of([], catalog_of(WEB, n1=drifted), BridgeOptions(owner=MINE, policy="create-only")).empty


INSTANCES = fleet(40)


@given(
    st.lists(st.sampled_from(["sure", "confirmed", "seen once", "stays"]), min_size=40, max_size=40),
    st.integers(0, 20),
    st.floats(0, 100),
    st.integers(0, 10),
    st.booleans(),
)
def test_removals_that_are_not_sure_are_never_more_than_the_cap_unless_a_person_says_so(
    evidence: list[str], most: int, percent: float, spent: int, approved: bool
) -> None:
    options = BridgeOptions(owner=MINE, max_deletes=most, max_delete_percent=percent)
    of = {one.key: what for one, what in zip(INSTANCES, evidence, strict=True)}
    changes = gone(*(one for one in INSTANCES if of[one.key] != "stays"))

    plan = plan_of(
        changes,
        catalog_of(*INSTANCES),
        options,
        sure=lambda change: of[change.instance.key] == "sure",
        confirmed=lambda change: of[change.instance.key] == "confirmed",
        approved=approved,
        spent=spent,
    )

    made = [of[change.instance.key] for change in plan.deregister]
    assert made.count("sure") == evidence.count("sure")
    assert made.count("seen once") == 0
    assert made.count("confirmed") in (0, evidence.count("confirmed"))
    if made.count("confirmed") and not approved:
        assert made.count("confirmed") + spent <= max(most, 40 * percent / 100)
    assert len(plan.deregister) + len(plan.withheld) == len(changes)
