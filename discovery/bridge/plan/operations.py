"""The operations of a transaction, as the bytes that go over the wire: one JSON object each. Pure.

Every one is a compare-and-set: with an index of 0 it only creates, with another it only changes or deletes the entry
that has it. So nothing that somebody else wrote is ever overwritten.

What is sent is what Consul keeps of a transaction. Weights are always explicit: none would be read as 0. A check's
Type is never sent, because servers before 1.20.5 lose it.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from ..records import Instance, NodeEntry, Pairs, Status

ALIVE: Final = "discovery:alive"
"""Our check of a whole node: critical where no bridge keeps it current any more."""

READINESS_NAME: Final = "Kubernetes readiness"
READINESS_NOTES: Final = "Kept by aiodiscovery from the readiness of the endpoints in Kubernetes"
OUTPUTS: Final[Mapping[Status, str]] = {
    "passing": "Kubernetes has a usable endpoint for it",
    "critical": "Kubernetes has no usable endpoint for it",
}

PROBE_NAME: Final = "TCP probe"
PROBE_NOTES: Final = "Probed by consul-esm from outside of the cluster"
PROBE_INTERVAL: Final = "10s"
PROBE_TIMEOUT: Final = "2s"

Entry = Literal["Node", "Service", "Check"]


def readiness_id(instance: str) -> str:
    """The id of the check that says whether Kubernetes has something usable behind an instance."""
    return f"ready:{instance}"


def probe_id(instance: str) -> str:
    """The id of the check that consul-esm fills."""
    return f"probe:{instance}"


def probe_definition(instance: Instance) -> Pairs:
    """What consul-esm is to try, as `Held.probe` has it."""
    host = f"[{instance.address}]" if ":" in instance.address else instance.address
    return ("Interval", PROBE_INTERVAL), ("TCP", f"{host}:{instance.port}"), ("Timeout", PROBE_TIMEOUT)


def node_cas(entry: NodeEntry, index: int) -> bytes:
    """Create (index 0) or change a node."""
    node = {"Node": entry.name, "Address": entry.address, "Meta": dict(entry.meta), "ModifyIndex": index}
    return _encode("Node", "cas", {"Node": node})


def node_delete(name: str, index: int) -> bytes:
    """Delete a node, and all that is on it."""
    return _encode("Node", "delete-cas", {"Node": {"Node": name, "ModifyIndex": index}})


def service_cas(instance: Instance, index: int) -> bytes:
    """Create (index 0) or change an instance, without its checks."""
    service = {
        "ID": instance.id,
        "Service": instance.service,
        "Tags": instance.tags,
        "Address": instance.address,
        "Meta": dict(instance.meta),
        "Port": instance.port,
        "Weights": {"Passing": instance.weight, "Warning": 1},
        "ModifyIndex": index,
    }
    return _encode("Service", "cas", {"Node": instance.node, "Service": service})


def service_delete(instance: Instance, index: int) -> bytes:
    """Delete an instance, and its checks with it. Consul wants the service's name here too, to look at the ACLs."""
    service = {"ID": instance.id, "Service": instance.service, "ModifyIndex": index}
    return _encode("Service", "delete-cas", {"Node": instance.node, "Service": service})


def readiness_cas(instance: Instance, index: int) -> bytes:
    """Create (index 0) or change the check that says whether Kubernetes has something usable behind an instance."""
    check = _check(readiness_id(instance.id), instance, index) | {
        "Name": READINESS_NAME,
        "Notes": READINESS_NOTES,
        "Status": instance.status,
        "Output": OUTPUTS[instance.status],
    }
    return _encode("Check", "cas", {"Check": check})


def probe_cas(instance: Instance, index: int) -> bytes:
    """Create (index 0) or change the check that consul-esm fills.

    It begins as passing: where no consul-esm runs nobody would ever raise it, and the instance would stay dark. One
    that runs finds a dead port within two intervals. It is written again only where what is to be tried is another,
    because each write of ours overwrites what consul-esm has found.
    """
    check = _check(probe_id(instance.id), instance, index) | {
        "Name": PROBE_NAME,
        "Notes": PROBE_NOTES,
        "Status": "passing",
        "Definition": dict(probe_definition(instance)),
    }
    return _encode("Check", "cas", {"Check": check})


def probe_delete(instance: Instance, index: int) -> bytes:
    """Delete the check that consul-esm fills."""
    return _encode("Check", "delete-cas", {"Check": _check(probe_id(instance.id), instance, index)})


def _check(check: str, instance: Instance, index: int) -> dict[str, Any]:
    return {
        "Node": instance.node,
        "CheckID": check,
        "ServiceID": instance.id,
        "ServiceName": instance.service,
        "ModifyIndex": index,
    }


def _encode(entry: Entry, verb: str, body: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({entry: {"Verb": verb, **body}})
