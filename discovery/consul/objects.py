"""The few wire fields that are read of Consul's answers, typed as they are on the wire; no behaviour beyond reading."""

from base64 import b64decode
from typing import Any

import msgspec


class Weights(msgspec.Struct, gc=False, frozen=True):
    """How much an instance gets while it passes, and while it warns; 0 is what a transaction makes of none."""

    passing: int = msgspec.field(default=1, name="Passing")
    warning: int = msgspec.field(default=1, name="Warning")


class Node(msgspec.Struct, gc=False, frozen=True):
    """A node of the catalog."""

    name: str = msgspec.field(default="", name="Node")
    id: str = msgspec.field(default="", name="ID")
    address: str = msgspec.field(default="", name="Address")
    datacenter: str = msgspec.field(default="", name="Datacenter")
    meta: dict[str, str] | None = msgspec.field(default=None, name="Meta")
    modify_index: int = msgspec.field(default=0, name="ModifyIndex")


class AgentService(msgspec.Struct, gc=False, frozen=True):
    """A service instance, as `/catalog/node-services` and `/health/service` have it."""

    id: str = msgspec.field(default="", name="ID")
    service: str = msgspec.field(default="", name="Service")
    kind: str = msgspec.field(default="", name="Kind")
    address: str = msgspec.field(default="", name="Address")
    port: int = msgspec.field(default=0, name="Port")
    tags: tuple[str, ...] | None = msgspec.field(default=None, name="Tags")
    meta: dict[str, str] | None = msgspec.field(default=None, name="Meta")
    weights: Weights | None = msgspec.field(default=None, name="Weights")
    modify_index: int = msgspec.field(default=0, name="ModifyIndex")


class NodeServices(msgspec.Struct, gc=False, frozen=True):
    """A node and its services: `/catalog/node-services/NODE`. `node` is None where there is no such node."""

    node: Node | None = msgspec.field(default=None, name="Node")
    services: tuple[AgentService, ...] | None = msgspec.field(default=None, name="Services")


class Check(msgspec.Struct, gc=False, frozen=True):
    """A check of the catalog. `definition` is kept as it came: what a prober such as consul-esm reads."""

    node: str = msgspec.field(default="", name="Node")
    check_id: str = msgspec.field(default="", name="CheckID")
    name: str = msgspec.field(default="", name="Name")
    status: str = msgspec.field(default="", name="Status")
    notes: str = msgspec.field(default="", name="Notes")
    output: str = msgspec.field(default="", name="Output")
    service_id: str = msgspec.field(default="", name="ServiceID")
    service_name: str = msgspec.field(default="", name="ServiceName")
    definition: dict[str, Any] | None = msgspec.field(default=None, name="Definition")
    modify_index: int = msgspec.field(default=0, name="ModifyIndex")


class HealthEntry(msgspec.Struct, gc=False, frozen=True):
    """One instance of `/health/service/NAME`, with its node and the checks of both."""

    node: Node = msgspec.field(name="Node")
    service: AgentService = msgspec.field(name="Service")
    checks: tuple[Check, ...] | None = msgspec.field(default=None, name="Checks")


class PreparedAnswer(msgspec.Struct, gc=False, frozen=True):
    """What a prepared query came to: `/query/NAME/execute`."""

    service: str = msgspec.field(default="", name="Service")
    nodes: tuple[HealthEntry, ...] | None = msgspec.field(default=None, name="Nodes")
    datacenter: str = msgspec.field(default="", name="Datacenter")
    failovers: int = msgspec.field(default=0, name="Failovers")


class KvEntry(msgspec.Struct, gc=False, frozen=True):
    """A key and its value (base64, as it came)."""

    key: str = msgspec.field(default="", name="Key")
    value: str | None = msgspec.field(default=None, name="Value")
    session: str = msgspec.field(default="", name="Session")
    lock_index: int = msgspec.field(default=0, name="LockIndex")
    modify_index: int = msgspec.field(default=0, name="ModifyIndex")

    @property
    def data(self) -> bytes:
        """The value, decoded; empty where it is none, or no base64."""
        try:
            return b64decode(self.value or "", validate=True)
        except ValueError:
            return b""


class TxnError(msgspec.Struct, gc=False, frozen=True):
    """Why one operation of a transaction was refused."""

    op_index: int = msgspec.field(default=0, name="OpIndex")
    what: str = msgspec.field(default="", name="What")


class Link(msgspec.Struct, gc=False, frozen=True):
    """A policy or role, as a token names it."""

    id: str = msgspec.field(default="", name="ID")
    name: str = msgspec.field(default="", name="Name")


class TokenSelf(msgspec.Struct, gc=False, frozen=True):
    """The token in use, without its secret: `/acl/token/self`."""

    accessor_id: str = msgspec.field(default="", name="AccessorID")
    description: str = msgspec.field(default="", name="Description")
    policies: tuple[Link, ...] | None = msgspec.field(default=None, name="Policies")
    roles: tuple[Link, ...] | None = msgspec.field(default=None, name="Roles")
    expires: str | None = msgspec.field(default=None, name="ExpirationTime")
