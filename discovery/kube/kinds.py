"""The kinds of object that are watched: where they are found, how they are read, what their readers ask for."""

from collections.abc import Callable

import attrs

from . import protobuf
from .objects import (
    SERVICE_NAME,
    Meta,
    Object,
    ServiceBody,
    SliceBody,
    decode_service,
    decode_service_line,
    decode_slice,
    decode_slice_line,
    decode_wire,
)


@attrs.frozen
class Kind:
    """One resource of the API.

    `protobuf` decodes what follows an object's metadata, None where JSON is asked for. `shared` says that one watch
    can select several groups; else each has its own.
    """

    resource: str
    group: str
    version: str
    group_of: Callable[[Meta], str]
    name: str
    json: Callable[[bytes], SliceBody | ServiceBody]
    line: Callable[[bytes], SliceBody | ServiceBody]
    protobuf: Callable[[bytes], SliceBody | ServiceBody] | None = None
    shared: bool = False

    def path(self, namespace: str | None) -> str:
        """The collection's path, in one namespace or in all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.resource}" if namespace else f"{root}/{self.resource}"

    @property
    def full_name(self) -> str:
        """As RBAC errors and kubectl write it: `endpointslices.discovery.k8s.io`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def from_json(self, raw: bytes) -> Object:
        """An object from its JSON in a list, decoded no further than its metadata."""
        meta = decode_wire(raw).metadata
        group = self.group_of(meta)
        return Object(meta.namespace, meta.name, meta.uid, meta.resourceVersion, group, bytes(raw), self.json)

    def from_line(self, meta: Meta, line: bytes) -> Object:
        """An object from the line of a watch that brought it: the line is kept as it is."""
        return Object(meta.namespace, meta.name, meta.uid, meta.resourceVersion, self.group_of(meta), line, self.line)

    def select(self, names: frozenset[str] | None) -> dict[str, str]:
        """The query that selects what `group_of` gives these names; None is everything there is."""
        if not self.shared:
            return {"fieldSelector": f"metadata.name={min(names)}"} if names else {}
        if names is None:
            return {"labelSelector": SERVICE_NAME}
        return {"labelSelector": f"{SERVICE_NAME} in ({','.join(sorted(names))})"}


def _service_of(meta: Meta) -> str:
    return (meta.labels or {}).get(SERVICE_NAME, "")


def _own_name(meta: Meta) -> str:
    return meta.name


ENDPOINT_SLICES = Kind(
    "endpointslices",
    "discovery.k8s.io",
    "v1",
    _service_of,
    "EndpointSlice",
    decode_slice,
    decode_slice_line,
    protobuf.read_slice,
    shared=True,
)
SERVICES = Kind("services", "", "v1", _own_name, "Service", decode_service, decode_service_line)
