"""Lists are read from either form, in any chunks, to the same objects; what is not whole is refused."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.kube.kinds import ENDPOINT_SLICES, SERVICES
from discovery.kube.lists import reader
from discovery.kube.objects import DECODE_ERRORS, Object
from discovery.kube.protobuf import MAGIC, MEDIA_TYPE, ProtobufError, fields, varint

# A protobuf writer, of the published field numbers, so that the reader is not tested by itself.


def number(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def text(field: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return number(field << 3 | 2) + number(len(data)) + data


def flag(field: int, value: bool | int) -> bytes:
    return number(field << 3) + number(int(value))


def slice_bytes(name: str, service: str, addresses: list[str]) -> bytes:
    label = text(1, "kubernetes.io/service-name") + text(2, service)
    meta = (
        text(1, name) + text(3, "shop") + text(5, f"uid-{name}") + text(6, "7") + text(11, label) + text(17, "managed")
    )
    conditions = flag(1, value=True) + flag(2, value=True) + flag(3, value=False)
    target = text(1, "Pod") + text(2, "shop") + text(3, "pod") + text(4, "pod-uid")
    endpoints = b"".join(
        text(2, text(1, address) + text(2, conditions) + text(4, target) + text(6, "node-1") + text(7, "zone-a"))
        for address in addresses
    )
    port = text(1, "http") + text(2, "TCP") + flag(3, 8080) + text(4, "h2c")
    return text(1, meta) + endpoints + text(3, port) + text(4, "IPv4")


def list_bytes(slices: list[bytes], version: str = "42", continue_: str = "") -> bytes:
    meta = text(2, version) + (text(3, continue_) if continue_ else b"")
    body = text(1, meta) + b"".join(text(2, one) for one in slices)
    kind = text(1, "discovery.k8s.io/v1") + text(2, "EndpointSliceList")
    return MAGIC + text(1, kind) + text(2, body) + text(3, "") + text(4, "")


def slice_json(name: str, service: str, addresses: list[str]) -> dict[str, Any]:
    conditions = {"ready": True, "serving": True, "terminating": False}
    target = {"kind": "Pod", "namespace": "shop", "name": "pod", "uid": "pod-uid"}
    more = {"conditions": conditions, "targetRef": target, "nodeName": "node-1", "zone": "zone-a"}
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "7", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], **more} for address in addresses],
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "appProtocol": "h2c"}],
    }


SLICES = [("a", "web", ["10.0.0.1", "10.0.0.2"]), ("b", "db", []), ("c", "web", ["10.0.0.3"])]
PROTOBUF = list_bytes([slice_bytes(*one) for one in SLICES], continue_="next")
JSON = json.dumps(
    {
        "kind": "EndpointSliceList",
        "metadata": {"resourceVersion": "42", "continue": "next"},
        "items": [slice_json(*one) for one in SLICES],
    }
).encode()


def read(content_type: str, data: bytes, places: list[int]) -> tuple[list[Object], str, str]:
    items, found, at = reader(ENDPOINT_SLICES, content_type), [], 0
    for place in [*sorted(place % (len(data) + 1) for place in places), len(data)]:
        found += items.feed(data[at:place])
        at = place
    found += items.finish()
    return found, items.version, items.continue_


def told(found: list[Object]) -> list[object]:
    return [(one.namespace, one.name, one.uid, one.version, one.group, one.decode(one.body)) for one in found]


@given(st.lists(st.integers(0), max_size=8))
def test_both_forms_say_the_same_in_any_chunks(places: list[int]) -> None:
    by_protobuf, by_json = read(MEDIA_TYPE, PROTOBUF, places), read("application/json; charset=utf-8", JSON, places)
    assert told(by_protobuf[0]) == told(by_json[0])
    assert by_protobuf[1:] == by_json[1:] == ("42", "next")
    assert [one.name for one in by_json[0]] == ["a", "b", "c"]


@given(st.integers(0, len(PROTOBUF) - 9))
def test_a_protobuf_list_that_ends_early_is_refused(end: int) -> None:
    with pytest.raises(DECODE_ERRORS):
        read(MEDIA_TYPE, PROTOBUF[:end], [])


@given(st.integers(0, len(JSON) - 1))
def test_a_json_list_that_ends_early_is_refused(end: int) -> None:
    with pytest.raises(DECODE_ERRORS):
        read("application/json", JSON[:end], [])


@given(st.binary(max_size=200), st.sampled_from([MEDIA_TYPE, "application/json"]))
def test_bytes_that_are_no_list_raise_what_is_expected_and_nothing_else(data: bytes, media: str) -> None:
    with pytest.raises(DECODE_ERRORS):
        read(media, data, [])


@given(st.integers(0, len(PROTOBUF) - 1), st.integers(0, 255))
def test_a_damaged_byte_is_read_or_refused(at: int, byte: int) -> None:
    damaged = bytearray(PROTOBUF)
    damaged[at] = byte
    with contextlib.suppress(*DECODE_ERRORS):
        told(read(MEDIA_TYPE, bytes(damaged), [])[0])


def test_an_empty_list_is_a_list() -> None:
    assert read(MEDIA_TYPE, list_bytes([]), []) == ([], "42", "")
    assert (
        read("application/json", b'{"kind":"ServiceList","metadata":{"resourceVersion":"42"},"items":null}', [])[0]
        == []
    )


@pytest.mark.parametrize("media", ["text/html", "", "application/yaml"])
def test_another_content_type_is_no_list(media: str) -> None:
    with pytest.raises(ValueError, match="content type"):
        reader(ENDPOINT_SLICES, media)


def test_what_was_asked_for_as_json_is_not_read_as_protobuf() -> None:
    with pytest.raises(ValueError, match="content type"):
        reader(SERVICES, MEDIA_TYPE)


def test_an_object_that_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="of kind 'Status'"):
        read("application/json", b'{"kind":"Status","metadata":{}}', [])


@given(st.integers(0, 2**63))
def test_numbers_of_any_length_are_read(value: int) -> None:
    data = number(value) + b"rest"
    assert varint(data, 0) == (value, len(data) - 4)


def test_a_number_without_an_end_is_refused() -> None:
    with pytest.raises(ProtobufError, match="64 bits"):
        varint(b"\xff" * 20, 0)


def test_fields_that_are_not_known_are_skipped() -> None:
    data = number(9 << 3 | 1) + b"8 bytes!" + number(10 << 3 | 5) + b"four" + text(2, "x")
    assert [field for field, _, _ in fields(data, 0, len(data))] == [2]
