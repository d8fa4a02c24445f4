"""Lists are read from either form, in any chunks, to the same objects; what is not whole is refused."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.kube.kinds import ENDPOINT_SLICES, SERVICES, Kind, pods_matching
from discovery.kube.lists import LONGEST_HEAD, JsonList, reader
from discovery.kube.objects import DECODE_ERRORS, Object, decode_list
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


def read(
    content_type: str, data: bytes, places: list[int], kind: Kind = ENDPOINT_SLICES
) -> tuple[list[Object], str, str]:
    items, found, at = reader(kind, content_type), list[Object](), 0
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


# JSON as the API server writes it: without spaces, each item with its metadata first


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def compact_list(items: list[Any], **meta: Any) -> bytes:
    head = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "42", **meta}}
    return compact({**head, "items": items})


PODS = pods_matching("app=web")
TRICKY = [
    '},{"metadata":{',
    '"items":[{"metadata":{',
    '\\"},{\\"metadata\\":{',
    "\\",
    '"',
    "é\u2028\U0001f600",
    "",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(TRICKY) | st.text(max_size=8),
    st.just([{"metadata": {"name": "inner"}}, {"metadata": {}}]),
    st.just([{"a": {}}, {"metadata": {}}]),
    st.just({"metadata": {"items": []}, "items": [{"metadata": {"name": "x"}}]}),
)
ITEMS = st.builds(
    lambda meta, first, more: {**first, "metadata": {"name": "a", "uid": "1", **meta}, "more": more},
    st.dictionaries(st.sampled_from(["annotations", "managedFields", "items"]), VALUES, max_size=2),
    st.sampled_from([{}] * 9 + [{"kind": "Pod"}]),
    VALUES,
)
CUTS = st.lists(st.integers(0), max_size=8)


@settings(max_examples=500)
@given(st.lists(ITEMS, max_size=5), CUTS)
def test_a_list_taken_apart_holds_what_the_whole_holds_wherever_it_is_cut(items: list[Any], places: list[int]) -> None:
    """Also with what looks like the border of two items in texts and, which no kind has, in lists within them."""
    data = compact_list(items)
    whole = [PODS.from_json(bytes(item)) for item in decode_list(data).items or ()]
    assert read("application/json", data, places, PODS) == (whole, "42", "")


@given(st.lists(ITEMS, min_size=1, max_size=4), st.data())
def test_a_list_taken_apart_that_ends_early_is_refused(items: list[Any], data: st.DataObject) -> None:
    whole = compact_list(items)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DECODE_ERRORS):
        read("application/json", whole[:end], data.draw(CUTS), PODS)


@given(st.lists(ITEMS, min_size=1, max_size=4), st.sampled_from([b"x", b"}", b"{}", b",", b'{"items":[]}']), CUTS)
def test_bytes_behind_a_list_taken_apart_are_refused(items: list[Any], garbage: bytes, places: list[int]) -> None:
    with pytest.raises(DECODE_ERRORS):
        read("application/json", compact_list(items) + garbage, places, PODS)


@given(st.lists(ITEMS, min_size=2, max_size=4), st.data())
def test_a_damaged_byte_of_a_list_taken_apart_is_read_or_refused_as_in_the_whole(
    items: list[Any], data: st.DataObject
) -> None:
    damaged = bytearray(compact_list(items))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(32, 126))
    try:
        whole = [PODS.from_json(bytes(item)) for item in decode_list(bytes(damaged)).items or ()]
    except DECODE_ERRORS:
        with pytest.raises(DECODE_ERRORS):
            read("application/json", bytes(damaged), data.draw(CUTS), PODS)
    else:
        with contextlib.suppress(ValueError):  # it is no list any more
            assert read("application/json", bytes(damaged), data.draw(CUTS), PODS)[0] == whole


def named(names: list[str]) -> list[Any]:
    return [{"metadata": {"name": name}, "status": {}} for name in names]


def test_objects_are_told_as_soon_as_the_next_one_begins() -> None:
    data, items = compact_list(named(["a", "b", "c"]), remainingItemCount=7, **{"continue": "next"}), JsonList(PODS)
    second, third = data.index(b'{"name":"b"'), data.index(b'{"name":"c"')
    assert [one.name for one in items.feed(data[: second + 1])] == ["a"]
    assert [one.name for one in items.feed(data[second + 1 : third + 1])] == ["b"]
    assert [one.name for one in items.feed(data[third + 1 :])] == []
    assert [one.name for one in items.finish()] == ["c"]
    assert (items.version, items.continue_) == ("42", "next")


@given(st.data())
def test_an_object_is_told_wherever_the_border_behind_it_is_cut(data: st.DataObject) -> None:
    whole, items = compact_list(named(["a", "b", "c"])), JsonList(PODS)
    border = whole.index(JsonList.BETWEEN)
    behind = border + len(JsonList.BETWEEN)
    cut = data.draw(st.integers(border, behind - 1))
    assert list(items.feed(whole[:cut])) == []
    assert [one.name for one in items.feed(whole[cut:behind])] == ["a"]


def test_of_a_long_list_only_the_piece_under_way_is_kept() -> None:
    one = compact_list([{"metadata": {"name": "a"}, "spec": "x" * 5000}] * 1000)
    items, most = JsonList(PODS), 0
    for at in range(0, len(one), 4096):
        list(items.feed(one[at : at + 4096]))
        most = max(most, len(items._buffer))
    assert most < 20_000


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "42"}, "items": named(["a", "b"])}).encode(),
        json.dumps(
            {"kind": "PodList", "metadata": {"resourceVersion": "42"}, "items": named(["a", "b"])}, indent=2
        ).encode(),
        compact({"items": named(["a", "b"]), "kind": "PodList", "metadata": {"resourceVersion": "42"}}),
        compact({"metadata": {"resourceVersion": "42"}, "items": named(["a", "b"]), "kind": "PodList"}),
        compact(
            {
                "kind": "PodList",
                "metadata": {"resourceVersion": "42", "items": named(["x"])},
                "items": named(["a", "b"]),
            }
        ),
        compact_list([{"kind": "Pod", **one} for one in named(["a", "b"])]),
        compact_list([*named(["a"]), {"kind": "Pod", **named(["b"])[0]}]),
        compact_list(named(["a", "b"]), selfLink="x" * LONGEST_HEAD),
    ],
    ids=["spaces", "lines", "items first", "kind last", "items within", "kind first", "mixed", "a long head"],
)
@given(places=CUTS)
def test_a_list_that_is_written_otherwise_is_read_all_the_same(data: bytes, places: list[int]) -> None:
    found, version, _ = read("application/json", data, places, PODS)
    assert ([one.name for one in found], version) == (["a", "b"], "42")


def test_items_that_are_of_no_list_are_refused() -> None:
    with pytest.raises(ValueError, match="of kind 'Status'"):
        read("application/json", compact({"kind": "Status", "items": named(["a", "b"])}), [], PODS)


def test_an_object_whose_body_cannot_be_read_is_kept_as_it_came_and_the_rest_is_read() -> None:
    items = named(["a", "b", "c"])
    items[1]["status"] = {"podIP": 5}
    found, _, _ = read("application/json", compact_list(items), [200], PODS)
    assert [one.name for one in found] == ["a", "b", "c"]
    with pytest.raises(DECODE_ERRORS):
        found[1].decode(found[1].body)
    assert found[2].decode(found[2].body)
