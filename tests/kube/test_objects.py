"""The wire's objects: what is missing, null or unknown is read as Kubernetes means it; what is wrong is refused."""

import json
from typing import Any

import msgspec
import pytest

from discovery.kube.kinds import ENDPOINT_SLICES, SERVICES
from discovery.kube.objects import (
    DECODE_ERRORS,
    Conditions,
    Endpoint,
    EndpointPort,
    Hints,
    Named,
    ServiceBody,
    ServicePort,
    ServiceSpec,
    SliceBody,
    Status,
    decode_error,
    decode_event,
    decode_list,
    decode_service,
    decode_slice,
    decode_status,
    decode_wire,
)


def wire(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, SliceBody()),
        ({"endpoints": None, "ports": None}, SliceBody("", None, None)),
        ({"addressType": "IPv6", "endpoints": [{}]}, SliceBody("IPv6", (Endpoint(),))),
        ({"endpoints": [{"addresses": None}]}, SliceBody("", (Endpoint(None),))),
        ({"endpoints": [{"conditions": {}}]}, SliceBody("", (Endpoint((), Conditions()),))),
        ({"endpoints": [{"conditions": {"ready": None}}]}, SliceBody("", (Endpoint((), Conditions()),))),
        ({"endpoints": [{"deprecatedTopology": {"a": "b"}, "new": [1]}]}, SliceBody("", (Endpoint(),))),
        (
            {"endpoints": [{"hints": {"forZones": [{"name": "a"}], "forNodes": None}}]},
            SliceBody("", (Endpoint(hints=Hints((Named("a"),), None)),)),
        ),
        ({"ports": [{}]}, SliceBody("", (), (EndpointPort(),))),
        ({"ports": [{"name": "", "port": None, "appProtocol": None}]}, SliceBody("", (), (EndpointPort(""),))),
    ],
)
def test_a_slice_is_read_as_far_as_it_goes(body: dict[str, Any], expected: SliceBody) -> None:
    assert decode_slice(wire(body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ServiceSpec()),
        ({"ports": None, "selector": None}, ServiceSpec(ports=None)),
        ({"ports": [{"port": 80}]}, ServiceSpec(ports=(ServicePort(80),))),
        ({"ports": [{"port": 80, "targetPort": "http"}]}, ServiceSpec(ports=(ServicePort(80, target_port="http"),))),
        ({"ports": [{"port": 80, "targetPort": 8080}]}, ServiceSpec(ports=(ServicePort(80, target_port=8080),))),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, ServiceSpec(cluster_ip="None", cluster_ips=("None",))),
        ({"type": "ExternalName", "externalName": "a.org"}, ServiceSpec("ExternalName", external_name="a.org")),
    ],
)
def test_a_service_is_read_as_far_as_it_goes(body: dict[str, Any], expected: ServiceSpec) -> None:
    assert decode_service(wire({"spec": body})) == ServiceBody(expected)


@pytest.mark.parametrize(
    ("address", "headless"), [("None", True), ("", False), ("10.96.0.1", False), ("fd00::1", False)]
)
def test_a_service_is_headless_only_by_saying_so(address: str, headless: bool) -> None:
    assert decode_service(wire({"spec": {"clusterIP": address}})).headless is headless


def test_a_service_without_ports_has_none() -> None:
    assert ServiceBody(ServiceSpec(ports=None)).ports == ()
    assert ServiceBody().ports == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"endpoints":{}}',
        b'{"endpoints":[null]}',
        b'{"endpoints":[{"addresses":[1]}]}',
        b'{"endpoints":[{"conditions":{"ready":"yes"}}]}',
        b'{"ports":[{"port":"80"}]}',
        b'{"addressType":"\xff"}',
        b'{"endpoints":' + b"[" * 20000,
        b'{"x":' + b"[" * 20000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_slice_of_the_wrong_shape_is_refused(body: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        decode_slice(body)


def test_an_object_is_known_by_its_namespace_and_name_and_grouped_by_what_readers_ask_for() -> None:
    meta = {"name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7"}
    labels = {"kubernetes.io/service-name": "web"}
    held = ENDPOINT_SLICES.from_json(wire({"metadata": {**meta, "labels": labels}, "addressType": "IPv4"}))
    assert (held.key, held.uid, held.version, held.group) == (("shop", "web-1"), "u", "7", "web")
    assert held.decode(held.body) == SliceBody("IPv4")
    assert ENDPOINT_SLICES.from_json(wire({"metadata": {**meta, "labels": None}})).group == ""
    assert SERVICES.from_json(wire({"metadata": meta})).group == "web-1"


def test_an_object_without_metadata_has_no_name() -> None:
    assert decode_wire(b"{}").metadata.name == ""


@pytest.mark.parametrize("kind", [ENDPOINT_SLICES, SERVICES])
def test_the_line_of_a_watch_is_kept_and_read_when_asked_or_read_at_once(kind: Any) -> None:
    body = {"kind": kind.name, "metadata": {"name": "web", "namespace": "shop"}, "addressType": "IPv4", "spec": {}}
    line = wire({"type": "ADDED", "object": body})
    event = decode_event(line)
    assert (event.type, event.object.kind) == ("ADDED", kind.name)
    held = kind.from_line(event.object.metadata, line)
    assert (held.body is line) is not kind.at_once
    listed = kind.from_json(wire(body))
    assert held.decode(held.body) == listed.decode(listed.body)


@pytest.mark.parametrize("line", [b"{}", b'{"type":"ADDED"}', b'{"object":{}}', b'{"type":1,"object":{}}', b"[]"])
def test_a_line_without_a_type_or_an_object_is_refused(line: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        decode_event(line)


def test_the_error_of_a_watch_is_a_status() -> None:
    line = wire({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"}})
    assert decode_error(line).object.expired


def test_a_list_leaves_its_items_as_they_are() -> None:
    found = decode_list(b'{"kind":"XList","metadata":{"resourceVersion":"7","continue":"c"},"items":[{"a":1},{}]}')
    assert (found.kind, found.metadata.resource_version, found.metadata.continue_) == ("XList", "7", "c")
    assert [bytes(item) for item in found.items or ()] == [b'{"a":1}', b"{}"]


TOO_LARGE = "Too large resource version"


@pytest.mark.parametrize(
    ("body", "expired"),
    [
        ({}, False),
        ({"code": 410}, True),
        ({"reason": "Expired"}, True),
        ({"reason": "Gone"}, True),
        ({"reason": "Timeout", "code": 504}, False),
        ({"message": f"Timeout: {TOO_LARGE}: 9, current: 5"}, True),
        ({"details": None}, False),
        ({"details": {"causes": None}}, False),
        ({"details": {"causes": [{}]}}, False),
        ({"details": {"causes": [{}, {"reason": "ResourceVersionTooLarge"}]}}, True),
        ({"details": {"causes": [{"message": TOO_LARGE}]}}, True),
    ],
)
def test_a_version_that_is_gone_or_yet_to_come_is_said_in_several_ways(body: dict[str, Any], expired: bool) -> None:
    assert decode_status(wire(body)).expired is expired


def test_a_status_says_how_long_to_wait() -> None:
    details = decode_status(wire({"details": {"retryAfterSeconds": 7}})).details
    assert details is not None
    assert details.retry_after_seconds == 7
    assert Status().details is None


@pytest.mark.parametrize("one", [SliceBody(), ServiceBody(), Endpoint(), Conditions(), EndpointPort()])
def test_what_readers_share_cannot_be_changed(one: msgspec.Struct) -> None:
    with pytest.raises(AttributeError):
        setattr(one, one.__struct_fields__[0], None)
