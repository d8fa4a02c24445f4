"""Names that Kubernetes can carry, ports that stay, and objects that are told from everybody else's."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.inbound.held import Held, group_held, is_ours
from discovery.bridge.inbound.objects import (
    belonging,
    main_port,
    overlaid,
    service_body,
    service_name,
    slice_body,
    slice_name,
)
from discovery.targets.checks import LABEL

from .scene import OPTIONS, Namespace, foreign_service


@pytest.mark.parametrize(
    ("consul", "prefix", "name"),
    [
        ("db", "", "db"),
        ("DB-Main", "", "db-main"),
        ("my_db.v2", "", "my-db-v2"),
        ("db", "consul-", "consul-db"),
        ("_db_", "", "db"),
        ("1db", "", None),
        ("1db", "c-", "c-1db"),
        ("...", "", None),
        ("übung", "", "bung"),
        ("", "", None),
    ],
)
def test_a_name_becomes_a_label_of_the_dns(consul: str, prefix: str, name: str | None) -> None:
    assert service_name(consul, prefix) == name


def test_names_that_are_too_long_are_cut_and_stay_different() -> None:
    one, other = service_name("x" * 100, ""), service_name("x" * 101, "")
    assert one is not None
    assert other is not None
    assert one != other
    assert len(one) == 63


@given(st.text(max_size=100), st.text(string.ascii_lowercase + "-", max_size=40))
def test_whatever_consul_calls_it_the_name_is_one_or_none(consul: str, prefix: str) -> None:
    name = service_name(consul, prefix)
    assert name is None or (LABEL.fullmatch(name) and name[0].isalpha())


def test_the_port_is_the_most_common_one_and_the_lowest_of_equals() -> None:
    assert main_port([("a", 80), ("b", 81), ("c", 81)]) == 81
    assert main_port([("a", 81), ("b", 80)]) == 80
    assert main_port([]) == 0


def test_the_port_stays_while_any_endpoint_has_it_and_while_there_are_none() -> None:
    assert main_port([("a", 80), ("b", 81), ("c", 81)], held=80) == 80
    assert main_port([], held=80) == 80
    assert main_port([("b", 81)], held=80) == 81


def test_slices_of_different_owners_services_ports_and_families_never_share_a_name() -> None:
    names = {
        slice_name(owner, service, group, number)
        for owner in ("a", "b")
        for service in ("db", "web")
        for group in ((80, "IPv4"), (80, "IPv6"), (81, "IPv4"))
        for number in range(3)
    }
    assert len(names) == 2 * 2 * 3 * 3


def test_ours_is_what_has_both_labels_and_the_owner_and_is_still_headless() -> None:
    body = service_body("db", "db", "dc1", 80, OPTIONS)
    assert is_ours(body, "prod")
    assert not is_ours(body, "other")
    for label in body["metadata"]["labels"]:
        fewer = {key: value for key, value in body["metadata"]["labels"].items() if key != label}
        assert not is_ours({**body, "metadata": {**body["metadata"], "labels": fewer}}, "prod")
    assert not is_ours({**body, "spec": {**body["spec"], "clusterIP": "10.0.0.1"}}, "prod")
    assert not is_ours(foreign_service("db"), "prod")


def test_a_slice_that_another_controller_manages_is_not_ours() -> None:
    body = slice_body("db-1", "db", "db", (80, "IPv4"), {"10.0.0.1": True}, OPTIONS)
    assert is_ours(body, "prod")
    body["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io"
    assert not is_ours(body, "prod")


def test_a_slice_says_the_families_and_the_readiness_of_its_endpoints_and_belongs_to_its_service() -> None:
    body = slice_body("db-1", "db", "db", (80, "IPv6"), {"fd00::2": False, "fd00::1": True}, OPTIONS)
    assert (body["addressType"], body["ports"]) == ("IPv6", [{"name": "default", "port": 80, "protocol": "TCP"}])
    assert body["endpoints"] == [
        {"addresses": ["fd00::1"], "conditions": {"ready": True, "serving": True, "terminating": False}},
        {"addresses": ["fd00::2"], "conditions": {"ready": False, "serving": False, "terminating": False}},
    ]
    assert body["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    (owner,) = belonging(body, "db", "uid-7")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Service", "db", "uid-7")
    assert "blockOwnerDeletion" not in owner  # which would need the right to set finalizers


def test_what_others_added_to_an_object_of_ours_stays() -> None:
    wanted = service_body("db", "db", "dc1", 81, OPTIONS)
    held = service_body("db", "db", "dc1", 80, OPTIONS)
    held["metadata"] |= {"uid": "u", "resourceVersion": "7", "finalizers": ["x/y"]}
    held["metadata"]["labels"]["team"] = "data"
    held["spec"] |= {"ipFamilies": ["IPv4"], "selector": {"app": "db"}}
    after = overlaid(held, wanted)
    assert after["metadata"]["labels"]["team"] == "data"
    assert (after["metadata"]["resourceVersion"], after["metadata"]["finalizers"]) == ("7", ["x/y"])
    assert after["spec"]["ipFamilies"] == ["IPv4"]
    assert "selector" not in after["spec"]
    assert after["spec"]["ports"][0]["port"] == 81


def test_a_slice_that_somebody_made_something_else_of_has_no_group() -> None:
    body = slice_body("db-1", "db", "db", (80, "IPv4"), {}, OPTIONS)
    assert group_held(body) == (80, "IPv4")
    assert group_held({**body, "ports": []}) is None
    assert group_held({**body, "ports": [{"name": "http", "port": 80}]}) is None
    assert group_held({**body, "ports": [{"name": "default", "port": 80, "protocol": "UDP"}]}) is None


def test_the_namespace_is_sorted_into_what_is_ours_and_the_names_that_are_taken() -> None:
    space = Namespace(service_body("db", "db", "", 80, OPTIONS), foreign_service("web"))
    held = space.held()
    assert (set(held.services), held.foreign) == ({"db"}, {"web"})
    assert isinstance(held, Held)
