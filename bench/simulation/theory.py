"""What queueing theory says of choosing at random, in turn and the better of two, for fleets without limit.

Times are in mean service times; `load` is the utilisation of the backends, above 0 and below 1. Each backend serves one
request at a time, for an exponentially distributed time.
"""

import math
from collections.abc import Callable
from itertools import count, takewhile

NEGLIGIBLE = 1e-15
HALVINGS = 60
"""Of an interval, until only rounding is left of it."""


def most_loaded(bins: int, choices: int) -> float:
    """Balls in the fullest of `bins` bins after as many balls, up to a constant.

    One choice: `ln n / ln ln n`. Two: `ln ln n / ln 2` (Azar, Broder, Karlin and Upfal 1994; Mitzenmacher 2001).
    """
    log_log = math.log(math.log(bins))
    return math.log(bins) / log_log if choices == 1 else log_log / math.log(choices)


def at_least(length: int, load: float, choices: int) -> float:
    """Share of backends with at least `length` requests: `load ^ ((d^length - 1) / (d - 1))` (the supermarket model).

    Each request goes to the least loaded of `d` random backends. One choice is the M/M/1 queue: `load ^ length`.
    """
    exponent = length if choices == 1 else (choices**length - 1) // (choices - 1)
    return math.exp(exponent * math.log(load))


def mean_time(load: float, choices: int) -> float:
    """Waiting and service: the sum of `load ^ ((d^i - d) / (d - 1))` over `i` from 1 on (Mitzenmacher 2001)."""
    return sum(_finds(load, choices))


def percentile_time(load: float, choices: int, percent: float) -> float:
    """The time that `percent` of the requests stay below.

    Who finds `k` before it waits for `k + 1` services, so P(T > t) is the sum over `k` of P(finds at least `k`) times
    the `k`-th term of a Poisson distribution of mean `t`.
    """
    finds = _finds(load, choices)
    return _where(lambda time: _exceeds(time, finds) < 1 - percent / 100, 1000 / (1 - load))


def mean_time_in_turn(load: float) -> float:
    """The mean time where one client takes many backends in turn: to each of them requests come evenly (D/M/1).

    `1 / (1 - s)`, where `s = exp((s - 1) / load)` (Kleinrock, Queueing Systems I, 6.4).
    """
    return 1 / (1 - _where(lambda s: math.exp((s - 1) / load) < s, 1 - 1e-9))


def most_chosen(clients: int, backends: int, size: int) -> float:
    """Clients of the most chosen backend over the mean, where each client has a random subset of that size.

    A backend has a binomial number of them; the largest of N normal variables is about `sqrt(2 ln N)` deviations up.
    """
    share = size / backends
    return 1 + math.sqrt(2 * math.log(backends) * (1 - share) / (clients * share))


def _finds(load: float, choices: int) -> list[float]:
    """The shares of requests that find at least 0, 1, 2, ... before them."""
    shares = (at_least(length, load, choices) ** choices for length in count())
    return list(takewhile(lambda share: share > NEGLIGIBLE, shares))


def _exceeds(time: float, finds: list[float]) -> float:
    return sum(share * math.exp(k * math.log(time) - time - math.lgamma(k + 1)) for k, share in enumerate(finds))


def _where(is_beyond: Callable[[float], bool], high: float) -> float:
    """The least number above 0 from which on it is beyond; at `high` it is."""
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_beyond(middle) else (middle, high)
    return high
