"""What things are called in Consul: names that its DNS carries, ids that are unlike, nodes that are found again."""

import re
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from discovery.bridge.wanted.annotations import Wishes
from discovery.bridge.wanted.names import Name, instance_id, main_port, node_name, port_names
from discovery.bridge.wanted.unusable import Unusable
from discovery.kube.objects import ServicePort
from discovery.kube.objects.services import ServicePort as Port

from .objects import options

HTTP, RPC = Port(80, "http"), Port(8500, "rpc")
LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
ADDRESS = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("lb.example.com"), st.just("10.example.com")
)


def names(*ports: ServicePort, wishes: Wishes | None = None, service: str = "foo", **more: Any) -> dict[str, str]:
    found = port_names("default", service, ports or (HTTP, RPC), options(**more), wishes or Wishes())
    return {port: name.text for port, name in found.items()}


def refused(*ports: ServicePort, **more: Any) -> Unusable:
    with pytest.raises(Unusable) as caught:
        names(*ports, **more)
    return caught.value


# Services


def test_a_service_with_one_port_is_one_consul_service_of_its_name() -> None:
    assert names(HTTP) == {"http": "foo"}
    assert names(Port(80)) == {"": "foo"}


def test_of_several_ports_the_first_has_the_plain_name_and_the_others_their_own_after_it() -> None:
    assert names(HTTP, RPC) == {"http": "foo", "rpc": "foo-rpc"}
    assert names(RPC, HTTP) == {"rpc": "foo", "http": "foo-http"}


@pytest.mark.parametrize("wanted", ["rpc", 8500])
def test_an_annotation_makes_another_port_the_main_one_by_name_or_number(wanted: str | int) -> None:
    assert names(wishes=Wishes(port=wanted)) == {"http": "foo-http", "rpc": "foo"}


@pytest.mark.parametrize("wanted", ["grpc", 4141, "", "9" * 5000])
def test_a_main_port_that_it_has_not_is_refused_with_those_it_has(wanted: str | int) -> None:
    """consul-k8s ignores such a name, and makes a new port of such a number (its case E19)."""
    error = refused(Port(80), Port(8500, "rpc"), wishes=Wishes(port=wanted))
    assert error.reason == "annotation"
    assert "unnamed=80, rpc=8500" in str(error)
    assert len(str(error)) < 500


def test_prefix_and_suffix_go_around_the_name_and_the_port_after_both() -> None:
    assert names(HTTP, service_prefix="prefix") == {"http": "prefixfoo"}
    assert names(HTTP, namespace_suffix=True) == {"http": "foo-default"}
    assert names(service_prefix="eu-", namespace_suffix=True) == {"http": "eu-foo-default", "rpc": "eu-foo-default-rpc"}


def test_a_name_that_is_asked_for_has_neither_prefix_nor_suffix() -> None:
    found = port_names(
        "default", "foo", (HTTP, RPC), options(service_prefix="p-", namespace_suffix=True), Wishes(name="web")
    )
    assert found == {"http": Name("web", asked=True), "rpc": Name("web-rpc", asked=True)}


@pytest.mark.parametrize("name", ["a" * 64, "a" * 255, "web_1", "web.shop", "-web", "web-", "wéb", "web shop", "web\n"])
def test_a_name_that_dns_cannot_carry_is_refused(name: str) -> None:
    """consul-k8s takes any of up to 255 characters, and nobody finds the service by DNS."""
    error = refused(HTTP, wishes=Wishes(name=name))
    assert error.reason == "name"
    assert "service-name" in error.next_step
    assert str(error).isprintable()


def test_the_longest_name_is_a_dns_label_with_the_port_in_it() -> None:
    assert names(HTTP, wishes=Wishes(name="a" * 63)) == {"http": "a" * 63}
    assert names(wishes=Wishes(name="a" * 59)) == {"http": "a" * 59, "rpc": "a" * 59 + "-rpc"}
    assert "-rpc" in str(refused(wishes=Wishes(name="a" * 60)))


def test_two_ports_of_one_name_are_refused() -> None:
    """An API server takes none such; consul-k8s calls unnamed ones port1 and port2 (its case E5)."""
    assert refused(Port(80), Port(8500)).reason == "port"


def test_a_number_that_two_ports_have_is_the_first_of_them() -> None:
    dns = Port(53, "dns", "UDP"), Port(53, "dns-tcp")
    assert main_port(dns, 53) is dns[0]


# Instances


@given(*[st.tuples(LABEL, LABEL, LABEL, st.one_of(LABEL, st.just("")), ADDRESS)] * 2)
@example(("a", "b", "c", "", "1.1.1.1"), ("a", "b", "c", "_", "1.1.1.1"))
@example(("a", "b", "c-d", "e", "1.1.1.1"), ("a", "b", "c", "d-e", "1.1.1.1"))
@example(("a", "b-c", "d", "e", "1.1.1.1"), ("a", "b", "c-d", "e", "1.1.1.1"))
@example(("a", "b", "c", "10", "example.com"), ("a", "b", "c", "", "10.example.com"))
def test_ids_of_unlike_things_are_unlike(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assume(other[3] != "_")  # which no port can be called
    assert (instance_id(*one) == instance_id(*other)) is (one == other)


def test_an_id_can_be_read() -> None:
    assert instance_id("prod", "shop", "web", "http", "10.0.0.1") == "prod.shop.web.http.10.0.0.1"
    assert instance_id("prod", "shop", "web", "", "fd00::1") == "prod.shop.web._.fd00::1"


# Nodes


def test_a_consul_node_is_called_by_prefix_owner_and_node() -> None:
    assert node_name("k8s", "prod", "worker-1") == "k8s-prod--worker-1"
    assert node_name("k8s", "prod", "") == "k8s-prod"
    assert node_name("", "prod", "worker-1") == "prod--worker-1"


def test_a_name_with_dots_is_altered_and_told_apart_by_a_hash() -> None:
    found = node_name("k8s", "prod", "ip-10-0-0-1.ec2.internal")
    assert re.fullmatch(r"k8s-prod--ip-10-0-0-1-ec2-internal-[0-9a-f]{8}", found)
    assert found == "k8s-prod--ip-10-0-0-1-ec2-internal-" + found[-8:]
    assert node_name("k8s", "prod", "a.b") != node_name("k8s", "prod", "a-b") == "k8s-prod--a-b"


def test_a_node_that_is_called_like_an_altered_one_is_not_taken_for_it() -> None:
    altered = node_name("k8s", "prod", "a.b").removeprefix("k8s-prod--")
    assert node_name("k8s", "prod", altered) != node_name("k8s", "prod", "a.b")


NODE = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,80}[a-z0-9])?", fullmatch=True)
PREFIX = st.from_regex(r"([A-Za-z0-9][A-Za-z0-9-]{0,39})?", fullmatch=True)


@given(PREFIX, st.sampled_from(["prod", "a" * 32]), st.lists(st.one_of(NODE, st.just("")), unique=True, max_size=8))
def test_nodes_have_names_that_dns_carries_each_its_own(prefix: str, owner: str, nodes: list[str]) -> None:
    found = [node_name(prefix, owner, node) for node in nodes]
    assert len(set(found)) == len(nodes)
    for name in found:
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", name)
    assert found == [node_name(prefix, owner, node) for node in nodes]
