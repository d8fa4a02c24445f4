"""The one whose answers are quickest for what it has to do: latency, as its peaks are remembered, times load."""

import math
import random
from math import exp

import attrs

from ..checks import seconds as positive
from .node import Key, Members, Node, Picker

LONGEST_PENALTY = 300.0
"""Seconds for which a backend is believed that it wants no requests (Linkerd's load-biaser)."""
SEARCH = 16
"""Backends among which one is looked for when both that were drawn must not be picked."""


@attrs.frozen(kw_only=True)
class PeakEwma:
    """The better of two distinct random backends by latency x (requests in flight + 1) / weight.

    The latency is a moving average that takes over a higher time at once and a lower one by and by, with the weight
    1 - exp(-age / decay) (Finagle, Linkerd). What is not used decays towards 0 the same way, and so is tried again.

    One that was never measured counts as one of `initial` seconds, measured when it came, and gets one request at a
    time until it has answered, while there are others to pick. A failure counts as an answer of `penalty` seconds, or
    of what its Retry-After asks for up to 300: one that fails quickly is not the quickest.

    Latency is told by this policy's pools (`observe`), and kept in the record that all pools of the target share. Two
    pools with different settings may share it: both see the same peaks, each lets them decay at its own pace, and a
    failure lasts as long as the `penalty` of the pool that met it.

    Args:
        decay: seconds in which a peak's weight falls to 1/e (Finagle's and Linkerd's 10).
        initial: seconds that an answer is thought to take before there is one (Linkerd's default_rtt, 30 ms).
        penalty: seconds that a failure counts as (Linkerd's load-biaser, 5).

    Raises:
        ConfigurationError: one of them is not a finite number above 0.
    """

    decay: float = attrs.field(default=10.0, validator=positive())
    initial: float = attrs.field(default=0.03, validator=positive())
    penalty: float = attrs.field(default=5.0, validator=positive())

    def observe(self, node: Node, seconds: float, now: float, *, failed: bool, retry_after: float | None) -> None:
        """An answer took so long, or failed. A time that is no positive number, or before the last, is ignored."""
        age = now - node.measured
        if not 0.0 <= age < math.inf:
            return
        if failed:
            asked = retry_after if retry_after is not None and retry_after > 0 else self.penalty
            node.latency = max(min(asked, LONGEST_PENALTY), node.latency * exp(-age / self.decay))
            node.measured = now
        elif 0.0 < seconds < math.inf:
            peak = node.latency
            if seconds < peak:
                seconds += (peak - seconds) * exp(-age / self.decay)
            node.latency = seconds
            node.measured = now

    def cost(self, node: Node, now: float, weight: float = 1.0) -> float:
        """What is compared: seconds that another request would take, were requests answered one after the other."""
        latency, at = (node.latency, node.measured) if node.latency else (self.initial, node.since)
        return latency * exp(-max(now - at, 0.0) / self.decay) * (node.in_flight + 1) / weight

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """The better of two, at each call."""
        nodes = members.nodes
        draw = rng.random
        decay, initial = self.decay, self.initial
        unknown = Unknown(members, self)

        def pick(_key: Key) -> Node:
            size = len(nodes)
            if size == 1:
                return nodes[0]
            at = draw() * size
            one = int(at)
            two = int((at - one) * (size - 1))  # what is left of it is as good as another draw, and half the price
            first, second = nodes[one], nodes[two + (two >= one)]
            here, there, age = first.latency, second.latency, second.measured - first.measured
            if not here or not there:
                if _is_awaited(first) or _is_awaited(second):
                    return unknown.better(first, second, one)
                age = (second.measured if there else second.since) - (first.measured if here else first.since)
                here, there = here or initial, there or initial
            # Costs are compared at the time of the later measurement: what both would decay since then is the same.
            if age > 0:
                here *= exp(-age / decay)
            else:
                there *= exp(age / decay)
            here *= first.in_flight + 1
            there *= second.in_flight + 1
            if members.weighted:
                here *= members.weight(second)
                there *= members.weight(first)
            return first if here <= there else second

        return pick


class Unknown:
    """Picks where the first answer of somebody is awaited."""

    def __init__(self, members: Members, policy: PeakEwma) -> None:
        self._members = members
        self._policy = policy

    def better(self, first: Node, second: Node, place: int) -> Node:
        """Of two, or, where both wait for a first answer, of others too; `place`: where to look from."""
        nodes, now = self._members.nodes, self._members.now()
        free = [node for node in (first, second) if not _is_awaited(node)]
        if not free:
            around = [nodes[(place + step) % len(nodes)] for step in range(min(len(nodes), SEARCH))]
            free = [node for node in around if not _is_awaited(node)]
        return min(free or (first, second), key=lambda node: self._policy.cost(node, now, self._members.weight(node)))


def _is_awaited(node: Node) -> bool:
    """Whether its first answer is under way."""
    return not node.latency and node.in_flight > 0
