"""Those that are out: for how long, when each is probed, and what is remembered of one that is back.

Who goes out, and who comes back, is not decided here.
"""

import random
from collections.abc import Callable

from ..node import Node
from .ejection import Ejection, Schedule
from .probe import Probe
from .spec import OutlierDetection

FIRST_PROBE = 1.0
"""Seconds until a suspect's first probe; then twice as long each time, up to an interval. Linkerd's first penalty."""

JITTER = 0.5
"""A suspect's probe comes after U(0.5, 1) of that time, lest many clients try a service that gets up all at once."""


PATIENCE = 10.0
"""A probe that was cancelled is repeated after so many times as long as it took, an interval at most.

At once, where the caller went away at once; seldom, where the backend hangs, and a hedge or the caller's own time limit
cuts each probe off.
"""


class Ejections:
    """All that are out of one detector.

    `out`: every one, the longest first. `suspects`: those of them that are suspects. `asking`: those that wait for
    their probe. `moved`: whether any of these became another since it was last set to False.
    """

    def __init__(self, spec: OutlierDetection, now: Callable[[], float], rng: random.Random) -> None:
        self.out: dict[Node, Ejection] = {}
        self.suspects: dict[Node, Ejection] = {}
        self.asking: dict[Node, Ejection] = {}
        self.moved = False
        self._spec = spec
        self._now = now
        self._rng = rng
        self._schedule = Schedule()
        self._past: dict[Node, tuple[int, float]] = {}  # ejections so far, and when the last one ended
        self._hurried = float("-inf")

    @property
    def ejected(self) -> int:
        """Those that are out for a time; no suspects."""
        return len(self.out) - len(self.suspects)

    def eject(self, node: Node, why: str) -> None:
        """For a time; for longer, if it is already."""
        ejection = self._put_out(node, why)
        ejection.times += 1
        ejection.probe = None
        ejection.seconds = self._spec.lasts(ejection.times)
        self._schedule.put(ejection, self._now() + ejection.seconds)

    def suspect(self, node: Node, why: str) -> None:
        """Until a probe succeeds; an ejection that it is under is suspended, and does not count."""
        suspended = node in self.out
        ejection = self._put_out(node, why)
        ejection.times -= suspended
        ejection.suspect = True
        # Those under way were sent before: after as many outcomes, the next one is of a later request.
        ejection.known = node.successes + node.failures + node.in_flight
        node.consecutive_failures = max(node.consecutive_failures, 1)  # so that the next success is told
        self.suspects[node] = ejection
        self._ask_within(ejection, min(FIRST_PROBE, self._spec.interval))

    def bring_back(self, node: Node) -> None:
        """With an empty row of failures, and slowly where the pool starts backends slowly."""
        ejection = self._take_off(node)
        node.since = self._now()
        if ejection.times:
            self._past[node] = ejection.times, node.since

    def forget(self, node: Node) -> None:
        """It is no candidate any more."""
        self._past.pop(node, None)
        if node in self.out:
            self._take_off(node)

    # Probes

    def due(self) -> float | None:
        """When the first asks for its probe."""
        return self._schedule.first()

    def step(self) -> None:
        """Those whose time has come ask."""
        for ejection in self._schedule.due(self._now()):
            self.moved = self.moved or not self.asking
            self.asking[ejection.node] = ejection

    def probe(self, judged: Callable[[Probe, bool | None], None]) -> Probe:
        """Take the probe of the one that has asked for the longest. It asks again after an interval, just in case."""
        node, ejection = next(iter(self.asking.items()))
        self._answer(node)
        ejection.probe = Probe(node, judged, self._now())
        self._schedule.put(ejection, self._now() + self._spec.interval)
        return ejection.probe

    def probed(self, probe: Probe) -> Ejection | None:
        """What the probe tells of; None if it has told, if that is over, or another has been sent since."""
        ejection = self.out.get(probe.node)
        return ejection if ejection is not None and ejection.probe is probe else None

    def ask_again(self, ejection: Ejection, probe: Probe) -> None:
        """The probe ended without an outcome."""
        if ejection.node not in self.asking:
            now = self._now()
            self._schedule.put(ejection, now + min(PATIENCE * (now - probe.sent_at), self._spec.interval))
            self.step()

    def ask_later(self, ejection: Ejection) -> None:
        """A suspect's probe failed: wait twice as long."""
        self._answer(ejection.node)
        self._ask_within(ejection, min(2 * ejection.seconds, self._spec.interval))

    def hurry(self) -> None:
        """Where one suspect is back, others may be: have each probed within a second, once a second at most."""
        now = self._now()
        if now - self._hurried < FIRST_PROBE:
            return
        self._hurried = now
        for ejection in self.suspects.values():
            soon = now + FIRST_PROBE * self._rng.uniform(JITTER, 1)
            if ejection.probe is None and ejection.asks_at is not None and ejection.asks_at > soon:
                self._schedule.put(ejection, soon)

    # In and out

    def _put_out(self, node: Node, why: str) -> Ejection:
        self.moved = True
        self._answer(node)
        return self.out.setdefault(node, Ejection(node=node, why=why, times=self._times(node)))

    def _take_off(self, node: Node) -> Ejection:
        self.moved = True
        self._answer(node)
        ejection = self.out.pop(node)
        ejection.asks_at = None
        self.suspects.pop(node, None)
        node.consecutive_failures = 0
        return ejection

    def _times(self, node: Node) -> int:
        """Ejections so far, less one for each interval that it has been well (Envoy, gRPC A50)."""
        times, since = self._past.get(node, (0, 0.0))
        return max(0, times - int((self._now() - since) / self._spec.interval)) if times else 0

    def _ask_within(self, ejection: Ejection, seconds: float) -> None:
        ejection.probe = None
        ejection.seconds = seconds
        self._schedule.put(ejection, self._now() + seconds * self._rng.uniform(JITTER, 1))

    def _answer(self, node: Node) -> None:
        if self.asking.pop(node, None) is not None:
            self.moved = self.moved or not self.asking
