"""The difference between what is wanted and what Consul holds, one Service at a time. Pure.

A comparison says what would have to be done; whether it may be done is for `guard`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from ...errors import LONGEST_QUOTE, quote
from ..options import BridgeOptions
from ..records import Held, HeldNode, Instance, Key, NodeEntry, ServiceKey
from ..registry.catalog import Catalog
from .operations import probe_definition

Action = Literal["register", "update", "check", "deregister"]
"""What is done to an instance: "check" writes its checks only, which is all that a change of readiness costs."""

NodeAction = Literal["create", "update", "delete"]

Reason = Literal[
    "policy", "foreign", "agent-node", "no-node", "unconfirmed", "too-many", "last", "invalid", "denied", "conflict"
]
"""Why a change is not made.

`policy` forbids it; `foreign`: the node, the id or a check's id is somebody else's; `agent-node`: an agent stands
behind the node and would delete it; `no-node`: nobody said what node it stands on; `unconfirmed`: only one list lacks
it, or what it needs to pass; `too-many`: more would go on the evidence of lists than may; `last`: its Service would be
left with no instance because what should replace it cannot be registered; `invalid`: Consul cannot take it; `denied`
by its ACLs; `conflict`: Consul held something else than was known, which is read again.
"""


@attrs.frozen
class Change:
    """One instance, and what is to be done to it.

    Attributes:
        action: see `Action`.
        instance: as it will be; for a deregistration, as it is.
        held: as Consul holds it now; None where it does not.
    """

    action: Action
    instance: Instance
    held: Held | None = None

    @property
    def withdraws(self) -> bool:
        """Whether clients lose something by it: it comes after everything that gives them something."""
        if self.action == "deregister":
            return True
        return self.held is not None and self.instance.status == "critical" != self.held.instance.status


@attrs.frozen
class NodeChange:
    """A node of the catalog, and what is to be done to it.

    Attributes:
        action: see `NodeAction`.
        entry: as it will be; for a deletion, as it is.
        held: as Consul holds it now; None where it does not.
    """

    action: NodeAction
    entry: NodeEntry
    held: HeldNode | None = None


@attrs.frozen
class Withheld:
    """A change that is not made, and why."""

    change: Change
    reason: Reason


@attrs.frozen(kw_only=True)
class Plan:
    """What one pass does, and what it leaves undone.

    Attributes:
        register: instances that Consul does not have.
        update: instances that it has otherwise, in themselves or in their checks.
        deregister: instances that it has and should not.
        withheld: what would be done, but is not.
        nodes: what happens to nodes: made before what stands on them, deleted after.
    """

    register: tuple[Change, ...] = ()
    update: tuple[Change, ...] = ()
    deregister: tuple[Change, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    nodes: tuple[NodeChange, ...] = ()

    @property
    def changes(self) -> Iterator[Change]:
        """Every change of an instance that is made."""
        yield from self.register
        yield from self.update
        yield from self.deregister

    @property
    def empty(self) -> bool:
        """Whether nothing is written."""
        return not (self.register or self.update or self.deregister or self.nodes)

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """As `discovery sync --dry-run --output json` prints it: plain lists and dictionaries."""
        return {
            "register": [_entry(change.instance) for change in self.register],
            "update": [_entry(change.instance) for change in self.update],
            "deregister": [_entry(change.instance) for change in self.deregister],
            "withheld": [
                {**_entry(one.change.instance), "action": one.change.action, "reason": one.reason}
                for one in self.withheld
            ],
        }

    def lines(self) -> Iterator[str]:
        """As `discovery sync --dry-run` prints it, a line a change. Foreign text is made printable."""
        for node in self.nodes:
            yield f"{node.action:<10}  node {_plain(node.entry.name)} at {_plain(node.entry.address)}"
        for change in self.changes:
            yield _line(change)
        for one in self.withheld:
            yield f"{_line(one.change)}  withheld: {one.reason}"


def word_of(plan: Plan) -> str:
    """What stands for the removals that a plan holds back for being too many; "" where there are none."""
    keys = sorted(one.change.instance.key for one in plan.withheld if one.reason == "too-many")
    return hashlib.sha256(repr(keys).encode()).hexdigest()[:8] if keys else ""


def compare(
    key: ServiceKey, wanted: Mapping[Key, Instance], catalog: Catalog, options: BridgeOptions
) -> Iterator[Change]:
    """What one Service would have changed; nothing where Consul holds what is wanted.

    Args:
        key: of the Service; every instance wanted is of it.
        wanted: its instances; none where it is gone, or is not selected any more.
        catalog: what Consul holds.
        options: of the bridge.
    """
    probed = options.probe is not None
    for where, instance in wanted.items():
        held = catalog.owned.get(where)
        if held is None:
            yield Change("register", instance)
        elif not same_service(held.instance, instance):
            yield Change("update", instance, held)
        elif readiness_differs(held, instance) or probe_differs(held, instance, probed):
            yield Change("check", instance, held)
    for where, held in catalog.of(key).items():
        if where not in wanted:
            yield Change("deregister", held.instance, held)


def same_service(held: Instance, wanted: Instance) -> bool:
    """Whether two instances are one, their readiness aside."""
    return (
        held.service == wanted.service
        and held.address == wanted.address
        and held.port == wanted.port
        and held.weight == wanted.weight
        and held.tags == wanted.tags
        and held.meta == wanted.meta
    )


def readiness_differs(held: Held, wanted: Instance) -> bool:
    """Whether the readiness check must be written: it is missing, says something else, or names another service.

    Consul notes a service's name in each of its checks, and does not follow when the service is renamed.
    """
    return held.check_index == 0 or held.instance.status != wanted.status or held.instance.service != wanted.service


def probe_differs(held: Held, wanted: Instance, probed: bool) -> bool:
    """Whether consul-esm's check must be written or deleted. What it says is not ours to judge."""
    return held.probe != (probe_definition(wanted) if probed else None)


def _entry(instance: Instance) -> dict[str, Any]:
    return {
        "node": instance.node,
        "id": instance.id,
        "service": instance.service,
        "address": instance.address,
        "port": instance.port,
        "tags": list(instance.tags),
        "meta": dict(instance.meta),
        "status": instance.status,
    }


def _line(change: Change) -> str:
    one = change.instance
    host = f"[{one.address}]" if ":" in one.address else one.address
    where = f"{_plain(host)}:{one.port} on {_plain(one.node)}"
    return f"{change.action:<10}  {_plain(one.service)} at {where}, {_plain(one.status)} ({_plain(one.id)})"


def _plain(text: str) -> str:
    return text if text.isprintable() and len(text) <= LONGEST_QUOTE else quote(text)
