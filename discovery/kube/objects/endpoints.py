"""Endpoints, for servers without EndpointSlices: read as the slices that they would be."""

from collections.abc import Iterator

import msgspec

from .slices import Conditions, Endpoint, EndpointPort, ObjectReference, SliceBody
from .wire import decoders

READY = Conditions(ready=True, serving=True, terminating=False)
NOT_READY = Conditions(ready=False, serving=False, terminating=False)


class EndpointAddress(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """One address of a subset."""

    ip: str = ""
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class Subset(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """Addresses that have the same ports."""

    addresses: tuple[EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class EndpointsBody(msgspec.Struct, gc=False, frozen=True):
    """What Endpoints say, apart from their metadata. They end at a thousand addresses."""

    subsets: tuple[Subset, ...] | None = None

    def slices(self) -> Iterator[tuple[str, SliceBody]]:
        """Each subset as one slice a family, by a name of its own."""
        for number, subset in enumerate(self.subsets or ()):
            for kind in ("IPv4", "IPv6"):
                found = tuple(_endpoints(subset, colon=kind == "IPv6"))
                if found:
                    yield f"{number}-{kind}", SliceBody(kind, found, subset.ports)


def _endpoints(subset: Subset, *, colon: bool) -> Iterator[Endpoint]:
    for addresses, conditions in ((subset.addresses, READY), (subset.not_ready_addresses, NOT_READY)):
        for one in addresses or ():
            if (":" in one.ip) is colon:
                yield Endpoint((one.ip,), conditions, one.hostname, one.target_ref, one.node_name)


decode_endpoints, decode_endpoints_line = decoders(EndpointsBody)
