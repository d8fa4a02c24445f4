"""The rates of one interval: who fails more than a share of its requests, who succeeds less than the others.

An interval begins with a failure after calm. So a pool in which nothing fails keeps no statistics, and no timer runs.
"""

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..node import Node
from .spec import OutlierDetection

DIFFERENCE = 0.05
"""A success rate less than this below the mean is no outlier's.

Envoy and gRPC have no such bound: where all succeed, a single failure in 1,000 requests is "1.9 standard deviations"
below the mean of 10 backends, and ejects.
"""

CHANCE = 3.0
"""Standard errors that chance is granted: it exceeds them once in 700 times.

Of 10 equal backends that fail 1 % of 1,000 requests each, Envoy's rule alone ejects one in every third interval.
"""


class Tally(NamedTuple):
    """What became of a backend's requests in an interval."""

    node: Node
    successes: int
    failures: int

    @property
    def volume(self) -> int:
        """Outcomes; what was cancelled or ignored is none."""
        return self.successes + self.failures

    @property
    def rate(self) -> float:
        """The share that succeeded."""
        return self.successes / self.volume


def failing(tallies: Iterable[Tally], spec: OutlierDetection) -> Iterator[tuple[Node, str]]:
    """Those of which more than `failure_percentage` failed, and what to say of them (gRPC A50)."""
    limit = spec.failure_percentage
    heard = [tally for tally in tallies if tally.volume >= spec.failure_percentage_volume]
    if limit is None or len(heard) < spec.failure_percentage_hosts:
        return
    for node, successes, failures in heard:
        if 100 * failures > limit * (successes + failures):
            yield node, f"{failures} of {successes + failures} requests failed"


def behind(tallies: Iterable[Tally], spec: OutlierDetection) -> Iterator[tuple[Node, str]]:
    """Those whose success rate is notably below the mean of all that were heard of enough (Envoy, gRPC A50)."""
    factor = spec.success_rate_stdev
    heard = [tally for tally in tallies if tally.volume >= spec.success_rate_volume]
    if factor is None or len(heard) < spec.success_rate_hosts:
        return
    mean, deviation = moments([tally.rate for tally in heard])
    for tally in heard:
        if tally.rate < mean - notable(mean, factor * deviation, tally.volume):
            yield tally.node, f"a success rate of {tally.rate:.0%}, where the mean is {mean:.0%}"


def moments(rates: Sequence[float]) -> tuple[float, float]:
    """Their mean, and the standard deviation of the whole population."""
    mean = sum(rates) / len(rates)
    return mean, math.sqrt(sum((rate - mean) ** 2 for rate in rates) / len(rates))


def notable(mean: float, spread: float, volume: int) -> float:
    """How far below the mean a success rate is an outlier's.

    Args:
        mean: of all rates, from 0 to 1.
        spread: standard deviations times their factor.
        volume: requests that the rate is of. The fewer, the more of it is chance (the binomial's standard error).
    """
    error = math.sqrt(mean * (1 - mean) / volume)
    return max(spread, CHANCE * error, DIFFERENCE)


class Window:
    """The interval that runs now, if any. `ends`: when, None while all is well."""

    def __init__(self, spec: OutlierDetection) -> None:
        self.ends: float | None = None
        self._spec = spec
        self._idle = spec.failure_percentage is spec.success_rate_stdev is None
        self._counts: dict[Node, tuple[int, int]] = {}  # of successes and failures when it began

    def failed(self, node: Node, nodes: Iterable[Node], now: float) -> None:
        """A node has failed and counted that; `nodes` are all of which rates are taken."""
        if self._idle:
            return
        if self.ends is None:
            self.ends = now + self._spec.interval
            self._counts = {each: (each.successes, each.failures) for each in nodes if each is not node}
        self._counts.setdefault(node, (node.successes, node.failures - 1))

    def restart(self, node: Node) -> None:
        """What it did so far does not count."""
        if node in self._counts:
            self._counts[node] = (node.successes, node.failures)

    def forget(self, node: Node) -> None:
        """It is none of them any more."""
        self._counts.pop(node, None)

    def close(self, out: Container[Node]) -> list[tuple[Node, str]]:
        """End it: who was an outlier, those that are `out` already aside, and what to say of each."""
        tallies = [
            Tally(node, node.successes - successes, node.failures - failures)
            for node, (successes, failures) in self._counts.items()
            if node not in out
        ]
        self.ends = None
        self._counts = {}
        return list({**dict(behind(tallies, self._spec)), **dict(failing(tallies, self._spec))}.items())
