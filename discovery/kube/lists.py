"""Reads a list as its bytes arrive, as JSON or as protobuf: what the server answers is taken as it comes.

No I/O: bytes are fed in, objects come out. Feeding protobuf in pieces spreads the work over the transfer, so that a
list of any length never keeps the loop from turning for more than a piece's worth.
"""

import contextlib
from typing import Protocol

from .kinds import Kind
from .objects import Object, decode_list
from .protobuf import MAGIC, MEDIA_TYPE, ProtobufError, fields, read_meta, varint


class ListReader(Protocol):
    """Bytes in, objects out. `version` and `continue_` hold once `finish` has returned."""

    version: str
    continue_: str

    def feed(self, data: bytes) -> list[Object]:
        """The objects that these bytes complete."""

    def finish(self) -> list[Object]:
        """The rest; raises ValueError where the list is not whole."""


def reader(kind: Kind, content_type: str) -> ListReader:
    """The reader for what the server said it sends; raises ValueError where that is neither form."""
    media = content_type.partition(";")[0].strip().lower()
    if media == MEDIA_TYPE and kind.protobuf:
        return ProtobufList(kind)
    if media == "application/json":
        return JsonList(kind)
    raise ValueError(f"the content type is {media[:80]!r}")


class JsonList:
    """Collects the whole: JSON cannot be split without reading it."""

    def __init__(self, kind: Kind) -> None:
        self.version = ""
        self.continue_ = ""
        self._kind = kind
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[Object]:
        """Nothing is complete before the end."""
        self._parts.append(data)
        return []

    def finish(self) -> list[Object]:
        """All of it."""
        whole = decode_list(b"".join(self._parts))
        self._parts.clear()
        if not whole.kind.endswith("List"):
            raise ValueError(f"the object is of kind {whole.kind[:80]!r}")
        self.version, self.continue_ = whole.metadata.resource_version, whole.metadata.continue_
        return [self._kind.from_json(item) for item in whole.items or ()]


class ProtobufList:
    """Splits a runtime.Unknown that holds a list: its metadata is field 1, its items are field 2."""

    def __init__(self, kind: Kind) -> None:
        self.version = ""
        self.continue_ = ""
        self._kind = kind
        self._buffer = bytearray()
        self._inside = False
        self._left = 0  # bytes of the list that have not been read
        self._namespaces: dict[str, str] = {}

    def feed(self, data: bytes) -> list[Object]:
        """The objects that are whole now."""
        self._buffer += data
        at = 0
        if not self._inside:
            at = self._enter()
            if not self._inside:
                return []
        found, end = self._items(at)
        self._left -= end - at
        del self._buffer[:end]
        return found

    def finish(self) -> list[Object]:
        """Check that nothing is missing."""
        if not self._inside or self._left:
            raise ProtobufError("the list ends before its time")
        return []

    def _enter(self) -> int:
        """Where the list begins; stays outside while its header has not all come."""
        buffer = self._buffer
        if buffer[:4] != MAGIC[: len(buffer)]:
            raise ProtobufError("no message of Kubernetes")
        with contextlib.suppress(IndexError):
            at = 4
            while at < len(buffer):
                tag, at = varint(buffer, at)
                size, at = varint(buffer, at)
                if tag == 0x12:
                    self._inside, self._left = True, size
                    return at
                if tag & 7 != 2:
                    raise ProtobufError("no message of Kubernetes")
                at += size
        return 0

    def _items(self, at: int) -> tuple[list[Object], int]:
        buffer, found = self._buffer, []
        end = min(len(buffer), at + self._left)
        done = at
        while at < end:
            try:
                tag, start = varint(buffer, at)
                size, start = varint(buffer, start)
            except IndexError:
                break
            if tag & 7 != 2:
                raise ProtobufError("a list has no such field")
            at = start + size
            if at > end:
                break
            if tag == 0x12:
                found.append(self._object(start, at))
            elif tag == 0x0A:
                self._meta(start, at)
            done = at
        return found, done

    def _meta(self, at: int, end: int) -> None:
        for number, start, stop in fields(self._buffer, at, end):
            if number == 2:
                self.version = self._buffer[start:stop].decode()
            elif number == 3:
                self.continue_ = self._buffer[start:stop].decode()

    def _object(self, at: int, end: int) -> Object:
        """An item: its metadata is field 1 and comes first; what follows is kept as it is."""
        buffer = self._buffer
        tag, start = varint(buffer, at)
        if tag != 0x0A:
            raise ProtobufError("an object without metadata")
        size, start = varint(buffer, start)
        meta = read_meta(buffer, start, start + size)
        namespace = self._namespaces.setdefault(meta.namespace, meta.namespace)
        decode = self._kind.protobuf
        assert decode is not None
        group = self._kind.group_of(meta)
        body = bytes(buffer[start + size : end])
        return Object(namespace, meta.name, meta.uid, meta.resourceVersion, group, body, decode)
