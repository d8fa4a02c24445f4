"""Protobuf says the same as JSON, whatever a slice holds, in any chunks; damaged bytes raise only what is expected."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.kube.kinds import ENDPOINT_SLICES
from discovery.kube.objects import DECODE_ERRORS, Meta, Status, decode_slice, decode_status, decode_wire
from discovery.kube.protobuf import MAGIC, MEDIA_TYPE, ProtobufError, fields, read_meta, read_slice, read_status, varint

from .test_lists import flag, number, read, text, told

# The writer, of the published field numbers. It knows nothing of the reader.

Json = dict[str, Any]


def message(body: Json, *parts: tuple[str, int, Callable[[int, Any], bytes]]) -> bytes:
    """The fields that are there, in the order of their numbers."""
    return b"".join(write(field, body[name]) for name, field, write in parts if body.get(name) is not None)


def nested(*parts: tuple[str, int, Callable[[int, Any], bytes]]) -> Callable[[int, Any], bytes]:
    return lambda field, body: text(field, message(body, *parts))


def repeated(write: Callable[[int, Any], bytes]) -> Callable[[int, Any], bytes]:
    return lambda field, bodies: b"".join(write(field, body) for body in bodies)


def mapping(field: int, body: dict[str, str]) -> bytes:
    return b"".join(text(field, text(1, key) + text(2, value)) for key, value in body.items())


META = nested(
    ("name", 1, text), ("namespace", 3, text), ("uid", 5, text), ("resourceVersion", 6, text), ("labels", 11, mapping)
)
CONDITIONS = nested(("ready", 1, flag), ("serving", 2, flag), ("terminating", 3, flag))
REFERENCE = nested(
    ("kind", 1, text), ("namespace", 2, text), ("name", 3, text), ("uid", 4, text), ("apiVersion", 5, text)
)
ENDPOINT = nested(
    ("addresses", 1, repeated(text)),
    ("conditions", 2, CONDITIONS),
    ("hostname", 3, text),
    ("targetRef", 4, REFERENCE),
    ("deprecatedTopology", 5, mapping),
    ("nodeName", 6, text),
    ("zone", 7, text),
)
PORT = nested(("name", 1, text), ("protocol", 2, text), ("port", 3, flag), ("appProtocol", 4, text))
BODY = (("endpoints", 2, repeated(ENDPOINT)), ("ports", 3, repeated(PORT)), ("addressType", 4, text))
SLICE = nested(("metadata", 1, META), *BODY)

# Slices of every shape

words = st.text(max_size=20)


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=parts)


flags = some(ready=st.booleans(), serving=st.booleans(), terminating=st.booleans())
references = some(kind=words, namespace=words, name=words, uid=words, apiVersion=words)
endpoints = some(
    addresses=st.lists(words, max_size=3),
    conditions=flags,
    hostname=words,
    targetRef=references,
    deprecatedTopology=st.dictionaries(words, words, max_size=2),
    nodeName=words,
    zone=words,
)
ports = some(name=words, protocol=words, port=st.integers(0, 65535), appProtocol=words)
bodies = some(endpoints=st.lists(endpoints, max_size=4), ports=st.lists(ports, max_size=3), addressType=words)
labels = st.dictionaries(words, words, max_size=3) | st.builds(lambda name: {"kubernetes.io/service-name": name}, words)
metas = some(name=words, namespace=words, uid=words, resourceVersion=words, labels=labels)
slices = st.builds(lambda meta, body: {"metadata": meta, **body}, metas, bodies)
places = st.lists(st.integers(0), max_size=8)


@given(bodies)
def test_a_slice_says_the_same_in_both_forms(body: Json) -> None:
    assert read_slice(message(body, *BODY)) == decode_slice(json.dumps(body).encode())


@given(metas)
def test_metadata_says_the_same_in_both_forms(body: Json) -> None:
    data = META(1, body)
    _, at = varint(data, 1)
    expected = decode_wire(json.dumps({"metadata": body}).encode()).metadata
    expected.labels = expected.labels or {}
    assert read_meta(data, at, len(data)) == expected


@given(st.lists(slices, max_size=5), words, words, places)
def test_a_list_says_the_same_in_both_forms_in_any_chunks(
    bodies: list[Json], version: str, rest: str, places: list[int]
) -> None:
    items = [SLICE(2, body) for body in bodies]
    data = list_of(items, version, rest)
    whole = {"kind": "EndpointSliceList", "metadata": {"resourceVersion": version, "continue": rest}, "items": bodies}
    by_protobuf, by_json = read(MEDIA_TYPE, data, places), read("application/json", json.dumps(whole).encode(), [])
    assert told(by_protobuf[0]) == told(by_json[0])
    assert by_protobuf[1:] == by_json[1:] == (version, rest)


def list_of(items: list[bytes], version: str, rest: str) -> bytes:
    body = text(1, text(2, version) + text(3, rest)) + b"".join(items)
    return MAGIC + text(1, text(1, "discovery.k8s.io/v1") + text(2, "EndpointSliceList")) + text(2, body) + text(3, "")


# What later versions add

extras = st.sampled_from(
    [
        flag(200, 7),
        text(201, "new"),
        number(202 << 3 | 1) + b"8 bytes!",
        number(203 << 3 | 5) + b"four",
        text(15, b"\xff"),
    ]
)


@given(bodies, st.lists(extras, min_size=1, max_size=4))
def test_fields_that_are_not_known_are_skipped_wherever_they_stand(body: Json, more: list[bytes]) -> None:
    extra = b"".join(more)
    plain = message(body, *BODY)
    assert read_slice(extra + plain + extra) == read_slice(plain)
    inner = [text(2, extra + text(1, "10.0.0.1") + extra + text(2, extra + flag(1, value=True)) + extra)]
    inner += [text(3, extra + text(1, "http") + flag(3, 80) + extra)]
    found = read_slice(b"".join(inner))
    assert found == read_slice(
        text(2, text(1, "10.0.0.1") + text(2, flag(1, value=True))) + text(3, text(1, "http") + flag(3, 80))
    )


def test_managed_fields_are_never_looked_at() -> None:
    data = text(1, "web") + text(11, text(1, "a") + text(2, "b")) + text(17, b"\xff" * 50) + b"\xff\xff"
    assert read_meta(data, 0, len(data)) == Meta("web", labels={"a": "b"})


# Damage

BYTES = list_of(
    [
        SLICE(
            2,
            {
                "metadata": {"name": "a", "labels": {"x": "y"}},
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "targetRef": {"name": "p"}}],
                "ports": [{"name": "http", "port": 80}],
                "addressType": "IPv4",
            },
        )
    ],
    "7",
    "",
)


def _never_more(call: Callable[[], object]) -> None:
    with contextlib.suppress(*DECODE_ERRORS):
        call()


@given(st.binary(max_size=300))
def test_garbage_raises_what_is_expected_and_nothing_else(data: bytes) -> None:
    _never_more(lambda: read_slice(data))
    _never_more(lambda: read_meta(data, 0, len(data)))
    _never_more(lambda: read_status(MAGIC + data))
    _never_more(lambda: read(MEDIA_TYPE, MAGIC + data, []))


@given(st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), max_size=5), places)
def test_damaged_bytes_raise_what_is_expected_and_nothing_else(
    damage: list[tuple[int, int]], places: list[int]
) -> None:
    data = bytearray(BYTES)
    for at, byte in damage:
        data[at] = byte
    _never_more(lambda: told(read(MEDIA_TYPE, bytes(data), places)[0]))


@given(bodies, st.data())
def test_a_slice_that_ends_early_is_refused_or_is_the_beginning_of_one(body: Json, data: st.DataObject) -> None:
    whole = message(body, *BODY)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    _never_more(lambda: read_slice(cut))


@pytest.mark.parametrize(
    "data",
    [
        b"\x0b",  # a group, which the format has given up
        b"\x0c",
        b"\x0e",
        b"\x0f",
        b"\x12\x05abc",
        b"\x12\xff\xff\xff\xff\x0f",
        text(4, b"\xff"),
        text(2, text(1, b"\xff")),
        text(2, text(2, b"\x0b")),
        text(3, text(1, b"\xff")),
        b"\xff" * 11,
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_slice(data)


@pytest.mark.parametrize("data", [b"\x12", b"\x12\x80", b"\x80", b"\x09four", b"\x0dfou"])
def test_a_field_that_ends_early_is_refused(data: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        list(fields(data, 0, len(data)))


def test_a_field_does_not_reach_beyond_its_message() -> None:
    """The parent's bytes follow at once: without a look at the end they would be read as the child's."""
    for inner in (b"\x12\x04ab", b"\x08", b"\x08\x80", b"\x09four", b"\x0dfo"):
        with pytest.raises(ProtobufError):
            list(fields(inner + b"\x01\x01\x01\x01\x01\x01\x01\x01", 0, len(inner)))
    with pytest.raises(ProtobufError):
        next(fields(b"\x12\x04abcd", 0, 4))


# Statuses

causes = st.lists(st.fixed_dictionaries({"reason": words, "message": words}), max_size=3)
details = st.fixed_dictionaries({"causes": causes}, optional={"retryAfterSeconds": st.integers(0, 1000)})
statuses = some(message=words, reason=words, code=st.integers(0, 599), details=details)
CAUSE = nested(("reason", 1, text), ("message", 2, text), ("field", 3, text))
DETAILS = nested(("name", 1, text), ("causes", 4, repeated(CAUSE)), ("retryAfterSeconds", 5, flag))
STATUS = (("status", 2, text), ("message", 3, text), ("reason", 4, text), ("details", 5, DETAILS), ("code", 6, flag))


@given(statuses)
def test_a_status_says_the_same_in_both_forms(body: Json) -> None:
    kind = text(1, text(1, "v1") + text(2, "Status"))
    data = MAGIC + kind + text(2, text(1, b"") + message({"status": "Failure", **body}, *STATUS)) + text(3, "")
    assert read_status(data) == decode_status(json.dumps({"kind": "Status", **body}).encode())


def test_a_message_of_nothing_is_an_empty_status() -> None:
    assert read_status(MAGIC) == Status()


@pytest.mark.parametrize("data", [b"", b"k8s", b"{}", b"K8S\x00" + text(2, "")])
def test_bytes_without_the_mark_of_kubernetes_are_no_status(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        read_status(data)


def test_slices_are_what_protobuf_is_asked_for() -> None:
    assert ENDPOINT_SLICES.protobuf is read_slice
