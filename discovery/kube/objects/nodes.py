"""Nodes: their addresses, and whether they are fit to take traffic from outside."""

import msgspec

from .wire import decoders


class NodeAddress(msgspec.Struct, gc=False, frozen=True):
    """One address. `type` is ExternalIP, InternalIP, Hostname, ExternalDNS or InternalDNS."""

    type: str = ""
    address: str = ""


class NodeCondition(msgspec.Struct, gc=False, frozen=True):
    """What is known of a node. `status` is True, False or Unknown."""

    type: str = ""
    status: str = ""


class Taint(msgspec.Struct, gc=False, frozen=True):
    """What keeps pods away."""

    key: str = ""


class NodeSpec(msgspec.Struct, gc=False, frozen=True):
    """What is wanted of a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeStatus(msgspec.Struct, gc=False, frozen=True):
    """How it is."""

    addresses: tuple[NodeAddress, ...] | None = None
    conditions: tuple[NodeCondition, ...] | None = None


class NodeMeta(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """Of metadata, what is read."""

    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class NodeBody(msgspec.Struct, gc=False, frozen=True):
    """A node. A real one has 20 KB of images and conditions, which are not kept."""

    metadata: NodeMeta = NodeMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


decode_node, decode_node_line = decoders(NodeBody)
