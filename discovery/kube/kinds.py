"""The kinds of object that are watched: where they are found, how they are read, what their readers ask for."""

import contextlib
from collections.abc import Callable
from typing import Any

import attrs

from . import protobuf
from .objects import (
    DECODE_ERRORS,
    SERVICE_NAME,
    Body,
    Meta,
    Object,
    decode_endpoints,
    decode_endpoints_line,
    decode_node,
    decode_node_line,
    decode_pod,
    decode_pod_line,
    decode_pod_whole,
    decode_service,
    decode_service_line,
    decode_slice,
    decode_slice_line,
    decode_wire,
)

Select = Callable[[frozenset[str] | None], dict[str, str]]


@attrs.frozen
class Kind:
    """One resource of the API.

    Args:
        resource: its plural, as paths have it.
        group: of the API, "" for the core.
        version: of the API.
        name: as objects carry it in `kind`.
        json: reads an object.
        line: reads the object in a line of a watch.
        group_of: what the readers of this object ask for, from its metadata.
        select: the query for what `group_of` gives these names; None is everything there is.
        protobuf: reads what follows an object's metadata; None where JSON is asked for.
        shared: one watch can select several groups; else each has its own.
        named: `select` goes by the object's own name, which RBAC can restrict.
        at_once: read when it comes, because what is read is much smaller than what comes, and most of it is wanted.
        whole: reads an object with its metadata in one pass, where that is faster than in two.
    """

    resource: str
    group: str
    version: str
    name: str
    json: Callable[[bytes], Body]
    line: Callable[[bytes], Body]
    group_of: Callable[[Meta], str]
    select: Select
    protobuf: Callable[[bytes], Body] | None = None
    shared: bool = True
    named: bool = False
    at_once: bool = False
    whole: Callable[[bytes], tuple[Meta, Body]] | None = None

    def path(self, namespace: str | None) -> str:
        """The collection's path, in one namespace or in all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.resource}" if namespace else f"{root}/{self.resource}"

    @property
    def full_name(self) -> str:
        """As RBAC errors and kubectl write it: `endpointslices.discovery.k8s.io`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def from_json(self, raw: bytes) -> Object:
        """An object from its JSON in a list, decoded no further than its metadata unless it is read at once."""
        if self.whole is not None:
            with contextlib.suppress(*DECODE_ERRORS):  # whoever reads it will be told
                meta, body = self.whole(raw)
                return Object(
                    meta.namespace, meta.name, meta.uid, meta.resourceVersion, self.group_of(meta), body, _as_it_is
                )
        return self._object(decode_wire(raw).metadata, raw, self.json)

    def from_line(self, meta: Meta, line: bytes) -> Object:
        """An object from the line of a watch that brought it."""
        return self._object(meta, line, self.line)

    def _object(self, meta: Meta, raw: bytes, decode: Callable[[bytes], Body]) -> Object:
        head = meta.namespace, meta.name, meta.uid, meta.resourceVersion, self.group_of(meta)
        if self.at_once:
            try:
                return Object(*head, decode(raw), _as_it_is)
            except DECODE_ERRORS:  # whoever reads it will be told
                pass
        return Object(*head, bytes(raw), decode)


def _as_it_is(body: Any) -> Any:
    return body


def _service_of(meta: Meta) -> str:
    return (meta.labels or {}).get(SERVICE_NAME, "")


def _of_services(names: frozenset[str] | None) -> dict[str, str]:
    if names is None:
        return {"labelSelector": SERVICE_NAME}
    return {"labelSelector": f"{SERVICE_NAME} in ({','.join(sorted(names))})"}


def _own_name(meta: Meta) -> str:
    return meta.name


def _by_name(names: frozenset[str] | None) -> dict[str, str]:
    """A field selector knows one name: for several, all of the namespace are read, and those not wanted dropped."""
    return {"fieldSelector": f"metadata.name={min(names)}"} if names and len(names) == 1 else {}


ENDPOINT_SLICES = Kind(
    "endpointslices",
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    decode_slice,
    decode_slice_line,
    group_of=_service_of,
    select=_of_services,
    protobuf=protobuf.read_slice,
)
SERVICES = Kind(
    "services", "", "v1", "Service", decode_service, decode_service_line, _own_name, _by_name, named=True, at_once=True
)
ENDPOINTS = Kind(
    "endpoints",
    "",
    "v1",
    "Endpoints",
    decode_endpoints,
    decode_endpoints_line,
    _own_name,
    _by_name,
    named=True,
    at_once=True,
)

ALL_NODES = ""
"""The one group of nodes."""

NODES = Kind(
    "nodes",
    "",
    "v1",
    "Node",
    decode_node,
    decode_node_line,
    group_of=lambda _: ALL_NODES,
    select=lambda _: {},
    at_once=True,
)


def pods_matching(selector: str) -> Kind:
    """The pods that a label selector chooses: the server does it, so all that come are of one group, the selector."""
    return Kind(
        "pods",
        "",
        "v1",
        "Pod",
        decode_pod,
        decode_pod_line,
        group_of=lambda _: selector,
        select=lambda _: {"labelSelector": selector},
        shared=False,
        at_once=True,
        whole=decode_pod_whole,
    )
