"""What a plan may do: ownership, the policy, and the evidence that a removal needs. Pure.

A removal is evident where an event of a watch tells of it. That a list lacks something is weaker: lists come short
when a cache is cold, a permission is gone or an API server is restored from a backup. So such a removal waits for a
second list, and where very many wait, for a person.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from ..options import BridgeOptions
from ..records import HeldNode, Key, NodeEntry, ServiceKey
from ..registry.catalog import Catalog
from .changes import Change, NodeChange, Plan, Reason, Withheld
from .operations import probe_id, readiness_id

Evidence = Callable[[Change], bool]

AGAIN_LATER: Final[tuple[Reason, ...]] = ("denied", "invalid", "conflict")
"""Why Consul refuses something, which is tried again after a while."""


def guarded(
    changes: Iterable[Change],
    catalog: Catalog,
    options: BridgeOptions,
    *,
    nodes: Mapping[str, NodeEntry],
    sure: Evidence,
    confirmed: Evidence,
    seen: Evidence = lambda _change: True,
    refused: Callable[[Change], Reason | None] = lambda _change: None,
    approved: bool = False,
    spent: int = 0,
) -> Plan:
    """The plan of one pass: what of these changes is made, and what is withheld.

    Args:
        changes: from `compare`, of every Service that this pass looks at.
        catalog: what Consul holds.
        options: of the bridge.
        nodes: the nodes that wanted instances stand on, by their names in Consul; more than are needed do no harm.
        sure: whether an event of a watch tells of this removal.
        confirmed: whether a second list lacks it too.
        seen: whether enough of the cluster is known to take an instance from its clients by marking it critical.
        refused: why Consul has just refused this, None where it has not: it is not to be tried again yet.
        approved: a person said that as many may go.
        spent: removals on the evidence of lists that were made lately, which count with those of this pass.
    """
    kept: dict[str, list[Change]] = {"register": [], "update": [], "check": [], "deregister": []}
    withheld: list[Withheld] = []
    for change in changes:
        reason = None if change.action == "deregister" else _why_not(change, catalog, options, nodes)
        if reason is None and change.action != "deregister" and change.withdraws and not seen(change):
            reason = "unconfirmed"
        if reason is None and change.action != "deregister":
            reason = refused(change)
        if reason is None:
            kept[change.action].append(change)
        else:
            withheld.append(Withheld(change, reason))
    stuck = {one.change.instance.of for one in withheld if one.change.action == "register" and one.reason != "policy"}
    stuck -= {change.instance.of for change in kept["register"]}
    removals = _Removals(kept["deregister"], withheld)
    if options.policy != "sync":
        removals.hold("policy", lambda _change: True)
    for why in AGAIN_LATER:
        removals.hold(why, lambda change, why=why: refused(change) == why)  # type: ignore[misc]
    removals.hold("unconfirmed", lambda change: not sure(change) and not confirmed(change))
    removals.hold("last", last_of(stuck, {change.instance.key for change in removals.left}, catalog))
    _cap(removals, catalog, options, sure, spent, approved)
    update = tuple(chain(kept["update"], kept["check"]))
    return Plan(
        register=tuple(kept["register"]),
        update=update,
        deregister=tuple(removals.left),
        withheld=tuple(withheld),
        nodes=tuple(_node_changes(kept["register"], removals.left, catalog, options, nodes)),
    )


def most_removals(owned: int, options: BridgeOptions) -> int:
    """How many removals one pass makes on the evidence of lists, of so many instances that are owned."""
    return max(options.max_deletes, int(owned * options.max_delete_percent / 100))


def last_of(stuck: Container[ServiceKey], going: Container[Key], catalog: Catalog) -> Evidence:
    """Whether a removal would leave nothing of a Service that could not be given what it wants.

    Args:
        stuck: Services of which something should have been registered, and was not.
        going: all that is about to be removed.
        catalog: what Consul holds.
    """

    def last(change: Change) -> bool:
        of = change.instance.of
        return of in stuck and all(key in going for key in catalog.of(of))

    return last


class _Removals:
    """Those that are still to be made; the others are withheld."""

    def __init__(self, changes: list[Change], withheld: list[Withheld]) -> None:
        self.left = changes
        self._withheld = withheld

    def hold(self, reason: Reason, which: Evidence) -> None:
        held = [change for change in self.left if which(change)]
        if held:
            self.left = [change for change in self.left if not which(change)]
            self._withheld.extend(Withheld(change, reason) for change in held)


def _cap(
    removals: _Removals, catalog: Catalog, options: BridgeOptions, sure: Evidence, spent: int, approved: bool
) -> None:
    unsure = sum(not sure(change) for change in removals.left)
    if not approved and unsure + spent > most_removals(len(catalog.owned), options):
        removals.hold("too-many", lambda change: not sure(change))


def _why_not(change: Change, catalog: Catalog, options: BridgeOptions, nodes: Mapping[str, NodeEntry]) -> Reason | None:
    """Why this may not be written, None where it may."""
    if change.action != "register" and options.policy == "create-only":
        return "policy"
    instance = change.instance
    node = catalog.nodes.get(instance.node)
    if node is None:
        return None if instance.node in nodes else "no-node"
    if node.agent:
        return "agent-node"
    ours = {readiness_id(instance.id), probe_id(instance.id)} if node.foreign_checks else frozenset[str]()
    if not node.owned or instance.id in node.foreign or ours & node.foreign_checks:
        return "foreign"
    return None


def _node_changes(
    registers: Iterable[Change],
    removals: Sequence[Change],
    catalog: Catalog,
    options: BridgeOptions,
    nodes: Mapping[str, NodeEntry],
) -> Iterator[NodeChange]:
    """Nodes that are missing, those that are otherwise than they should be, and those that nothing is left on."""
    needed = {change.instance.node for change in registers}
    for name in sorted(needed):
        if name not in catalog.nodes:
            yield NodeChange("create", nodes[name])
    if options.policy == "create-only":
        return
    for name, entry in nodes.items():
        held = catalog.nodes.get(name)
        if held is not None and held.owned and not held.agent and held.entry != entry:
            yield NodeChange("update", entry, held)
    if options.policy == "sync":
        yield from _vacated(needed, removals, catalog)


def _vacated(needed: set[str], removals: Sequence[Change], catalog: Catalog) -> Iterator[NodeChange]:
    leaving: dict[str, int] = {}
    for change in removals:
        leaving[change.instance.node] = leaving.get(change.instance.node, 0) + 1
    for name, held in catalog.nodes.items():
        if name not in needed and deletable(held) and len(catalog.on(name)) == leaving.get(name, 0):
            yield NodeChange("delete", held.entry, held)


def deletable(node: HeldNode) -> bool:
    """Whether a node may be deleted once none of our instances is on it: it is ours, and nothing of others is there."""
    return node.owned and not node.agent and not node.foreign and not node.foreign_checks
