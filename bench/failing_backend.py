"""A failing backend: one of 10 begins to answer 500 at once, which draws requests to it, as it always has the fewest.

500 is not a status that is tried again: what is seen here is what outlier detection lets through. The time is longer
than an ejection, so that the backend's next chance counts too.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

from .figures import Figure, amount
from .programs import ours, say
from .traffic.behaviour import Behaviour, Remote
from .traffic.load import open_loop
from .traffic.through import HOST, through

BACKENDS = 10
RATE = 500
MEAN = 0.005
BEFORE = 1.0
SETTLED = 1.0
"""Seconds after the first failure, from which on it counts."""
AFTER = 34.0


def measure(runs: int) -> Iterator[Figure]:
    said = []
    with ours("traffic.backends", str(BACKENDS)) as backends:
        control = str(backends.hear()["control"])
        for _ in range(runs):
            with ours("failing_backend", control) as program:
                said.append(program.hear())
    yield Figure(
        name="failing_backend_seen",
        what=f"requests that see the one of {BACKENDS} backends that answers 500, {SETTLED:g} s after it began",
        unit="%",
        runs=tuple(100 * one["seen"] / one["requests"] for one in said),
        at_most=0.5,
        ours=f"{amount((one['seen'] for one in said), 'requests')} of {amount((one['requests'] for one in said), '')}",
    )
    yield Figure(
        name="failing_backend_picked",
        what="attempts that are sent to it",
        unit="%",
        runs=tuple(100 * one["picked"] / one["attempts"] for one in said),
        at_most=1,
        ours=f"in the first second {amount((one['first'] for one in said), 'requests')}",
    )


async def drive(control: int) -> None:
    backends = await Remote.connect(control)
    await backends.become(Behaviour(mean=MEAN))
    async with through(backends.ports) as session:
        url = f"http://{HOST}/orders"
        await open_loop(session, url, rate=RATE, seconds=BEFORE)
        await backends.arrivals()
        await backends.become(Behaviour(status=500), [0])
        settled = time.monotonic() + SETTLED
        done = await open_loop(session, url, rate=RATE, seconds=SETTLED + AFTER)
        arrivals = await backends.arrivals()
    await backends.aclose()
    counted = [one for one in done if one.began >= settled]
    say(
        requests=len(counted),
        seen=sum(not one.well for one in counted),
        picked=sum(came >= settled for came in arrivals[0]),
        attempts=sum(came >= settled for backend in arrivals for came in backend),
        first=sum(came < settled for came in arrivals[0]),
    )


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1])))
