"""What a client may send to the simulated server."""

from typing import Any, TypeVar

import msgspec

from .refusals import Refused

T = TypeVar("T")

Meta = dict[str, str] | None


class Place(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """What every body may have and this server does not look at: partitions, peers, what Consul itself fills in.

    A field that Consul does not know refuses the whole body, here as there.
    """

    namespace: Any = None
    partition: Any = None
    peer_name: Any = None
    locality: Any = None
    create_index: Any = None
    enterprise_meta: Any = None


class Weights(msgspec.Struct, rename="pascal"):
    """What a service asks for; 0 is what a transaction makes of what is left out."""

    passing: int = 0
    warning: int = 0


class Node(Place, rename="pascal"):
    """A node, as in a transaction."""

    id: str | None = msgspec.field(default="", name="ID")
    node: str | None = ""
    address: str | None = ""
    datacenter: str | None = ""
    tagged_addresses: Meta = None
    meta: Meta = None
    modify_index: int = 0


class Service(Place, rename="pascal"):
    """An instance."""

    id: str | None = msgspec.field(default="", name="ID")
    service: str | None = ""
    kind: str | None = ""
    tags: list[str] | None = None
    address: str | None = ""
    tagged_addresses: dict[str, Any] | None = None
    meta: Meta = None
    port: int = 0
    weights: Weights | None = None
    enable_tag_override: bool = False
    modify_index: int = 0
    content_hash: Any = None
    datacenter: Any = None
    socket_path: Any = None
    proxy: Any = None
    connect: Any = None


class Check(Place, rename="pascal"):
    """A check of a node or an instance."""

    node: str | None = ""
    check_id: str | None = msgspec.field(default="", name="CheckID")
    name: str | None = ""
    status: str | None = ""
    notes: str | None = ""
    output: str | None = ""
    service_id: str | None = msgspec.field(default="", name="ServiceID")
    service_name: str | None = ""
    service_tags: list[str] | None = None
    type: str | None = ""
    definition: dict[str, Any] | None = None
    modify_index: int = 0
    interval: Any = None
    timeout: Any = None
    exposed_port: Any = None


class KeyOperation(Place, rename="pascal"):
    """`KV` of a transaction; `value` is base64."""

    verb: str = ""
    key: str | None = ""
    value: str | None = None
    flags: int = 0
    index: int = 0
    session: str | None = ""


class NodeOperation(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """`Node` of a transaction."""

    verb: str = ""
    node: Node = msgspec.field(default_factory=Node)


class ServiceOperation(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """`Service` of a transaction."""

    verb: str = ""
    node: str | None = ""
    service: Service = msgspec.field(default_factory=Service)


class CheckOperation(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """`Check` of a transaction."""

    verb: str = ""
    check: Check = msgspec.field(default_factory=Check)


class Operation(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """One operation of a transaction: the first that is there counts, in this order."""

    kv: KeyOperation | None = msgspec.field(default=None, name="KV")
    node: NodeOperation | None = None
    service: ServiceOperation | None = None
    check: CheckOperation | None = None


class Registration(Place, rename="pascal"):
    """The body of `/v1/catalog/register`."""

    id: str | None = msgspec.field(default="", name="ID")
    node: str | None = ""
    address: str | None = ""
    datacenter: str | None = ""
    tagged_addresses: Meta = None
    node_meta: Meta = None
    service: Service | None = None
    check: Check | None = None
    checks: list[Check] | None = None
    skip_node_update: bool = False
    write_request: Any = None


class Deregistration(Place, rename="pascal"):
    """The body of `/v1/catalog/deregister`."""

    node: str | None = ""
    service_id: str | None = msgspec.field(default="", name="ServiceID")
    check_id: str | None = msgspec.field(default="", name="CheckID")
    datacenter: Any = None
    write_request: Any = None


class Session(msgspec.Struct, rename="pascal"):
    """The body of `/v1/session/create`. A lock delay is a duration, a number of nanoseconds, or a few seconds."""

    name: str | None = ""
    node: str | None = ""
    lock_delay: str | float | None = None
    behavior: str | None = ""
    ttl: str | None = msgspec.field(default="", name="TTL")
    node_checks: list[str] | None = msgspec.field(default_factory=lambda: ["serfHealth"])
    checks: list[str] | None = msgspec.field(default_factory=lambda: ["serfHealth"])


class QueriedService(msgspec.Struct, rename="pascal"):
    """What a prepared query looks for."""

    service: str = ""
    only_passing: bool = False
    tags: list[str] | None = None
    node_meta: Meta = None
    service_meta: Meta = None


class PreparedQuery(Place, rename="pascal"):
    """The body of `POST /v1/query`."""

    name: str | None = ""
    service: QueriedService = msgspec.field(default_factory=QueriedService)
    id: Any = msgspec.field(default=None, name="ID")
    session: Any = None
    token: Any = None
    template: Any = None
    dns: Any = msgspec.field(default=None, name="DNS")
    modify_index: Any = None


class Login(msgspec.Struct, rename="pascal"):
    """The body of `/v1/acl/login`."""

    auth_method: str = ""
    bearer_token: str = ""
    meta: Meta = None


def read(body: bytes, shape: type[T], complaint: str) -> T:
    """A body of that shape.

    Raises:
        Refused: it is none: 400, with the complaint before the reason.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise Refused(f"{complaint}: json: {error}", 400) from None
