"""The backends of a target that one client may use, and which of them are out for their failures.

One for each target, subset and way of outlier detection, shared by all pools that have these in common: what one pool
finds broken, the others need not find out anew.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

from .balancing import Node
from .balancing.outlier import Detector, Ejection, OutlierDetection
from .balancing.subset import Chosen, Subset, seed_of
from .events import Event, Hook
from .membership import UNUSED, Membership

NOBODY: Mapping[Node, Ejection] = {}

Told = Callable[[], None]
"""Is told that something changed."""


class Candidates:
    """Follows a membership, and tells pools. Implements `balancing.Watcher`."""

    def __init__(
        self,
        membership: Membership,
        subset: Subset | None,
        outlier: OutlierDetection | None,
        *,
        emit: Hook,
        rng: random.Random,
    ) -> None:
        self.membership = membership
        self._emit = emit
        self._timer: asyncio.TimerHandle | None = None
        self._told: list[Told] = []
        self._subset = _chosen(subset, membership.nodes)
        self.nodes: list[Node] = membership.nodes if self._subset is None else self._subset.nodes
        self._within = None if self._subset is None else set(self.nodes)
        self.version = 0  # grows with every change of `nodes`, of one of them, or of who is `out`
        self._ejected: set[Node] = set()
        self._said: set[Node] = set()  # those of whose ejection was told
        self.outage = False  # whether an outage was told of that has not been over for an interval
        self._over: asyncio.TimerHandle | None = None
        self._closed = False
        self.detector = (
            None
            if outlier is None
            else Detector(outlier, nodes=self.nodes, now=membership.clock, rng=rng, changed=self._judged)
        )
        membership.followers.append(self._moved)
        if self.detector is not None:
            membership.watchers.append(self)

    def close(self) -> None:
        """Follow no more: nor does the outcome of a probe that is under way change anything."""
        self._closed = True
        self.membership.followers.remove(self._moved)
        if self.detector is not None:
            self.membership.watchers.remove(self)
            self.detector.close()
        for timer in (self._timer, self._over):
            if timer is not None:
                timer.cancel()

    def listen(self, told: Told) -> None:
        """Tell of each change from now on."""
        self._told.append(told)

    def leave(self, told: Told) -> None:
        """Tell no more."""
        self._told.remove(told)

    @property
    def out(self) -> Mapping[Node, Ejection]:
        """Who must not be picked for its failures."""
        return NOBODY if self.detector is None else self.detector.out

    @property
    def suspended(self) -> bool:
        """Whether so many fail that it is the service which is down."""
        return self.detector is not None and self.detector.suspended

    @property
    def uneven(self) -> bool:
        """Whether weights may differ."""
        return self.membership.uneven > 0

    @property
    def ranked(self) -> bool:
        """Whether priorities may differ."""
        return self.membership.ranked > 0

    def __contains__(self, node: Node) -> bool:
        return node.index != UNUSED and (self._within is None or node in self._within)

    # What a record tells

    def failed(self, node: Node, *, throttled: bool) -> None:
        """One of the target's backends failed."""
        if self.detector is not None and node in self:
            self.detector.failed(node, throttled=throttled)
            self._arm()

    def recovered(self, node: Node) -> None:
        """One succeeded that had failed."""
        if self.detector is not None and node in self:
            self.detector.recovered(node)
            self._arm()

    # How it is kept

    def _moved(self, entered: Sequence[Node], left: Sequence[Node], stayed: Sequence[Node]) -> None:
        if self._subset is not None and self._within is not None:
            entered, left = self._subset.update(entered, left)
            self._within.difference_update(left)
            self._within.update(entered)
            if not entered and not left and not any(node in self._within for node in stayed):
                return
        self.version += 1
        if self.detector is not None:
            if left:
                self.detector.left(left)
                self._arm()
            self._report()  # among more or fewer backends the same failures may be an outage, or none
        self._tell()

    def _judged(self) -> None:
        """The detector changed its mind."""
        if self._closed:
            return
        self._arm()
        self._report()
        self._tell()
        self.membership.wake()

    def _tell(self) -> None:
        for told in tuple(self._told):
            told()

    def _report(self) -> None:
        """One outage is told of once, and what single backends do meanwhile is not: that may be hundreds a second."""
        assert self.detector is not None
        out = self.detector.out.keys()
        if out != self._ejected:
            self.version += 1
            self._ejected = set(out)
        suspended = self.detector.suspended
        if suspended and not self.outage:
            self._say_outage(True)
        if suspended and self._over is not None:
            self._over.cancel()
            self._over = None
        elif not suspended and self.outage and self._over is None:
            self._over = asyncio.get_running_loop().call_later(self.detector.interval, self._is_over)
        if not self.outage:
            self._say_moves()

    def _is_over(self) -> None:
        self._over = None
        self._say_outage(False)
        self._say_moves()
        self._tell()

    def _say_outage(self, outage: bool) -> None:
        self.outage = outage
        name = "outage.started" if outage else "outage.ended"
        self._emit(Event(name, self.membership.name, {"failing": len(self.out), "backends": len(self.nodes)}))

    def _say_moves(self) -> None:
        name, before, self._said = self.membership.name, self._said, set(self.out)
        for node in self._said - before:
            data = {"backend": node.backend.netloc, "reason": self.out[node].reason}
            self._emit(Event("backend.ejected", name, data))
        for node in before - self._said:
            self._emit(Event("backend.returned", name, {"backend": node.backend.netloc}))

    def _arm(self) -> None:
        """One timer, for when the detector wants to look again; none while all is well."""
        assert self.detector is not None
        due = self.detector.due()
        if self._timer is not None:
            if due == self._timer.when():
                return
            self._timer.cancel()
        self._timer = None if due is None else asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        assert self.detector is not None
        self._timer = None
        self.detector.step()
        self._arm()


def _chosen(subset: Subset | None, nodes: list[Node]) -> Chosen | None:
    """The subset of one client; None where all are candidates."""
    if subset is None or subset.size is None:
        return None
    return Chosen(subset.size, seed_of(subset.identity), nodes)
