"""What of the changes may be made: by what events told, by what lists said twice, by how many would go. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from .kubernetes.model import Cluster
from .options import BridgeOptions
from .plan.changes import Change, Plan, word_of
from .plan.guard import guarded
from .records import Key, NodeEntry, ServiceKey
from .refusals import Refusals
from .registry.catalog import Catalog
from .wanted.wanting import Wanted

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


class Judging:
    """Judges changes, and remembers what that takes.

    Args:
        cluster: what is known of Kubernetes, and what events have told of it.
        options: of the bridge.
        refusals: what Consul has refused.
        now: the loop's time.
    """

    def __init__(self, cluster: Cluster, options: BridgeOptions, refusals: Refusals, now: Callable[[], float]) -> None:
        self._cluster = cluster
        self._options = options
        self._refusals = refusals
        self._now = now
        self._removed: deque[tuple[float, int]] = deque()
        self._stood: dict[ServiceKey, dict[Key, bool]] = {}  # what we have wanted ourselves, and whether as passing
        self._unsure: set[Key] = set()  # what the plan removes on the evidence of lists

    def judged(
        self,
        changes: Sequence[Change],
        catalog: Catalog,
        nodes: Mapping[str, NodeEntry],
        evidence: Evidence,
        *,
        whole: bool,
    ) -> Plan:
        """The plan of a pass.

        Args:
            changes: of all Services that it looks at.
            catalog: what Consul holds.
            nodes: that what is wanted stands on.
            evidence: what removals may go by.
            whole: Consul has hidden nothing from us.
        """

        def judge(*, approved: bool) -> Plan:
            return guarded(
                changes,
                catalog,
                self._options,
                nodes=nodes,
                sure=lambda change: self._is_sure(change, evidence),
                confirmed=lambda change: evidence.confirmed and whole and self._is_clear(change),
                seen=lambda change: (evidence.seen and self._is_clear(change)) or self._told_that_passed(change),
                refused=self._refusals.why,
                approved=approved,
                spent=self._spent(),
            )

        plan = judge(approved=False)
        if evidence.approved and word_of(plan) == evidence.approved:
            self._removed.clear()
            plan = judge(approved=True)
        self._unsure = {one.instance.key for one in plan.deregister if not self._is_sure(one, evidence)}
        left = (one for one in plan.nodes if one.action == "create" or not self._refusals.rests(one.entry.name))
        return attrs.evolve(plan, nodes=tuple(left))

    def note_wanted(self, key: ServiceKey, wanted: Wanted, held: Mapping[Key, object]) -> None:
        """This is wanted of a Service now, and Consul holds that: an event can take away only what has been wanted."""
        before = self._stood.pop(key, {})
        stood = {where: passed for where, passed in before.items() if where in held}
        for where, one in wanted.instances.items():
            stood[where] = before.get(where, False) or one.status == "passing"
        if stood:
            self._stood[key] = stood

    def note_done(self, done: Iterable[Change]) -> None:
        """These changes were made: removals that no event told of count together for a while."""
        count = sum(one.action == "deregister" and one.instance.key in self._unsure for one in done)
        if count:
            self._removed.append((self._now(), count))

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

    def _spent(self) -> int:
        while self._removed and self._removed[0][0] < self._now() - WINDOW:
            self._removed.popleft()
        return sum(count for _, count in self._removed)
