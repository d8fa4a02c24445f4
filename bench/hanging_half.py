"""Half of the backends hang: they take requests and never answer. Only a limit on the answer tells.

From 10 s after the onset on, the tail must be as if those backends were not there, but for one try that may be lost;
before, no request takes longer than its deadline. All the while, attempts stay within the budget of retries.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

import discovery

from .figures import Figure, amount, percentile
from .programs import ours, say
from .traffic.behaviour import Behaviour, Remote
from .traffic.load import most_in_a_second, open_loop
from .traffic.through import HOST, through

BACKENDS = 10
RATE = 300
MEAN = 0.005
PER_TRY = 0.25
DEADLINE = 1.0
LEEWAY = 0.05
BEFORE = 3.0
SETTLED = 10.0
"""Seconds after the onset, from which on the tail counts."""
AFTER = 10.0
BUDGET = discovery.RetryBudget()
RETRY = discovery.RetryPolicy(per_try_timeout=PER_TRY, deadline=DEADLINE, budget=BUDGET)
MOST = 1 + BUDGET.ratio + BUDGET.minimum_per_second / RATE
"""Attempts for each request."""


def measure(runs: int) -> Iterator[Figure]:
    said = []
    with ours("traffic.backends", str(BACKENDS)) as backends:
        control = str(backends.hear()["control"])
        for _ in range(runs):
            with ours("hanging_half", control) as program:
                said.append(program.hear())
    yield Figure(
        name="hanging_half_p99",
        what=f"p99 with half of {BACKENDS} backends hanging, {SETTLED:g} s after the onset",
        unit="ms",
        runs=tuple(1000 * one["p99"] for one in said),
        at_most=1000 * (PER_TRY + LEEWAY),
        ours=f"{amount((one['failed'] for one in said), 'requests')} failed",
        anchor=f"a try may take {1000 * PER_TRY:g} ms",
    )
    yield Figure(
        name="hanging_half_worst",
        what="the longest request before that",
        unit="ms",
        runs=tuple(1000 * one["worst"] for one in said),
        at_most=1000 * (DEADLINE + LEEWAY),
        ours=f"{amount((one['failed_before'] for one in said), 'requests')} failed",
        anchor=f"a deadline of {1000 * DEADLINE:g} ms",
    )
    yield Figure(
        name="hanging_half_attempts",
        what="the most attempts in any second of it, for each request",
        unit="x",
        runs=tuple(one["most"] / RATE for one in said),
        at_most=round(MOST, 3),
        anchor="the default budget",
    )


async def drive(control: int) -> None:
    backends = await Remote.connect(control)
    await backends.become(Behaviour(mean=MEAN))
    async with through(backends.ports, retry=RETRY) as session:
        url = f"http://{HOST}/orders"
        await open_loop(session, url, rate=RATE, seconds=BEFORE)
        await backends.arrivals()
        await backends.become(Behaviour(hangs=True), range(0, BACKENDS, 2))
        settled = time.monotonic() + SETTLED
        done = await open_loop(session, url, rate=RATE, seconds=SETTLED + AFTER)
        arrivals = await backends.arrivals()
    await backends.aclose()
    before = [one for one in done if one.began < settled]
    after = [one for one in done if one.began >= settled]
    say(
        p99=percentile((one.seconds for one in after), 99),
        failed=sum(not one.well for one in after),
        worst=max(one.seconds for one in before),
        failed_before=sum(not one.well for one in before),
        most=most_in_a_second(came for backend in arrivals for came in backend),
    )


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1])))
