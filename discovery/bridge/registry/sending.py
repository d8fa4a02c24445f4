"""Sends one group of changes as a transaction, and again without what Consul refuses of it, until the rest is taken.

A refusal of one entry is no reason not to write the others: it is taken out, and the rest goes again at once. A
failure of Consul as a whole ends the pass: the next one is planned from what is known then, so nothing queues up.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, Protocol

from ...consul.api import ONCE, Answer, Read, Result, TxnRefused
from ...consul.objects import Check, NodeServices
from ...errors import ConsulError, DiscoveryError
from ..plan.batches import packed
from ..plan.changes import Change, NodeChange, Reason
from ..plan.units import Unit, Wrote, held_after, node_after
from .catalog import Catalog
from .limits import Limits
from .outcome import Tally

NOT_WRITTEN: Final = frozenset({"rate-limited", "denied", "too-large"})
"""Failures that say that nothing was written. After any other it may have been."""

DENIED: Final = ("Permission denied", "ACL not found")
TOO_MANY: Final = "too many operations"
STALE: Final = ("index is stale", "Missing node", "Missing service")
"""What Consul says of an operation that is forbidden, of too many in one transaction, and of one that found something
else than it expected."""

Group = tuple[Unit, ...]


class Registry(Protocol):
    """What is needed of a Consul: `discovery.consul.api.Consul` is one."""

    async def transact(self, operations: Sequence[bytes]) -> tuple[Result, ...]:
        """All of these operations, or none."""
        ...

    async def node_services(self, node: str, read: Read = ONCE) -> Answer[NodeServices]:
        """A node, and what is registered on it."""
        ...

    async def node_checks(self, node: str, read: Read = ONCE) -> Answer[tuple[Check, ...]]:
        """The checks of a node and of what is registered on it."""
        ...


class Leading(Protocol):
    """What is needed of a leadership: see `leader` and `lease`."""

    @property
    def fence(self) -> bytes | None:
        """The operation that must begin each transaction, and fails where somebody else leads; None: there is none."""
        ...

    def check(self) -> None:
        """Raise where no write may be begun now."""
        ...


class Sender:
    """Sends for one pass.

    Args:
        consul: where to write.
        catalog: kept current by every answer.
        limits: learnt from every refusal.
        leading: asked before every transaction.
        tally: of the pass.
        probed: whether each instance has a check for consul-esm.
    """

    def __init__(
        self, consul: Registry, catalog: Catalog, limits: Limits, leading: Leading, tally: Tally, *, probed: bool
    ) -> None:
        self.fence = leading.fence
        self._consul = consul
        self._catalog = catalog
        self._limits = limits
        self._leading = leading
        self._tally = tally
        self._probed = probed

    async def send(self, units: Iterable[Unit]) -> None:
        """Write these, in their order, until each is done or has failed, or the pass is over."""
        waiting = deque(self._packed(units))
        while waiting and not self._tally.over:
            group = tuple(self._tally.sendable(waiting.popleft()))
            if group:
                waiting.extendleft(reversed(await self._try(group)))

    def _packed(self, units: Iterable[Unit]) -> Iterable[Group]:
        return packed(units, fence=self.fence, most=self._limits.operations, longest=self._limits.body)

    async def _try(self, group: Group) -> Sequence[Group]:
        """Send once; what is left to be sent."""
        fence = [] if self.fence is None else [self.fence]
        operations = [*fence, *(operation for unit in group for operation in unit.operations)]
        try:
            self._leading.check()
        except DiscoveryError as error:
            self._tally.stop(error, deposed=True)
            return ()
        self._tally.transactions += 1
        try:
            results = await self._consul.transact(operations)
        except TxnRefused as error:
            return self._refused(group, error)
        except DiscoveryError as error:
            return self._failed(group, error)
        except BaseException:
            self._doubt(group)
            raise
        self._limits.taken()
        self._taken(group, {(one.kind, one.node, one.id): one.modify_index for one in results if one.kind})
        return ()

    def _taken(self, group: Group, indexes: Mapping[Wrote, int]) -> None:
        for unit in group:
            self._keep(unit.change, indexes)
            if not all(what in indexes for what in unit.wrote):
                self._catalog.doubt((unit.node,))
            self._tally.done(unit)

    def _keep(self, change: Change | NodeChange, indexes: Mapping[Wrote, int]) -> None:
        """Note in the catalog what Consul holds now."""
        catalog = self._catalog
        if isinstance(change, Change):
            if change.action == "deregister":
                catalog.drop(change.instance.key)
            else:
                catalog.put(held_after(change, self._probed, indexes))
        elif change.action == "delete":
            catalog.drop_node(change.entry.name)
        else:
            catalog.put_node(node_after(change, catalog.nodes.get(change.entry.name), indexes))

    def _refused(self, group: Group, error: TxnRefused) -> Sequence[Group]:
        """Consul names the operations at fault: their units fail, the rest goes on."""
        first = 0 if self.fence is None else 1
        said: dict[int, list[str]] = {}
        ends = list(accumulate((len(unit.operations) for unit in group), initial=first))
        for one in error.errors:
            if 0 <= one.op_index < first:
                self._tally.stop(error, deposed=reason_of([one.what]) != "denied")
                return ()
            said.setdefault(bisect_right(ends, one.op_index) - 1, []).append(one.what)
        at_fault = {number: texts for number, texts in said.items() if 0 <= number < len(group)}
        if not at_fault:
            return self._halved(group, "conflict")
        for number, texts in at_fault.items():
            self._fail(group[number], reason_of(texts))
        return (tuple(unit for number, unit in enumerate(group) if number not in at_fault),)

    def _failed(self, group: Group, error: DiscoveryError) -> Sequence[Group]:
        """Nothing is said of a single operation."""
        reason = error.reason if isinstance(error, ConsulError) else ""
        status = error.status if isinstance(error, ConsulError) else 0
        if reason == "too-large":
            fence = self.fence or b""
            size = sum(unit.size for unit in group) + len(fence)
            count = sum(len(unit.operations) for unit in group) + bool(fence)
            self._limits.too_large(count, size, counted=TOO_MANY in str(error))
            return self._halved(group, "invalid")
        if status == 400:
            return self._halved(group, "invalid")
        if reason == "rate-limited":
            self._limits.too_many()
        if reason not in NOT_WRITTEN:
            self._doubt(group)
        self._tally.stop(error)
        return ()

    def _halved(self, group: Group, reason: Reason) -> Sequence[Group]:
        """Both halves, to find what is wrong with one of them; a single unit fails."""
        if len(group) == 1:
            self._fail(group[0], reason)
            return ()
        middle = len(group) // 2
        return group[:middle], group[middle:]

    def _fail(self, unit: Unit, reason: Reason) -> None:
        self._tally.fail(unit, reason)
        if reason != "denied":
            self._doubt((unit,))

    def _doubt(self, units: Iterable[Unit]) -> None:
        self._catalog.doubt(unit.node for unit in units)


def reason_of(said: Iterable[str]) -> Reason:
    """Why Consul refused a unit, from all that it said of its operations: the worst, for the rest follows from that."""
    texts = tuple(said)
    if any(mark in text for text in texts for mark in DENIED):
        return "denied"
    if all(any(mark in text for mark in STALE) for text in texts):
        return "conflict"
    return "invalid"
