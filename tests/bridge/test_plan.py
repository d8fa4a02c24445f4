"""What a Service would have changed, and how a plan is printed."""

import json
from typing import Any

import attrs
import pytest

from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.changes import Change, NodeChange, Plan, Withheld, compare
from discovery.bridge.plan.operations import probe_definition
from discovery.bridge.records import Instance
from discovery.bridge.registry.catalog import Catalog

from .entries import OPTIONS, PROBED, by_key, catalog_of, entry, held, instance

WEB = instance()
KEY = ("shop", "web")


def changes(*wanted: Instance, catalog: Catalog, options: BridgeOptions = OPTIONS) -> list[tuple[str, str]]:
    return [(one.action, one.instance.node) for one in compare(KEY, by_key(wanted), catalog, options)]


def test_what_consul_does_not_have_is_registered() -> None:
    assert changes(WEB, instance(node=2), catalog=catalog_of(WEB)) == [("register", "n2")]


def test_what_consul_has_and_nobody_wants_is_deregistered_as_it_is_held() -> None:
    catalog = catalog_of(WEB, instance(node=2))

    (change,) = compare(KEY, by_key([WEB]), catalog, OPTIONS)

    assert (change.action, change.instance) == ("deregister", instance(node=2))
    assert change.held == catalog.owned[instance(node=2).key]


def test_what_is_as_it_should_be_costs_nothing() -> None:
    assert changes(WEB, catalog=catalog_of(WEB)) == []


@pytest.mark.parametrize(
    "drift",
    [{"service": "shop"}, {"port": 1}, {"tags": ()}, {"meta": ()}, {"weight": 2}, {"address": "10.9.9.9"}],
    ids=lambda drift: next(iter(drift)),
)
def test_each_field_that_differs_is_an_update(drift: dict[str, Any]) -> None:
    assert changes(WEB, catalog=catalog_of(attrs.evolve(WEB, **drift))) == [("update", "n1")]


@pytest.mark.parametrize("status", ["critical", "warning"])
def test_a_change_of_readiness_writes_the_check_alone(status: Any) -> None:
    assert changes(WEB, catalog=catalog_of(attrs.evolve(WEB, status=status))) == [("check", "n1")]


def test_a_readiness_check_that_is_missing_is_written_again() -> None:
    catalog = catalog_of(WEB)
    catalog.put(held(WEB, check_index=0))

    assert changes(WEB, catalog=catalog) == [("check", "n1")]


def test_the_instances_of_other_services_are_not_looked_at() -> None:
    assert changes(catalog=catalog_of(instance("api"))) == []


def test_an_instance_whose_metadata_say_another_service_is_repaired_and_not_removed() -> None:
    """Somebody rewrote them; its id still says whose it is."""
    catalog = catalog_of(attrs.evolve(WEB, meta=instance("api").meta))

    assert changes(WEB, catalog=catalog) == [("update", "n1")]
    assert list(compare(("shop", "api"), {}, catalog, OPTIONS)) == []


def test_a_probe_is_written_once_and_what_it_says_is_left_alone() -> None:
    catalog = catalog_of(WEB)
    assert changes(WEB, catalog=catalog, options=PROBED) == [("check", "n1")]

    catalog.put(held(WEB, probe=probe_definition(WEB), probe_index=8))
    assert changes(WEB, catalog=catalog, options=PROBED) == []


def test_a_probe_of_another_port_is_written_again() -> None:
    catalog = catalog_of(WEB)
    catalog.put(held(WEB, probe=probe_definition(instance(port=1)), probe_index=8))

    assert changes(WEB, catalog=catalog, options=PROBED) == [("check", "n1")]


def test_a_probe_that_is_not_wanted_any_more_goes() -> None:
    catalog = catalog_of(WEB)
    catalog.put(held(WEB, probe=probe_definition(WEB), probe_index=8))

    assert changes(WEB, catalog=catalog) == [("check", "n1")]


@pytest.mark.parametrize(
    ("before", "after", "withdraws"),
    [
        ("passing", "critical", True),
        ("warning", "critical", True),
        ("critical", "passing", False),
        ("passing", "passing", False),
    ],
)
def test_to_make_something_critical_takes_it_from_clients(before: Any, after: Any, withdraws: bool) -> None:
    change = Change("check", attrs.evolve(WEB, status=after), held(attrs.evolve(WEB, status=before)))

    assert change.withdraws is withdraws


def test_a_registration_takes_nothing_from_clients_and_a_deregistration_does() -> None:
    critical = attrs.evolve(WEB, status="critical")

    assert not Change("register", critical).withdraws
    assert Change("deregister", critical, held(critical)).withdraws


# How it is printed

REGISTER = Change("register", WEB)
UPDATE = Change("check", attrs.evolve(WEB, status="critical"), held(WEB))
GONE = Change("deregister", instance(node=2), held(instance(node=2)))
PLAN = Plan(
    register=(REGISTER,),
    update=(UPDATE,),
    deregister=(GONE,),
    withheld=(Withheld(GONE, "unconfirmed"),),
    nodes=(NodeChange("create", entry(1)),),
)


def test_a_plan_as_json_has_four_lists_of_full_entries() -> None:
    shown = json.loads(json.dumps(PLAN.as_json()))

    assert list(shown) == ["register", "update", "deregister", "withheld"]
    assert shown["register"] == [
        {
            "node": "n1",
            "id": WEB.id,
            "service": "web",
            "address": "10.0.0.1",
            "port": 30080,
            "tags": ["k8s"],
            "meta": dict(WEB.meta),
            "status": "passing",
        }
    ]
    assert [one["status"] for one in shown["update"]] == ["critical"]
    assert [one["node"] for one in shown["deregister"]] == ["n2"]


def test_what_is_withheld_says_what_it_would_be_and_why_it_is_not() -> None:
    (one,) = PLAN.as_json()["withheld"]

    assert (one["action"], one["reason"], one["node"]) == ("deregister", "unconfirmed", "n2")


def test_a_plan_in_lines_has_one_for_each_change() -> None:
    assert list(PLAN.lines()) == [
        "create      node n1 at 10.0.0.1",
        f"register    web at 10.0.0.1:30080 on n1, passing ({WEB.id})",
        f"check       web at 10.0.0.1:30080 on n1, critical ({WEB.id})",
        f"deregister  web at 10.0.0.2:30080 on n2, passing ({instance(node=2).id})",
        f"deregister  web at 10.0.0.2:30080 on n2, passing ({instance(node=2).id})  withheld: unconfirmed",
    ]


def test_what_consul_holds_cannot_move_the_cursor_of_a_terminal() -> None:
    evil = attrs.evolve(WEB, service="web\x1b[2J\n", node="\x07")

    (line,) = Plan(deregister=(Change("deregister", evil, held(evil)),)).lines()

    assert line.isprintable()


def test_an_ipv6_address_is_bracketed() -> None:
    (line,) = Plan(register=(Change("register", instance(address="fd00::1")),)).lines()

    assert "[fd00::1]:30080" in line


def test_a_plan_is_empty_when_nothing_is_written_even_if_something_is_withheld() -> None:
    assert Plan(withheld=PLAN.withheld).empty
    assert not PLAN.empty
    assert not Plan(nodes=PLAN.nodes).empty


def test_the_changes_of_a_plan_are_those_that_are_made() -> None:
    assert list(PLAN.changes) == [REGISTER, UPDATE, GONE]
