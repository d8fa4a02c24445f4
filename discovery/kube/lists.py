"""Reads a list as its bytes arrive, as JSON or as protobuf: what the server answers is taken as it comes.

No I/O: bytes are fed in, objects come out. So the work is spread over the transfer, a list of any length never keeps
the loop from turning for more than a piece's worth, and its bytes are not kept.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from .kinds import Kind
from .objects import DECODE_ERRORS, ListMeta, Object, ObjectList, decode_list
from .protobuf import MAGIC, MEDIA_TYPE, ProtobufError, fields, read_meta, varint

LONGEST_HEAD = 2**14
"""Bytes within which the items of a JSON list begin, where it is to be taken apart: all before them is metadata."""


class ListReader(Protocol):
    """Bytes in, objects out. `version`, `continue_` and `skipped` hold once `finish` has been read to its end.

    `skipped` is of how many objects not even the metadata can be read.
    """

    version: str
    continue_: str
    skipped: int

    def feed(self, data: bytes) -> Iterable[Object]:
        """The objects that these bytes complete; to be read to the end before the next call."""

    def finish(self) -> Iterable[Object]:
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
    """Takes a list apart where the server writes it as the API server does; else collects the whole.

    That is: without spaces, the items after the list's metadata, each with its own metadata first. There `BETWEEN` can
    stand between items only: within a string its quotes would be escaped, and no kind that is read here holds a list
    of things with metadata. Should it be something else all the same, the piece before it is no object, and from there
    on the rest is collected.
    """

    FIRST = b'"items":[{"metadata":{'
    BETWEEN = b'},{"metadata":{'

    def __init__(self, kind: Kind) -> None:
        self.version = ""
        self.continue_ = ""
        self.skipped = 0
        self._kind = kind
        self._buffer = bytearray()
        self._head = ObjectList()
        self._opening = b""  # what the list would begin with if the buffer were its first item
        self._searched = 0
        self._apart = self._undecided = True

    def feed(self, data: bytes) -> Iterator[Object]:
        """The objects that are whole now."""
        self._buffer += data
        if self._undecided:
            self._decide()
        if self._undecided or not self._apart:
            return
        end = self._buffer.rfind(self.BETWEEN, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(self.BETWEEN))
            return
        pieces = bytes(self._buffer[:end]).split(self.BETWEEN)
        del self._buffer[: end + len(b"},")]
        self._searched = 0
        yield from self._objects(pieces)

    def finish(self) -> Iterator[Object]:
        """What has not been told yet."""
        whole = decode_list(self._opening + self._buffer)
        self._buffer.clear()
        kind = whole.kind or self._head.kind
        if not kind.endswith("List"):
            raise ValueError(f"the object is of kind {kind[:80]!r}")
        meta = self._head.metadata if whole.metadata == ListMeta() else whole.metadata
        for item in whole.items or ():
            try:
                found = self._kind.from_json(item)
            except DECODE_ERRORS:
                self.skipped += 1
            else:
                yield found
        self.version, self.continue_ = meta.resource_version, meta.continue_

    def _decide(self) -> None:
        """Once the first item has begun, or should have: whether the list can be taken apart."""
        at = self._buffer.find(self.FIRST, 0, LONGEST_HEAD)
        if at < 0 and len(self._buffer) < LONGEST_HEAD:
            return
        self._undecided = self._apart = False
        opening = at + len(b'"items":[')
        with contextlib.suppress(*DECODE_ERRORS):
            if at >= 0:
                self._head = decode_list(bytes(self._buffer[:opening]) + b"]}")
                self._opening, self._apart = b'{"items":[', True
                del self._buffer[:opening]

    def _objects(self, pieces: list[bytes]) -> Iterator[Object]:
        """Items; `BETWEEN` has taken the beginning off all but the first, and its last brace off each."""
        beginning = b""
        for number, piece in enumerate(pieces):
            try:
                found = self._kind.from_json(b"%b%b}" % (beginning, piece))
            except DECODE_ERRORS:
                if _is_json(b"%b%b}" % (beginning, piece)):  # an object, with fields that are wrong
                    self.skipped += 1
                    beginning = b'{"metadata":{'
                    continue
                self._apart = False
                rest = self.BETWEEN.join(pieces[number:])
                self._buffer[:0] = b"%b%b}," % (beginning, rest)
                return
            yield found
            beginning = b'{"metadata":{'


class ProtobufList:
    """Splits a runtime.Unknown that holds a list: its metadata is field 1, its items are field 2."""

    def __init__(self, kind: Kind) -> None:
        self.version = ""
        self.continue_ = ""
        self.skipped = 0
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


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except DECODE_ERRORS:
        return False
    return True
