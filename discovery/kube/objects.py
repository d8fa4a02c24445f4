"""The few fields that are read of Kubernetes objects, typed as they are on the wire; no behaviour beyond reading.

A list of 10,000 slices is mostly never looked into. So an object is kept as its `head` (what the cache needs) and its
`body` as it came; the body is decoded when somebody asks for it. `gc=False`: none of these can be part of a cycle,
and a collector that has to visit 100,000 of them would be felt.
"""

from collections.abc import Callable

import msgspec

SERVICE_NAME = "kubernetes.io/service-name"


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


class Conditions(msgspec.Struct, gc=False, frozen=True):
    """What is known of an endpoint: a missing `ready` or `serving` means yes, a missing `terminating` no."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(msgspec.Struct, gc=False, frozen=True):
    """What an endpoint stands for, mostly a pod."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Endpoint(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] | None = ()
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None


class EndpointPort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """One port that every endpoint of a slice has."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class SliceBody(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What an EndpointSlice says, apart from its metadata."""

    address_type: str = ""
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()


class ServicePort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """One port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    app_protocol: str | None = None


class ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What discovery reads of a Service."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_name: str = ""
    ports: tuple[ServicePort, ...] | None = ()
    selector: dict[str, str] | None = None


class ServiceBody(msgspec.Struct, gc=False, frozen=True):
    """A Service, apart from its metadata."""

    spec: ServiceSpec = ServiceSpec()

    @property
    def headless(self) -> bool:
        """Whether it has no address of its own."""
        return self.spec.cluster_ip == "None"

    @property
    def ports(self) -> tuple[ServicePort, ...]:
        """Its ports, also where the field is null."""
        return self.spec.ports or ()


class Object(msgspec.Struct, gc=False):
    """An object as the cache keeps it. `group` is what its readers ask for: a slice's service, a service's name."""

    namespace: str
    name: str
    uid: str
    version: str
    group: str
    body: bytes
    decode: Callable[[bytes], SliceBody | ServiceBody]

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


class SliceLine(msgspec.Struct, gc=False):
    """A line of a watch of slices, read to the end."""

    object: SliceBody


class ServiceLine(msgspec.Struct, gc=False):
    """A line of a watch of Services, read to the end."""

    object: ServiceBody


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
decode_slice: Callable[[bytes], SliceBody] = msgspec.json.Decoder(SliceBody).decode
decode_service: Callable[[bytes], ServiceBody] = msgspec.json.Decoder(ServiceBody).decode


_decode_slice_line = msgspec.json.Decoder(SliceLine).decode
_decode_service_line = msgspec.json.Decoder(ServiceLine).decode


def decode_slice_line(line: bytes) -> SliceBody:
    """The slice in a line of a watch."""
    return _decode_slice_line(line).object


def decode_service_line(line: bytes) -> ServiceBody:
    """The Service in a line of a watch."""
    return _decode_service_line(line).object
