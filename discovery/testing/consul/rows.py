"""The rows that Consul makes of what it is sent: filled up, normalised, and without what it does not keep."""

from typing import Any

from . import durations
from .bodies import Check, Node, Service, Session, Weights
from .refusals import Refused
from .tables import Json


def node_row(node: Node, datacenter: str) -> Json:
    """A node as it is stored."""
    return {
        "ID": node.id or "",
        "Node": node.node or "",
        "Address": node.address or "",
        "Datacenter": node.datacenter or datacenter,
        "TaggedAddresses": node.tagged_addresses,
        "Meta": node.meta,
    }


def service_row(service: Service, *, in_transaction: bool) -> Json:
    """An instance as it is stored: weights that are not allowed are 1 and 1; a transaction drops tagged addresses."""
    row: Json = {"Kind": service.kind} if service.kind else {}
    row |= {
        "ID": service.id or service.service or "",
        "Service": service.service or "",
        "Tags": service.tags,
        "Address": service.address or "",
    }
    if service.tagged_addresses and not in_transaction:
        row["TaggedAddresses"] = service.tagged_addresses
    row["Meta"] = service.meta
    if service.port:
        row["Port"] = service.port
    return row | {
        "Weights": _weights(service.weights),
        "EnableTagOverride": service.enable_tag_override,
        "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "Connect": {},
        "PeerName": "",
    }


def _weights(weights: Weights | None) -> Json:
    passing, warning = (weights.passing, weights.warning) if weights else (1, 1)
    if not (1 <= passing <= 65535 and 0 <= warning <= 65535):
        passing = warning = 1
    return {"Passing": passing, "Warning": warning}


def check_row(check: Check, node: str, *, in_transaction: bool) -> Json:
    """A check as it is stored. Its type is told by its definition, but not in a transaction."""
    definition = _definition(check.definition or {}, in_transaction=in_transaction)
    return {
        "Node": check.node or node,
        "CheckID": check.check_id or check.name or "",
        "Name": check.name or "",
        "Status": check.status or "",
        "Notes": check.notes or "",
        "Output": check.output or "",
        "ServiceID": check.service_id or "",
        "ServiceName": check.service_name or "",
        "ServiceTags": check.service_tags,
        "Type": "" if in_transaction else check.type or _type(definition),
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": definition,
    }


_REQUEST = ("HTTP", "TLSServerName", "TLSSkipVerify", "Header", "Method", "Body")
_CONNECTION = ("TCP", "TCPUseTLS", "GRPC", "GRPCUseTLS", "OSService")
_TIMES = ("Interval", "Timeout", "DeregisterCriticalServiceAfter")
_TRANSACTION_KNOWS = frozenset((*_REQUEST, *_CONNECTION, *_TIMES))
_OF_AGENTS = ("ScriptArgs", "DockerContainerID", "Shell", "AliasNode", "AliasService", "TTL", "OutputMaxSize")
_KNOWN = _TRANSACTION_KNOWS | {"DisableRedirects", "UDP", "H2PING", "H2PingUseTLS", *_OF_AGENTS}


def _definition(given: dict[str, Any], *, in_transaction: bool) -> Json:
    known = _TRANSACTION_KNOWS if in_transaction else _KNOWN
    return {name: _written(name, value) for name, value in given.items() if name in known and value}


def _written(name: str, value: Any) -> Any:
    if name not in _TIMES:
        return value
    found = durations.seconds(value) if isinstance(value, str) else value / 1e9
    if found is None:
        raise Refused(f'time: invalid duration "{value}"', 400)
    return durations.written(found)


def _type(definition: Json) -> str:
    """One that is asked for has to say how often."""
    kinds = {"GRPC": "grpc", "HTTP": "http", "TCP": "tcp", "UDP": "udp", "H2PING": "h2ping"}
    asked = next((kind for name, kind in kinds.items() if name in definition and "Interval" in definition), "")
    return asked or ("ttl" if "TTL" in definition else "")


def session_row(session: Session, node: str) -> Json:
    """A session as it is stored, without its id."""
    checks = session.node_checks or []
    if not session.checks:
        checks = []  # how it was said before 1.7
    return {
        "Name": session.name or "",
        "Node": session.node or node,
        "LockDelay": _lock_delay(session.lock_delay),
        "Behavior": session.behavior or "release",
        "TTL": session.ttl or "",
        "NodeChecks": checks,
        "ServiceChecks": None,
    }


def _lock_delay(given: str | float | None) -> int:
    if given is None:
        return 15 * 10**9
    found = durations.nanoseconds(given) if isinstance(given, str) else round(given)
    if found is None:
        raise Refused(f'Request decode failed: time: invalid duration "{given}"', 400)
    return found * 10**9 if found < 1000 else found
