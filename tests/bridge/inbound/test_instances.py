"""What Consul says of a service becomes endpoints: what works is ready, what cannot be one is passed over and named."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.inbound.instances import sighting
from discovery.consul.objects import HealthEntry

from .scene import OPTIONS, entry


def test_an_instance_is_an_endpoint_at_its_own_address_or_else_at_its_nodes() -> None:
    seen = sighting([entry("10.0.0.1", 80), entry("", 81, node_address="192.0.2.7")], OPTIONS)
    assert seen.endpoints == {("10.0.0.1", 80): True, ("192.0.2.7", 81): True}
    assert (seen.datacenter, seen.empty, seen.whole, seen.skipped) == ("dc1", False, True, ())


@pytest.mark.parametrize(
    ("status", "node_status", "ready"),
    [
        ("passing", "passing", True),
        ("warning", "passing", True),
        ("critical", "passing", False),
        ("passing", "critical", False),
        ("maintenance", "passing", False),
    ],
)
def test_it_is_ready_while_no_check_of_its_own_or_of_its_node_forbids_it(
    status: str, node_status: str, ready: bool
) -> None:
    seen = sighting([entry(status=status, node_status=node_status)], OPTIONS)
    assert list(seen.endpoints.values()) == [ready]


def test_a_warning_can_be_told_to_count_as_unready() -> None:
    strict = attrs.evolve(OPTIONS, warning="unready")
    assert list(sighting([entry(status="warning")], strict).endpoints.values()) == [False]


def test_of_two_instances_at_one_place_one_that_works_is_enough() -> None:
    for order in ("passing", "critical"), ("critical", "passing"):
        seen = sighting([entry(status=status) for status in order], OPTIONS)
        assert seen.endpoints == {("10.0.0.1", 8080): True}


@pytest.mark.parametrize("meta", [{"external-source": "kubernetes"}, {"managed-by": "aiodiscovery"}])
def test_what_stands_for_a_service_of_kubernetes_does_not_come_back_as_an_echo(meta: dict[str, str]) -> None:
    seen = sighting([entry(meta=meta)], OPTIONS)
    assert (dict(seen.endpoints), seen.skipped, seen.empty) == ({}, (), False)


def test_other_metadata_does_not_keep_an_instance_out() -> None:
    assert sighting([entry(meta={"external-source": "nomad", "managed-by": "terraform"})], OPTIONS).endpoints


@pytest.mark.parametrize("kind", ["connect-proxy", "mesh-gateway", "terminating-gateway"])
def test_proxies_of_the_mesh_are_not_services(kind: str) -> None:
    assert not sighting([entry(kind=kind)], OPTIONS).endpoints


def test_only_instances_that_have_all_of_the_tags_are_taken() -> None:
    options = attrs.evolve(OPTIONS, tags=("v2", "eu"))
    entries = [
        entry("10.0.0.1", tags=["v2", "eu", "x"]),
        entry("10.0.0.2", tags=["v2"]),
        entry("10.0.0.3", tags=None),
    ]
    assert set(sighting(entries, options).endpoints) == {("10.0.0.1", 8080)}


@pytest.mark.parametrize(
    ("address", "port", "said"),
    [
        ("db.example.org", 80, "no IP address"),
        ("127.0.0.1", 80, "loopback"),
        ("::1", 80, "loopback"),
        ("169.254.1.1", 80, "link-local"),
        ("fe80::1", 80, "link-local"),
        ("0.0.0.0", 80, "unspecified"),
        ("::", 80, "unspecified"),
        ("224.0.0.1", 80, "multicast"),
        ("::ffff:127.0.0.1", 80, "loopback"),
        ("10.0.0.1", 0, "no port"),
        ("10.0.0.1", 65536, "no port"),
    ],
)
def test_what_a_slice_cannot_carry_is_passed_over_and_named_with_the_reason(address: str, port: int, said: str) -> None:
    seen = sighting([entry(address, port), entry("10.0.0.9", 80)], OPTIONS)
    assert seen.endpoints == {("10.0.0.9", 80): True}
    (skipped,) = seen.skipped
    assert said in skipped.reason
    assert skipped.instance.startswith("n1/db-")


def test_an_ipv4_address_in_the_dress_of_an_ipv6_one_is_an_ipv4_address() -> None:
    assert set(sighting([entry("::ffff:10.0.0.1", 80)], OPTIONS).endpoints) == {("10.0.0.1", 80)}


def test_an_address_is_one_however_it_is_spelled() -> None:
    entries = [entry("FD00:0:0::1", 80), entry("fd00::1", 80)]
    assert set(sighting(entries, OPTIONS).endpoints) == {("fd00::1", 80)}


def test_no_instance_at_all_is_told_from_none_that_can_be_taken() -> None:
    assert sighting([], OPTIONS).empty
    assert not sighting([entry("localhost")], OPTIONS).empty


@given(st.lists(st.builds(entry, st.sampled_from(["10.0.0.1", "10.0.0.2", "::1", "x"]), st.integers(0, 3)), max_size=6))
def test_the_order_of_an_answer_says_nothing(entries: list[HealthEntry]) -> None:
    assert sighting(entries, OPTIONS) == sighting(entries[::-1], OPTIONS)


def test_what_an_instance_says_of_itself_floods_no_log_and_moves_no_cursor() -> None:
    (skipped,) = sighting([entry("\x1b[2J" + "x" * 10_000, name="\n" * 10_000)], OPTIONS).skipped
    assert skipped.instance.isprintable()
    assert skipped.reason.isprintable()
    assert len(skipped.instance) + len(skipped.reason) < 2000
