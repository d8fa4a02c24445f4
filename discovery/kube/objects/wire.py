"""What every object, list, watch and refusal of the API has: metadata, and the rest as it came.

A list of 10,000 slices is mostly never looked into. So an object is kept as its head (what the cache needs) and its
`body` as it came; the body is decoded when somebody asks for it. `gc=False`: none of these can be part of a cycle,
and a collector that has to visit 100,000 of them would be felt.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

SERVICE_NAME = "kubernetes.io/service-name"
"""The label of a slice that names its Service."""

ZONE = "topology.kubernetes.io/zone"
"""The label that tells a node's zone, and a pod's: its node's, copied by Kubernetes from 1.35 on (KEP-4742)."""


class Meta(msgspec.Struct, gc=False):
    """metadata, of any object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815 - names of the wire
    labels: dict[str, str] | None = None


class ListMeta(msgspec.Struct, gc=False, rename="camel"):
    """metadata, of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Object(msgspec.Struct, gc=False):
    """An object as the cache keeps it. `group` is what its readers ask for: a slice's service, a service's name.

    `body` is as it came, or read already where its kind is read at once; `decode` reads it.
    """

    namespace: str
    name: str
    uid: str
    version: str
    group: str
    body: Any
    decode: Callable[[Any], Any]

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by within its kind."""
        return self.namespace, self.name


class Wire(msgspec.Struct, gc=False):
    """Any object of a watch event or list, with all but its metadata left as it is."""

    metadata: Meta = msgspec.field(default_factory=Meta)


class WatchedWire(Wire, gc=False):
    """The object of a watch event, no further than the cache needs."""

    kind: str = ""


class WatchEvent(msgspec.Struct, gc=False):
    """One line of a watch."""

    type: str
    object: WatchedWire


class ErrorLine(msgspec.Struct, gc=False):
    """A line of a watch that says what went wrong."""

    object: "Status"


class ObjectList(msgspec.Struct, gc=False):
    """A list, with its items left as they are."""

    kind: str = ""
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class StatusCause(msgspec.Struct, gc=False):
    """Why, in a Status."""

    reason: str = ""
    message: str = ""


class StatusDetails(msgspec.Struct, gc=False, rename="camel"):
    """More of a Status."""

    causes: list[StatusCause] | None = None
    retry_after_seconds: int | None = None


class Status(msgspec.Struct, gc=False):
    """How the API server says that something went wrong."""

    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None

    @property
    def expired(self) -> bool:
        """Whether the version asked for is gone, or further than the server has come (three wire shapes)."""
        if self.code == 410 or self.reason in ("Expired", "Gone"):
            return True
        too_large = "Too large resource version"
        causes = (self.details.causes if self.details else None) or []
        return too_large in self.message or any(
            cause.reason == "ResourceVersionTooLarge" or too_large in cause.message for cause in causes
        )


decode_status = msgspec.json.Decoder(Status).decode
decode_wire = msgspec.json.Decoder(Wire).decode
decode_event = msgspec.json.Decoder(WatchEvent).decode
decode_list = msgspec.json.Decoder(ObjectList).decode
decode_error = msgspec.json.Decoder(ErrorLine).decode


DECODE_ERRORS = (ValueError, msgspec.MsgspecError, IndexError, RecursionError)
"""What bytes that are not what they should be raise: ProtobufError and bad UTF-8 are ValueErrors."""


def decoders(body: type[T]) -> tuple[Callable[[bytes], T], Callable[[bytes], T]]:
    """What reads this kind of body from an object's JSON, and what reads it from the line of a watch."""
    line = msgspec.json.Decoder(msgspec.defstruct("Line", [("object", body)], gc=False)).decode

    def read_line(data: bytes) -> T:
        found: T = line(data).object  # type: ignore[attr-defined] # made a moment ago
        return found

    return msgspec.json.Decoder(body).decode, read_line
