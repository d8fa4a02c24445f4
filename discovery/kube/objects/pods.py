"""Pods: where they are, what they listen on, and whether they are ready."""

import msgspec

from .wire import decoders


class ContainerPort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A port that a container says it listens on."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"


class Container(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A container; with the restart policy Always an init container is a sidecar."""

    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str | None = None


class PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What is wanted of a pod."""

    node_name: str = ""
    hostname: str = ""
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None


class PodCondition(msgspec.Struct, gc=False, frozen=True):
    """What is known of a pod. `status` is True, False or Unknown."""

    type: str = ""
    status: str = ""


class PodIP(msgspec.Struct, gc=False, frozen=True):
    """One address of a pod."""

    ip: str = ""


class PodStatus(msgspec.Struct, gc=False, frozen=True):
    """How it is."""

    phase: str = ""
    conditions: tuple[PodCondition, ...] | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] | None = msgspec.field(default=None, name="podIPs")


class PodMeta(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """Of metadata, what is read."""

    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class PodBody(msgspec.Struct, gc=False, frozen=True):
    """A pod. A real one has 7 KB, most of it of no use here."""

    metadata: PodMeta = PodMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


decode_pod, decode_pod_line = decoders(PodBody)
