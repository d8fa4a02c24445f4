"""EndpointSlices: where a Service's endpoints are."""

import msgspec

from .wire import decoders


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


class Named(msgspec.Struct, gc=False, frozen=True):
    """A zone or a node, by its name."""

    name: str = ""


class Hints(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """For whom an endpoint is meant, where traffic is to stay near."""

    for_zones: tuple[Named, ...] | None = None
    for_nodes: tuple[Named, ...] | None = None


class Endpoint(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] | None = ()
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: Hints | None = None


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


decode_slice, decode_slice_line = decoders(SliceBody)
