"""One pass after another: what is wanted is compared with what Consul holds, judged, and written.

Nothing here waits for a time: when a pass is made, and of what, `bridge` decides.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable

import attrs

from ..consul.api import Consul
from ..errors import ConsulError
from ..events import Event, Hook
from ..turns import Turns
from .kubernetes.model import Cluster
from .options import BridgeOptions
from .plan.changes import Change, Plan, Reason, Withheld, compare
from .plan.farewell import farewell
from .plan.guard import guarded
from .records import Instance, Key, NodeEntry, ServiceKey
from .registry.apply import Applier, Leading, Outcome
from .registry.approval import word_of
from .registry.catalog import Catalog
from .registry.limits import Limits
from .registry.reading import NodeReader
from .wanted.wanting import Wanted, Wanting

REFUSED = {"denied": 30.0, "invalid": 300.0}
"""Seconds after which an instance that Consul refused is tried again: no storm of what will be refused again."""

TRIES = 3
"""How often in a row something is tried that Consul finds otherwise than it was read a moment before."""

WINDOW = 600.0
"""Seconds for which removals on the evidence of lists count together: many small passes are one large one."""


@attrs.frozen(kw_only=True)
class Evidence:
    """What removals of a pass may go by.

    Attributes:
        confirmed: every list has been read twice, and every watch speaks.
        twice: every list has been read twice, whether or not every watch speaks now.
        approved: the word of an operator, "" for none.
    """

    confirmed: bool = False
    twice: bool = False
    approved: str = ""

    @property
    def seen(self) -> bool:
        """Whether what is known of the cluster is more than one look."""
        return self.confirmed or self.twice


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
        self._reader = NodeReader(consul, options.owner)
        self._catalog = Catalog()
        self._applier: Applier | None = None
        self._limits = Limits(options.in_flight)
        self._read: set[str] = set()
        self._whole = True
        self._refused: dict[Key, tuple[Instance, Reason, float]] = {}
        self._removed: deque[tuple[float, int]] = deque()
        self._failing: Counter[str | Key] = Counter()  # instances, and nodes by name: how often in a row
        self._stood: dict[ServiceKey, dict[Key, bool]] = {}  # what we have wanted ourselves, and whether as passing
        self._unsure: set[Key] = set()  # what the plan removes on the evidence of lists

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
    def next_try(self) -> float | None:
        """When something that Consul refused is to be tried again (the loop's time)."""
        return min((at for _, _, at in self._refused.values()), default=None)

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
        names, whole = await self._reader.owned()
        found = await self._reader.read(names)
        catalog = Catalog()
        for name, node in found.nodes.items():
            if node is not None:
                catalog.put_node(node, found.held[name])
        self._see(whole and found.whole)
        self._catalog, self._read = catalog, set(found.nodes)
        self._applier = Applier(self._consul, catalog, self._options, self._leading, self._limits)
        self._refused.clear()
        self._failing.clear()

    # One pass

    @property
    def waiting(self) -> bool:
        """Whether a pass has something to look at beside what changed."""
        return bool(self.withheld or self.wanting.released or ((at := self.next_try) is not None and at <= self._now()))

    async def plan(self, keys: Iterable[ServiceKey] | None, evidence: Evidence) -> Plan:
        """What is to be done for these Services, or (None) for all.

        Raises:
            ConsulError: a node that is needed cannot be read.
        """
        if keys is None:
            keys = (*self._cluster.keys, *self._catalog.services, *self.wanting.keys)
        wanted = await self._wanted({*keys} | self._waiting())
        nodes = {entry.name: entry for one in wanted.values() for entry in one.nodes}
        await self._know(nodes)
        changes = await self._compared(wanted)
        return self._judged(changes, nodes, evidence)

    async def apply(self, plan: Plan) -> Outcome:
        """Write it, and note what has become of it. Does not raise for what Consul does."""
        assert self._applier is not None
        self.passes += 1
        outcome = await self._applier.apply(plan)
        self.transactions += outcome.transactions
        self.totals.update(change.action for change in outcome.done)
        self._note_refused(outcome.failed)
        self._note_failing(outcome)
        self._note_removed(outcome.done)
        self._keep_withheld(plan)
        if outcome.done:
            counts: Counter[str] = Counter(change.action for change in outcome.done)
            self._emit(Event("bridge.wrote", self._options.owner, dict(counts)))
        return outcome

    def finished(self, keys: Iterable[ServiceKey] | None) -> None:
        """What events had told of these Services, or (None) of all, has been acted on."""
        told = self._cluster.told
        done = told | self._cluster.ended if keys is None else set(keys)
        done -= self.withheld.keys() | {instance.of for instance, _, _ in self._refused.values()}
        told -= done
        self._cluster.ended -= done

    async def end(self) -> None:
        """Leave all that is ours as `options.shutdown` wants it.

        Raises:
            DiscoveryError: it was not all done.
        """
        assert self._applier is not None
        outcome = await self._applier.apply(farewell(self._catalog, self._options))
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

    def _waiting(self) -> set[ServiceKey]:
        """Services that were held back, or refused a while ago."""
        now = self._now()
        again = {key: instance.of for key, (instance, _, at) in self._refused.items() if at <= now}
        for key in again:
            del self._refused[key]
        return {*again.values(), *self.withheld}

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
        """Read those of these nodes that have not been read yet."""
        await self._read_nodes([name for name in nodes if name not in self._read])

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
            self._note_wanted(key, one)
            if turns.due():
                await turns.give()
        return changes

    def _judged(self, changes: list[Change], nodes: dict[str, NodeEntry], evidence: Evidence) -> Plan:
        def judge(*, approved: bool) -> Plan:
            return guarded(
                changes,
                self._catalog,
                self._options,
                nodes=nodes,
                sure=lambda change: self._is_sure(change, evidence),
                confirmed=lambda change: evidence.confirmed and self._whole and self._is_clear(change),
                seen=lambda change: (evidence.seen and self._is_clear(change)) or self._told_that_passed(change),
                refused=self._is_refused,
                approved=approved,
                spent=self._spent(),
            )

        plan = judge(approved=False)
        if evidence.approved and word_of(plan) == evidence.approved:
            self._removed.clear()
            plan = judge(approved=True)
        self._unsure = {one.instance.key for one in plan.deregister if not self._is_sure(one, evidence)}
        left = (one for one in plan.nodes if one.action == "create" or self._failing[one.entry.name] < TRIES)
        return attrs.evolve(plan, nodes=tuple(left))

    def _is_sure(self, change: Change, evidence: Evidence) -> bool:
        """Whether an event took this away: its Service, or what we have wanted ourselves before it spoke.

        What we never wanted has not been taken away by an event, whatever it spoke of: we may have been told otherwise
        than whoever registered it, or not have all of it yet.
        """
        of = change.instance.of
        if of in self._cluster.ended:
            return True
        if evidence.seen:
            return of in self._cluster.told and change.instance.key in self._stood.get(of, ())
        return self._told_that_passed(change)

    def _is_clear(self, change: Change) -> bool:
        """Whether all of the cluster that this hangs on can be read."""
        return not self._cluster.unclear(change.instance.of)

    def _told_that_passed(self, change: Change) -> bool:
        """Whether an event spoke of what we have wanted as passing."""
        of = change.instance.of
        return of in self._cluster.told and self._stood.get(of, {}).get(change.instance.key, False)

    def _note_wanted(self, key: ServiceKey, wanted: Wanted) -> None:
        before, held = self._stood.pop(key, {}), self._catalog.of(key)
        stood = {where: passed for where, passed in before.items() if where in held}
        for where, one in wanted.instances.items():
            stood[where] = before.get(where, False) or one.status == "passing"
        if stood:
            self._stood[key] = stood

    # What is noted

    def _see(self, whole: bool) -> None:
        """Say so where parts are hidden from us: what is not seen is never taken for gone."""
        if self._whole and not whole:
            self._emit(Event("bridge.filtered", self._consul.where))
        self._whole = whole

    def _spent(self) -> int:
        while self._removed and self._removed[0][0] < self._now() - WINDOW:
            self._removed.popleft()
        return sum(count for _, count in self._removed)

    def _note_removed(self, done: Iterable[Change]) -> None:
        count = sum(one.action == "deregister" and one.instance.key in self._unsure for one in done)
        if count:
            self._removed.append((self._now(), count))

    def _note_refused(self, failed: Iterable[tuple[Change, Reason]]) -> None:
        known = {instance.of for instance, _, _ in self._refused.values()} | {
            key for key, ones in self.withheld.items() if any(one.reason in REFUSED for one in ones)
        }
        for change, reason in failed:
            if reason not in REFUSED:
                continue
            self._refused[change.instance.key] = change.instance, reason, self._now() + REFUSED[reason]
            if change.instance.of not in known:
                known.add(change.instance.of)
                data = {"service": change.instance.service, "reason": reason}
                self._emit(Event("bridge.refused", "/".join(change.instance.of), data))

    def _is_refused(self, change: Change) -> Reason | None:
        """Why not to try this again yet: rights hang on the service's name, all else on the whole of it."""
        if self._failing[change.instance.key] >= TRIES:
            return "conflict"
        found = self._refused.get(change.instance.key)
        if found is None:
            return None
        instance, reason, _ = found
        same = instance.service == change.instance.service if reason == "denied" else instance == change.instance
        return reason if same else None

    def _note_failing(self, outcome: Outcome) -> None:
        """Count what fails each time, until all is read anew: no pass after pass for what will be refused again."""
        for change in outcome.done:
            self._failing.pop(change.instance.key, None)
        self._failing.update(change.instance.key for change, reason in outcome.failed if reason == "conflict")
        for node, reason in outcome.failed_nodes:
            self._failing[node.entry.name] += 1
            if self._failing[node.entry.name] == TRIES:
                self._emit(Event("bridge.refused", node.entry.name, {"node": node.entry.name, "reason": reason}))

    def _keep_withheld(self, plan: Plan) -> None:
        asked = self.asks
        found: dict[ServiceKey, list[Withheld]] = {}
        for one in plan.withheld:
            found.setdefault(one.change.instance.of, []).append(one)
        before = self.withheld
        self.withheld = {key: tuple(ones) for key, ones in found.items()}
        for key, ones in self.withheld.items():
            known = {(one.change.instance.key, one.reason) for one in before.get(key, ())}
            for one in ones:
                if (one.change.instance.key, one.reason) not in known:
                    self._say_withheld(one)
        if self.asks and self.asks != asked:
            count = sum(one.reason == "too-many" for one in plan.withheld)
            self._emit(Event("bridge.asks", self._options.owner, {"removals": count, "word": self.asks}))

    def _say_withheld(self, one: Withheld) -> None:
        instance = one.change.instance
        name = "bridge.foreign" if one.reason in ("foreign", "agent-node") else "bridge.withheld"
        data = {"action": one.change.action, "reason": one.reason, "id": instance.id, "node": instance.node}
        self._emit(Event(name, "/".join(instance.of), data))
