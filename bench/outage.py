"""An outage: all 10 backends fail for 10 s under 500 requests a second, and come back.

Twice: once they answer 503 at once, once they refuse connections. Those who wait for the service must not make it
worse: no backend may meet many more attempts than usual, neither while it is down nor when it returns, and soon after
that every request must be served again, by all of them.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Iterator, Sequence

import aiohttp

from .figures import Figure, amount
from .programs import ours, say
from .traffic.behaviour import Behaviour, Remote
from .traffic.load import Exchange, most_in_a_second, open_loop
from .traffic.through import HOST, through

BACKENDS = 10
RATE = 500
SHARE = RATE / BACKENDS
"""Requests a second for each."""
STARTING = 1.0
BEFORE = 4.0
OUTAGE = 10.0
AFTER = 5.0
KINDS = {"503": Behaviour(status=503), "refused": Behaviour(gone=True)}
TITLES = {"503": "answer 503", "refused": "refuse connections"}


def measure(runs: int) -> Iterator[Figure]:
    for kind, title in TITLES.items():
        said = []
        with ours("traffic.backends", str(BACKENDS)) as backends:
            control = str(backends.hear()["control"])
            for _ in range(runs):
                with ours("outage", control, kind) as program:
                    said.append(program.hear())
        yield Figure(
            name=f"outage_{kind}_attempts",
            what=f"the most attempts on a backend in a second, to its normal: all {title} for {OUTAGE:g} s",
            unit="x",
            runs=tuple(one["most"] / SHARE for one in said),
            at_most=1.25,
            ours=amount((one["most"] for one in said), "attempts/s"),
            anchor=f"normal {SHARE:g}; the most before {amount((one['usual'] for one in said), 'attempts/s')}",
        )
        yield Figure(
            name=f"outage_{kind}_recovery",
            what="from its return until all requests are served, by all backends",
            unit="s",
            runs=tuple(one["recovery"] for one in said),
            at_most=2,
            ours=f"{amount((one['failed'] for one in said), 'requests')} failed before, of {int(RATE * OUTAGE):,}",
        )


class Refused:
    """When connections were tried, by port: nobody but the client sees those that are refused."""

    def __init__(self) -> None:
        self.tried: list[tuple[int, float]] = []

    def make(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket, as aiohttp makes one."""
        family, kind, protocol, _, place = address
        self.tried.append((int(place[1]), time.monotonic()))
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def recovery(done: Sequence[Exchange], arrivals: Sequence[Sequence[float]], returned: float) -> float:
    """Seconds from `returned` until no more request fails and each backend has half of its usual share or more."""
    failed = (one.ended - returned for one in done if not one.well and one.began >= returned)
    return max([0.0, *failed, *(_idle(came, returned) for came in arrivals)])


def _idle(came: Sequence[float], returned: float) -> float:
    """Seconds from `returned` until the last whole second in which a backend was asked for less than half of it."""
    lacking = 0.0
    for tenth in range(int(10 * (AFTER - 1)) + 1):
        start = returned + tenth / 10
        if sum(start <= at < start + 1 for at in came) < SHARE / 2:
            lacking = (tenth + 1) / 10
    return lacking


async def drive(control: int, kind: str) -> None:
    backends = await Remote.connect(control)
    await backends.become(Behaviour())
    refused = Refused()
    connector = aiohttp.TCPConnector(limit=0, socket_factory=refused.make)
    async with through(backends.ports, connector=connector) as session:
        loading = asyncio.create_task(
            open_loop(session, f"http://{HOST}/orders", rate=RATE, seconds=STARTING + BEFORE + OUTAGE + AFTER)
        )
        await asyncio.sleep(STARTING)
        await backends.arrivals()
        await asyncio.sleep(BEFORE)
        usual = max(most_in_a_second(came) for came in await backends.arrivals())
        await backends.become(KINDS[kind])
        began = time.monotonic()
        await asyncio.sleep(OUTAGE)
        gone = time.monotonic()
        await backends.become(Behaviour())
        returned = time.monotonic()
        done = await loading
        arrivals = await backends.arrivals()
    await backends.aclose()
    attempts = [list(came) for came in arrivals]
    if KINDS[kind].gone:
        for port, at in refused.tried:
            if began <= at < gone:
                attempts[backends.ports.index(port)].append(at)
    say(
        usual=usual,
        most=max(most_in_a_second(came) for came in attempts),
        recovery=recovery(done, arrivals, returned),
        failed=sum(not one.well for one in done if began <= one.began < gone),
    )


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1]), sys.argv[2]))
