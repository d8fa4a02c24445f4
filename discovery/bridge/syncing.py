"""One pass after another: what is wanted is compared with what Consul holds, judged, and written.

Nothing here waits for a time: when a pass is made, and of what, `bridge` decides.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..consul.api import Consul
from ..errors import ConfigurationError, ConsulError
from ..events import Event, Hook
from ..turns import Turns
from .judging import Evidence, Judging
from .kubernetes.model import Cluster
from .options import BridgeOptions
from .plan.changes import Change, Plan, Withheld, compare
from .plan.farewell import farewell
from .records import CLUSTER, ServiceKey
from .refusals import REFUSED, Refusals
from .registry.apply import Applier, Leading, Outcome
from .registry.approval import word_of
from .registry.catalog import Catalog
from .registry.limits import Limits
from .registry.reading import NodeReader
from .wanted.wanting import Wanted, Wanting

FIRST_CHUNK = 250
GROWTH = 4
"""Services of a first fill that are worked out together: few at first, so that writing begins; then ever more, while
those before them are written."""


class Syncing:
    """Makes passes. Holds what is known of Consul between them.

    Args:
        consul: the client.
        cluster: what is known of Kubernetes.
        options: of the bridge.
        leading: who may write.
        emit: takes events.
        now: the loop's time.

    Attributes:
        wanting: what is wanted of each Service.
        withheld: what is held back, by Service.
        totals: by action, instances that were written.
        transactions: that were sent.
        passes: that were made.
    """

    def __init__(
        self,
        consul: Consul,
        cluster: Cluster,
        options: BridgeOptions,
        leading: Leading,
        emit: Hook,
        now: Callable[[], float],
    ) -> None:
        self.wanting = Wanting(cluster, options, emit)
        self.withheld: dict[ServiceKey, tuple[Withheld, ...]] = {}
        self.totals: Counter[str] = Counter()
        self.transactions = self.passes = 0
        self._consul = consul
        self._cluster = cluster
        self._options = options
        self._leading = leading
        self._emit = emit
        self._now = now
        self._reader = NodeReader(consul, options)
        self._catalog = Catalog()
        self._applier: Applier | None = None
        self._limits = Limits(options.in_flight)
        self._read: set[str] = set()
        self._whole = True
        self._all_named = False  # nodes that are called as ours are, and were not read, are not there
        self._refusals = Refusals(emit, now)
        self._judging = Judging(cluster, options, self._refusals, now)

    @property
    def loaded(self) -> bool:
        """Whether it is known what Consul holds."""
        return self._applier is not None

    @property
    def catalog(self) -> Catalog:
        """What Consul holds, as far as it is known."""
        return self._catalog

    @property
    def asks(self) -> str:
        """The word that approves what is held back for being too much."""
        return word_of(Plan(withheld=tuple(one for held in self.withheld.values() for one in held)))

    @property
    def filtered(self) -> bool:
        """Whether Consul leaves out of its answers what our token may not see."""
        return not self._whole

    @property
    def next_try(self) -> float | None:
        """When something that Consul refused is to be tried again (the loop's time)."""
        return self._refusals.next_try

    def forget(self) -> None:
        """Somebody else may write from now on: what Consul holds is not known any more."""
        self._catalog, self._applier = Catalog(), None
        self._read.clear()
        self.withheld = {}

    async def load(self) -> None:
        """Read all that Consul holds of ours.

        Raises:
            ConsulError: it cannot be read; what was known before holds on.
        """
        names, whole = await self._reader.named()
        found = await self._reader.read(names)
        catalog = Catalog()
        for name, node in found.nodes.items():
            if node is not None:
                catalog.put_node(node, found.held[name])
        self._check_cluster(catalog)
        self._see(whole and found.whole)
        self._catalog, self._read, self._all_named = catalog, set(found.nodes), whole
        self._applier = Applier(self._consul, catalog, self._options, self._leading, self._limits)
        self._refusals.forgive()

    # One pass

    @property
    def waiting(self) -> bool:
        """Whether a pass has something to look at beside what changed."""
        return bool(self.withheld or self.wanting.released or self._refusals.due)

    async def plan(self, keys: Iterable[ServiceKey] | None, evidence: Evidence) -> Plan:
        """What is to be done for these Services, or (None) for all.

        Raises:
            ConsulError: a node that is needed cannot be read.
        """
        looked_at = {*(self._everything if keys is None else keys), *self._refusals.take(), *self.withheld}
        return await self._planned(await self._wanted(looked_at), evidence)

    async def apply(self, plan: Plan) -> Outcome:
        """Write it, and note what has become of it. Does not raise for what Consul does."""
        self.passes += 1
        return await self._write(plan)

    async def fill(self, evidence: Evidence) -> Outcome:
        """As `plan` and `apply` for all Services, where Consul holds nothing of ours.

        With nothing to remove nobody has to see all of it before the first is written: the next Services are worked
        out while those before them are written.

        Raises:
            ConsulError: a node that is needed cannot be read.
        """
        assert not self._catalog.owned
        self.passes += 1
        order, outcome = sorted(self._everything), Outcome()
        writing: asyncio.Task[Outcome] | None = None
        try:
            for chunk in _chunks(order):
                wanted = await self._wanted(chunk)
                if writing is not None:
                    outcome = outcome.and_then(await writing)
                    if outcome.over:
                        return outcome
                plan = await self._planned(wanted, evidence)
                writing = asyncio.create_task(self._write(plan, beside=writing is not None))
            return outcome if writing is None else outcome.and_then(await writing)
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    def finished(self, keys: Iterable[ServiceKey] | None) -> None:
        """What events had told of these Services, or (None) of all, has been acted on."""
        told = self._cluster.told
        done = told | self._cluster.ended if keys is None else set(keys)
        done -= self.withheld.keys() | self._refusals.services
        told -= done
        self._cluster.ended -= done

    async def end(self) -> None:
        """Leave all that is ours as `options.shutdown` wants it.

        Raises:
            DiscoveryError: it was not all done.
        """
        assert self._applier is not None
        outcome = await self._applier.apply(farewell(self._catalog, self._options))
        self._say_done(outcome)
        if outcome.error is not None:
            raise outcome.error
        if outcome.failed:
            raise ConsulError(f"{len(outcome.failed)} of our instances were refused", reason=outcome.failed[0][1])

    async def reread(self) -> set[ServiceKey]:
        """Read the nodes anew that are not known for certain; returns the Services that this concerns.

        Raises:
            ConsulError: one of them cannot be read.
        """
        return await self._read_nodes(tuple(self._catalog.doubtful))

    # Steps of a pass

    @property
    def _everything(self) -> set[ServiceKey]:
        return {*self._cluster.keys, *self._catalog.services, *self.wanting.keys}

    async def _planned(self, wanted: dict[ServiceKey, Wanted], evidence: Evidence) -> Plan:
        nodes = {entry.name: entry for one in wanted.values() for entry in one.nodes}
        await self._know(nodes)
        changes = await self._compared(wanted)
        return self._judging.judged(changes, self._catalog, nodes, evidence, whole=self._whole)

    async def _write(self, plan: Plan, *, beside: bool = False) -> Outcome:
        """`beside`: what was withheld before stays so, for this plan is not of all."""
        assert self._applier is not None
        outcome = await self._applier.apply(plan)
        self.transactions += outcome.transactions
        refused = {key for key, ones in self.withheld.items() if any(one.reason in REFUSED for one in ones)}
        self._refusals.note(outcome, refused)
        self._judging.note_done(outcome.done)
        self._keep_withheld(plan, beside=beside)
        self._say_done(outcome)
        return outcome

    async def _wanted(self, keys: Iterable[ServiceKey]) -> dict[ServiceKey, Wanted]:
        """Those first that stay under the names they have, then who is registered: a name is of whoever has it."""
        turns, wanted, order = Turns(), {}, []
        for key in keys:
            order.append((self._claim(key), key))
            if turns.due():
                await turns.give()
        for _, key in sorted(order):
            one = self.wanting.of(key)
            if not one.kept:
                wanted[key] = one
            if turns.due():
                await turns.give()
        while self.wanting.released:
            key = self.wanting.released.pop()
            if not (one := self.wanting.of(key)).kept:
                wanted[key] = one
        return wanted

    def _claim(self, key: ServiceKey) -> int:
        """Whose turn it is to take its names, lowest first."""
        held = self._catalog.of(key)
        if not held:
            return 2
        return int(not self.wanting.stays(key, {one.instance.service for one in held.values()}))

    async def _know(self, nodes: Iterable[str]) -> None:
        """Read those of these nodes that have not been read yet, and may be there."""
        unknown = (name for name in nodes if name not in self._read)
        await self._read_nodes([name for name in unknown if not (self._all_named and self._reader.is_called_so(name))])

    async def _read_nodes(self, names: Iterable[str]) -> set[ServiceKey]:
        wanted = tuple(names)
        if not wanted:
            return set()
        found = await self._reader.read(wanted)
        touched: set[ServiceKey] = set()
        for name, node in found.nodes.items():
            self._read.add(name)
            if node is None:
                touched |= self._catalog.drop_node(name)
            else:
                touched |= self._catalog.put_node(node, found.held[name])
        self._see(self._whole and found.whole)
        return touched

    async def _compared(self, wanted: dict[ServiceKey, Wanted]) -> list[Change]:
        turns = Turns()
        changes: list[Change] = []
        for key, one in wanted.items():
            changes.extend(compare(key, one.instances, self._catalog, self._options))
            self._judging.note_wanted(key, one, self._catalog.of(key))
            if turns.due():
                await turns.give()
        return changes

    def _check_cluster(self, catalog: Catalog) -> None:
        """What bears our owner id is of our cluster; nothing of another is touched."""
        ours = self._cluster.nodes.cluster
        found = {dict(node.entry.meta).get(CLUSTER, ours) for node in catalog.nodes.values() if node.owned}
        if ours and found - {ours} and not self._options.adopt:
            raise ConfigurationError(
                f"the entries of the owner {self._options.owner} in Consul are of another cluster",
                next_step="Give each cluster an owner id of its own; where a cluster was made anew and is to take them "
                "over, start once with adopt=True (--adopt)",
            )

    # What is noted

    def _see(self, whole: bool) -> None:
        """Say so where parts are hidden from us: what is not seen is never taken for gone."""
        if self._whole and not whole:
            self._emit(Event("bridge.filtered", self._consul.where, {"next_step": self._rights}))
        self._whole = whole

    @property
    def _rights(self) -> str:
        ours = f"{self._options.node_prefix}-{self._options.owner}"
        return f'give the token service:read for "" and node:read for "{ours}" and "{ours}--", both as prefixes'

    def _keep_withheld(self, plan: Plan, *, beside: bool) -> None:
        asked = self.asks
        found: dict[ServiceKey, list[Withheld]] = {}
        for one in plan.withheld:
            found.setdefault(one.change.instance.of, []).append(one)
        before, new = self.withheld, {key: tuple(ones) for key, ones in found.items()}
        self.withheld = {**before, **new} if beside else new
        for key, ones in new.items():
            known = {(one.change.instance.key, one.reason) for one in before.get(key, ())}
            for one in ones:
                if (one.change.instance.key, one.reason) not in known:
                    self._say_withheld(one)
        if self.asks and self.asks != asked:
            count = sum(one.reason == "too-many" for one in plan.withheld)
            self._emit(Event("bridge.asks", self._options.owner, {"removals": count, "word": self.asks}))

    def _say_done(self, outcome: Outcome) -> None:
        counts: Counter[str] = Counter(change.action for change in outcome.done)
        self.totals.update(counts)
        if counts:
            self._emit(Event("bridge.wrote", self._options.owner, dict(counts)))

    def _say_withheld(self, one: Withheld) -> None:
        instance = one.change.instance
        name = "bridge.foreign" if one.reason in ("foreign", "agent-node") else "bridge.withheld"
        data = {"action": one.change.action, "reason": one.reason, "id": instance.id, "node": instance.node}
        self._emit(Event(name, "/".join(instance.of), data))


def _chunks(order: Sequence[ServiceKey]) -> Iterator[Sequence[ServiceKey]]:
    start, size = 0, FIRST_CHUNK
    while start < len(order):
        yield order[start : start + size]
        start, size = start + size, size * GROWTH
