"""What became of a plan: kept while it is applied, told afterwards. Pure."""

from collections.abc import Iterable, Iterator

import attrs

from ...errors import DiscoveryError
from ..plan.changes import Change, NodeChange, Plan, Reason
from ..plan.guard import last_of
from ..plan.units import Unit
from ..records import ServiceKey
from .catalog import Catalog


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of a plan.

    Attributes:
        done: what Consul has taken.
        failed: what it refused, each for its reason; the rest went on without.
        failed_nodes: likewise, of nodes.
        lost: nodes that must be read again before anything more is planned on them.
        error: why the pass was broken off; None where it came to its end. What was neither done nor failed has not
            been tried, or its answer was lost: then its node is among those that are `lost`.
        deposed: somebody else leads, and nothing more was written.
        transactions: how many were sent.
    """

    done: tuple[Change, ...] = ()
    failed: tuple[tuple[Change, Reason], ...] = ()
    failed_nodes: tuple[tuple[NodeChange, Reason], ...] = ()
    lost: frozenset[str] = frozenset()
    error: DiscoveryError | None = None
    deposed: bool = False
    transactions: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more should be written for now."""
        return self.error is not None or self.deposed

    def and_then(self, later: "Outcome") -> "Outcome":
        """This one and what came of a plan after it, as one."""
        return Outcome(
            done=self.done + later.done,
            failed=self.failed + later.failed,
            failed_nodes=self.failed_nodes + later.failed_nodes,
            lost=self.lost | later.lost,
            error=later.error or self.error,
            deposed=self.deposed or later.deposed,
            transactions=self.transactions + later.transactions,
        )


class Tally:
    """The outcome of a pass that is under way, and what follows from it for the rest of that pass.

    Args:
        plan: what is applied.
        catalog: what Consul holds, kept current meanwhile.
    """

    def __init__(self, plan: Plan, catalog: Catalog) -> None:
        self.transactions = 0
        self.error: DiscoveryError | None = None
        self.deposed = False
        self._catalog = catalog
        self._done: list[Change] = []
        self._failed: list[tuple[Change, Reason]] = []
        self._failed_nodes: list[tuple[NodeChange, Reason]] = []
        self._missing: dict[str, Reason] = {}
        self._stuck = set[ServiceKey]()
        self._last = last_of(self._stuck, {change.instance.key for change in plan.deregister}, catalog)

    @property
    def over(self) -> bool:
        """Whether nothing more may be sent."""
        return self.error is not None

    def stop(self, error: DiscoveryError, *, deposed: bool = False) -> None:
        """Break the pass off; the first error is the one that is told."""
        if self.error is None:
            self.error, self.deposed = error, deposed

    def done(self, unit: Unit) -> None:
        """Consul has taken it."""
        if isinstance(unit.change, Change):
            self._done.append(unit.change)

    def fail(self, unit: Unit, reason: Reason) -> None:
        """Consul refuses it."""
        change = unit.change
        if isinstance(change, NodeChange):
            self._failed_nodes.append((change, reason))
            if change.action == "create":
                self._missing[change.entry.name] = reason
            return
        self._failed.append((change, reason))
        if change.action == "register":
            self._stuck.add(change.instance.of)

    def sendable(self, units: Iterable[Unit]) -> Iterator[Unit]:
        """Those that still make sense; the others fail.

        What stands on a node that could not be created fails with it. A Service that could not be given anything new
        keeps what it has.
        """
        for unit in units:
            reason = self._why_not(unit)
            if reason is None:
                yield unit
            else:
                self.fail(unit, reason)

    def outcome(self) -> Outcome:
        """As it stands now."""
        return Outcome(
            done=tuple(self._done),
            failed=tuple(self._failed),
            failed_nodes=tuple(self._failed_nodes),
            lost=frozenset(self._catalog.doubtful),
            error=self.error,
            deposed=self.deposed,
            transactions=self.transactions,
        )

    def _why_not(self, unit: Unit) -> Reason | None:
        change = unit.change
        if isinstance(change, NodeChange):
            return None
        if change.action == "deregister":
            return "last" if self._last(change) else None
        return self._missing.get(unit.node)
