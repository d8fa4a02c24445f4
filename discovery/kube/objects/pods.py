"""Pods: where they are, what they listen on, and whether they are ready.

A pod has 7 KB and a selector may choose 50,000 of them, so what is kept of each is a few hundred bytes. What pods of
one Deployment have in common, their labels and ports, is read once and shared: it is looked up by its bytes.
"""

from functools import lru_cache
from sys import intern
from typing import Any

import msgspec

from .wire import Meta, decoders

ENDED = ("Succeeded", "Failed")
"""Phases that a pod does not come back from."""

Labels = tuple[tuple[str, str], ...]
"""By key."""


class ContainerPort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A port that a container says it listens on."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"


class PodBody(msgspec.Struct, gc=False, frozen=True):
    """What is read of a pod.

    Args:
        uid: a pod of the same name with another one is another pod.
        labels: by key.
        node: where it runs, "" before it is known.
        hostname: that its spec sets.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        ips: its addresses, the first of its main family; as they came.
        ready: whether its condition Ready is True.
        terminating: whether it is being deleted.
        ports: for TCP, of its containers in order, then of its sidecars.
    """

    uid: str = ""
    labels: Labels = ()
    node: str = ""
    hostname: str = ""
    phase: str = ""
    ips: tuple[str, ...] = ()
    ready: bool = False
    terminating: bool = False
    ports: tuple[ContainerPort, ...] = ()


NULL = msgspec.Raw(b"null")


class _Meta(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: msgspec.Raw = NULL
    deletion_timestamp: str | None = None


class _Container(msgspec.Struct, gc=False, rename="camel"):
    ports: msgspec.Raw = NULL
    restart_policy: str | None = None


class _Spec(msgspec.Struct, gc=False, rename="camel"):
    node_name: str = ""
    hostname: str = ""
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None


class _Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""


class _PodIP(msgspec.Struct, gc=False):
    ip: str = ""


class _Status(msgspec.Struct, gc=False):
    phase: str = ""
    conditions: list[_Condition] | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[_PodIP] | None = msgspec.field(default=None, name="podIPs")


class _Pod(msgspec.Struct, gc=False):
    """As it comes."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def _kept(pod: _Pod) -> PodBody:
    meta, spec, status = pod.metadata, pod.spec, pod.status
    ports = [bytes(one.ports) for one in spec.containers or ()]
    ports += [bytes(one.ports) for one in spec.init_containers or () if one.restart_policy == "Always"]
    ips = tuple([one.ip for one in status.pod_ips or () if one.ip])
    return PodBody(
        meta.uid,
        labels_of(bytes(meta.labels)),
        intern(spec.node_name),
        spec.hostname,
        intern(status.phase),
        ips or ((status.pod_ip,) if status.pod_ip else ()),
        any(one.type == "Ready" and one.status == "True" for one in status.conditions or ()),
        meta.deletion_timestamp is not None,
        ports_of(tuple(ports)),
    )


@lru_cache(maxsize=4096)
def labels_of(data: bytes) -> Labels:
    """Labels from their JSON, shared by all that have the same."""
    found: Labels = shared(tuple(sorted((_decode_labels(data) or {}).items())))
    return found


@lru_cache(maxsize=4096)
def ports_of(data: tuple[bytes, ...]) -> tuple[ContainerPort, ...]:
    """The TCP ports of containers, from the JSON of each one's."""
    found: tuple[ContainerPort, ...] = shared(
        tuple(port for one in data for port in _decode_ports(one) or () if port.protocol == "TCP")
    )
    return found


@lru_cache(maxsize=4096)
def shared(value: Any) -> Any:
    """The first that was equal to it."""
    return value


_decode_labels = msgspec.json.Decoder(dict[str, str] | None).decode
_decode_ports = msgspec.json.Decoder(tuple[ContainerPort, ...] | None).decode
_decode, _decode_line = decoders(_Pod)


def decode_pod(data: bytes) -> PodBody:
    """A pod from its JSON."""
    return _kept(_decode(data))


def decode_pod_line(data: bytes) -> PodBody:
    """A pod from the line of a watch."""
    return _kept(_decode_line(data))


def decode_pod_whole(data: bytes) -> tuple[Meta, PodBody]:
    """A pod from its JSON, with its metadata, in one pass. The labels are in the body only."""
    pod = _decode(data)
    meta = pod.metadata
    return Meta(meta.name, intern(meta.namespace), meta.uid, meta.resource_version), _kept(pod)
