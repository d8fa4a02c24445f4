"""Kubernetes' protobuf, as far as lists of EndpointSlices, and the errors instead of them, need it.

A list of 100,000 endpoints is 17 MB as protobuf and 33 MB as JSON, and the server writes it in half the time. No
protobuf library is wanted for that: a list is split into its items as the bytes arrive, of an item only the metadata
is read, and the rest is kept as it came until somebody asks for it. Field numbers are those of the published
generated.proto files (meta/v1, discovery/v1); fields that are not known are skipped, as the format wants it.
"""

from collections.abc import Iterator

from .objects import (
    Conditions,
    Endpoint,
    EndpointPort,
    Hints,
    Meta,
    Named,
    ObjectReference,
    SliceBody,
    Status,
    StatusCause,
    StatusDetails,
)

MAGIC = b"k8s\x00"
"""What every message begins with; a runtime.Unknown follows, its field 2 is the object."""

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

LAST_META_FIELD = 11
"""Of metadata nothing behind the labels is read: managedFields, the bulk of it, is never looked at."""


class ProtobufError(ValueError):
    """The bytes are no message of the kind expected."""


def varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """The number at `at`, and the place behind it. Raises IndexError where the bytes end first."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ProtobufError("a number of more than 64 bits")


def fields(data: bytes | bytearray, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each field between two places as (number, start, end), or for numbers as (number, value, -1)."""
    while at < end:
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = varint(data, at)
            if at + size > end:
                raise ProtobufError("a field that is longer than its message")
            yield tag >> 3, at, at + size
            at += size
        elif kind == 0:
            value, at = varint(data, at)
            yield tag >> 3, value, -1
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ProtobufError(f"a field of unknown kind {kind}")
    if at > end:
        raise ProtobufError("a field that is longer than its message")


def read_meta(data: bytes | bytearray, at: int, end: int) -> Meta:
    """ObjectMeta: name 1, namespace 3, uid 5, resourceVersion 6, labels 11. Fields come in ascending order."""
    meta = Meta()
    labels: dict[str, str] = {}
    for number, start, stop in fields(data, at, end):
        if number == 1:
            meta.name = data[start:stop].decode()
        elif number == 3:
            meta.namespace = data[start:stop].decode()
        elif number == 5:
            meta.uid = data[start:stop].decode()
        elif number == 6:
            meta.resourceVersion = data[start:stop].decode()
        elif number == LAST_META_FIELD:
            key = value = ""
            for part, first, last in fields(data, start, stop):
                if part == 1:
                    key = data[first:last].decode()
                elif part == 2:
                    value = data[first:last].decode()
            labels[key] = value
        elif number > LAST_META_FIELD:
            break
    meta.labels = labels
    return meta


def read_slice(data: bytes) -> SliceBody:
    """EndpointSlice without its metadata: endpoints 2, ports 3, addressType 4."""
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] = []
    address_type = ""
    for number, start, stop in fields(data, 0, len(data)):
        if number == 2:
            endpoints.append(_endpoint(data, start, stop))
        elif number == 3:
            ports.append(_port(data, start, stop))
        elif number == 4:
            address_type = data[start:stop].decode()
    return SliceBody(address_type, tuple(endpoints), tuple(ports))


def _endpoint(data: bytes, at: int, end: int) -> Endpoint:
    addresses: tuple[str, ...] = ()
    conditions = hostname = target = node = zone = hints = None
    for number, start, stop in fields(data, at, end):
        if number == 1:
            addresses += (data[start:stop].decode(),)
        elif number == 2:
            conditions = _conditions(data, start, stop)
        elif number == 3:
            hostname = data[start:stop].decode()
        elif number == 4:
            target = _reference(data, start, stop)
        elif number == 6:
            node = data[start:stop].decode()
        elif number == 7:
            zone = data[start:stop].decode()
        elif number == 8:
            hints = _hints(data, start, stop)
    return Endpoint(addresses, conditions, hostname, target, node, zone, hints)


def _hints(data: bytes, at: int, end: int) -> Hints:
    """ForZones 1, forNodes 2: each a name in its field 1."""
    found: dict[int, tuple[Named, ...]] = {}
    for number, start, stop in fields(data, at, end):
        if number in (1, 2):
            found[number] = (*found.get(number, ()), Named(_texts(data, start, stop, 1)[0]))
    return Hints(found.get(1), found.get(2))


def _conditions(data: bytes, at: int, end: int) -> Conditions:
    found: list[bool | None] = [None, None, None]
    for number, value, _ in fields(data, at, end):
        if 1 <= number <= 3:
            found[number - 1] = bool(value)
    return Conditions(*found)


def _reference(data: bytes, at: int, end: int) -> ObjectReference:
    return ObjectReference(*_texts(data, at, end, 4))


def _port(data: bytes, at: int, end: int) -> EndpointPort:
    name = protocol = app_protocol = None
    port: int | None = None
    for number, start, stop in fields(data, at, end):
        if number == 1:
            name = data[start:stop].decode()
        elif number == 2:
            protocol = data[start:stop].decode()
        elif number == 3:
            port = start
        elif number == 4:
            app_protocol = data[start:stop].decode()
    return EndpointPort(name, protocol, port, app_protocol)


def read_status(message: bytes) -> Status:
    """A whole message that holds a Status: message 3, reason 4, details 5, code 6."""
    if not message.startswith(MAGIC):
        raise ProtobufError("no message of Kubernetes")
    status, data = Status(), b""
    for number, start, stop in fields(message, len(MAGIC), len(message)):
        if number == 1:
            status.kind = _texts(message, start, stop, 2)[1]
        elif number == 2:
            data = message[start:stop]
    for number, start, stop in fields(data, 0, len(data)):
        if number == 3:
            status.message = data[start:stop].decode()
        elif number == 4:
            status.reason = data[start:stop].decode()
        elif number == 5:
            status.details = _details(data, start, stop)
        elif number == 6:
            status.code = start
    return status


def _details(data: bytes, at: int, end: int) -> StatusDetails:
    causes: list[StatusCause] = []
    seconds = None
    for number, start, stop in fields(data, at, end):
        if number == 4:
            causes.append(StatusCause(*_texts(data, start, stop, 2)))
        elif number == 5:
            seconds = start
    return StatusDetails(causes, seconds)


def _texts(data: bytes, at: int, end: int, count: int) -> list[str]:
    """The first fields of a message that has only texts."""
    found = [""] * count
    for number, start, stop in fields(data, at, end):
        if 1 <= number <= count:
            found[number - 1] = data[start:stop].decode()
    return found
