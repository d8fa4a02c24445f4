"""The rules by which backends go out and come back.

A backend meets a criterion (a row of failures, a rate):
  less than half have met one within an interval   ejected for a time, unless the share that may be is reached
  half or more                                     an outage: all these are suspects, however many
While it is out:
  its other requests end                           no news: they were sent before
  its time is over                                 it asks for one probe; for another, if that has no outcome
  the probe fails                                  ejected for longer; a suspect asks again after twice the time
  the probe succeeds                               it is back, with empty counters
In panic, where so few are left that all are used:
  a suspect answers a request sent since           the service is back, and all suspects with it
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..node import Node
from .ejection import Ejection
from .ejections import Ejections
from .probe import Probe
from .rates import Window
from .spec import OutlierDetection


class Detector:
    """Who of a target's backends is out. Implements `balancing.Watcher`; one for each target and specification.

    Args:
        spec: what the user says.
        nodes: all candidates, a list that its owner changes in place.
        now: the clock, in seconds.
        rng: spreads probes.
        changed: called when `out`, `suspended` or `wanted` has become another, or `due` earlier; within the call that
            made it so, at its end.

    `overflowed`: how often a backend met a criterion and stayed, because the share that may be ejected was reached.
    """

    def __init__(
        self,
        spec: OutlierDetection,
        *,
        nodes: Sequence[Node],
        now: Callable[[], float],
        rng: random.Random,
        changed: Callable[[], None],
    ) -> None:
        self.overflowed = 0
        self.interval = spec.interval
        self._spec = spec
        self._nodes = nodes
        self._now = now
        self._changed = changed
        self._window = Window(spec)
        self._ejections = Ejections(spec, now, rng)
        self._met: dict[Node, tuple[float, str]] = {}  # who met a criterion within an interval, no suspects, in order
        self._told: float | None = None  # what `due` was when it was last looked at
        self._closed = False

    @property
    def out(self) -> Mapping[Node, Ejection]:
        """Who must not be picked now, and why."""
        return self._ejections.out

    @property
    def ejected(self) -> int:
        """Those that are out for a time; no suspects."""
        return self._ejections.ejected

    @property
    def suspended(self) -> bool:
        """Whether so many are suspects that it is the service which is down: nobody is ejected."""
        suspects = len(self._ejections.suspects)
        return suspects > 0 and 2 * suspects >= len(self._nodes)

    # What it is told

    def failed(self, node: Node, *, throttled: bool) -> None:
        """A candidate failed. What one that is out does is no news."""
        if self._closed or node in self._ejections.out:
            return
        self._window.failed(node, self._nodes, self._now())
        row = self._spec.consecutive_failures
        # Every so many, not from so many on: one that may not be ejected is considered again, and counted once.
        if row is not None and not throttled and node.consecutive_failures % row == 0:
            self._meet(node, f"{row} failures in a row" if row > 1 else "a failure")
        self._tell()

    def recovered(self, node: Node) -> None:
        """A candidate succeeded that had failed."""
        ejection = self._ejections.suspects.get(node)
        if ejection is None:
            return
        if node.successes + node.failures > ejection.known:
            self._works(ejection)
            self._tell()
        else:
            node.consecutive_failures = 1  # so that the next success is told, too

    def left(self, nodes: Iterable[Node]) -> None:
        """These have left the list of candidates: what was known of them is forgotten."""
        for node in nodes:
            self._window.forget(node)
            self._met.pop(node, None)
            self._ejections.forget(node)
        self._keep_share()
        self._tell()

    def close(self) -> None:
        """Nothing is detected any more: all come back."""
        self._closed = True
        self._window.close(self.out)
        for node in tuple(self.out):
            self._bring_back(node)
        self._tell()

    # Time

    def due(self) -> float | None:
        """When `step` wants to be called next; None: no timer needs to run. Ask again after `step` and `changed`."""
        times = (self._ejections.due(), self._window.ends)
        return min((at for at in times if at is not None), default=None)

    def step(self) -> None:
        """Look at the clock; too early is harmless."""
        self._ejections.step()
        if self._window.ends is not None and self._window.ends <= self._now():
            for node, why in self._window.close(self.out):
                self._meet(node, why)
        self._tell()
        self._told = self.due()

    # Probes

    def wanted(self) -> bool:
        """Whether a backend waits for its probe: the next request should be it."""
        return bool(self._ejections.asking)

    def probe(self) -> Probe | None:
        """A record to send one request to, and the right to send it; None where none is wanted.

        Another may be sent an interval later: what has no outcome by then may be a stream that never ends.
        """
        if not self._ejections.asking:
            return None
        probe = self._ejections.probe(self._judge)
        self._tell()
        return probe

    def _judge(self, probe: Probe, went: bool | None) -> None:
        ejection = self._ejections.probed(probe)
        if ejection is None:
            return
        if went is None:
            self._ejections.ask_again(ejection, probe)
        elif went:
            self._works(ejection)
        elif ejection.suspect:
            self._ejections.ask_later(ejection)
        else:
            self._meet(probe.node, ejection.why)
        self._tell()

    # Going out

    def _meet(self, node: Node, why: str) -> None:
        """A criterion."""
        if len(self._nodes) < 2 or node not in self._nodes or node in self._ejections.suspects:
            return
        self._note(node, why)
        if self._is_outage():
            for each, (_, reason) in self._met.items():
                self._ejections.suspect(each, reason)
            self._met.clear()
        elif node in self.out or self._may_eject():
            self._ejections.eject(node, why)
        else:
            self.overflowed += 1

    def _note(self, node: Node, why: str) -> None:
        now, met = self._now(), self._met
        met.pop(node, None)
        met[node] = now, why
        while now - met[oldest := next(iter(met))][0] > self._spec.interval:
            del met[oldest]

    def _is_outage(self) -> bool:
        failing = len(self._met) + len(self._ejections.suspects)
        return self._spec.max_ejected > 0 and 2 * failing >= len(self._nodes)

    def _may_eject(self) -> bool:
        return len(self.out) + 1 < len(self._nodes) and self._is_share(self.ejected + 1)

    def _is_share(self, ejected: int) -> bool:
        """Whether so many may be ejected: a share of all; at least one, never all."""
        size, most = len(self._nodes), self._spec.max_ejected
        return most > 0 and ejected < size and (ejected == 1 or ejected / size <= most)

    # Coming back

    def _works(self, ejection: Ejection) -> None:
        """It answered a request that was sent since it is out."""
        if ejection.suspect and self._is_panic():
            # All are used. Came it back alone, the half that is back first would soon bear all the load.
            for node in tuple(self._ejections.suspects):
                self._bring_back(node)
            return
        self._bring_back(ejection.node)
        if ejection.suspect:
            self._ejections.hurry()

    def _is_panic(self) -> bool:
        size = len(self._nodes)
        return size - len(self.out) < self._spec.panic_threshold * size

    def _keep_share(self) -> None:
        """Fewer candidates: the share that is out may be too large. Who has been out for the longest comes back."""
        if len(self._nodes) >= 2 and self._is_share(self.ejected):
            return
        for node, ejection in tuple(self.out.items()):
            if len(self._nodes) < 2 or (not ejection.suspect and not self._is_share(self.ejected)):
                self._bring_back(node)

    def _bring_back(self, node: Node) -> None:
        self._ejections.bring_back(node)
        self._met.pop(node, None)
        self._window.restart(node)

    def _tell(self) -> None:
        due = self.due()
        sooner = due is not None and (self._told is None or due < self._told)
        if self._ejections.moved or sooner:
            self._ejections.moved, self._told = False, due
            self._changed()
