"""Hedging: the far tail where 1 % of answers take 100 times as long, with and without a second copy, in turn."""

import asyncio
import itertools
import sys
from collections.abc import Iterator

import discovery

from .figures import Figure, amount, percentile, ratios
from .programs import ours, say
from .traffic.behaviour import Behaviour, Remote
from .traffic.load import Exchange, closed_loop, latencies
from .traffic.through import HOST, through

BACKENDS = 10
BEHAVIOUR = Behaviour(mean=0.005, slow=0.01, times=100)
CLIENTS = 16
SECONDS = 5.0
"""In a row; then it is the other's turn."""
TURNS = 3


def measure(runs: int) -> Iterator[Figure]:
    said = []
    with ours("traffic.backends", str(BACKENDS)) as backends:
        control = str(backends.hear()["control"])
        for _ in range(runs):
            with ours("hedging", control) as program:
                said.append(program.hear())
    yield Figure(
        name="hedging_tail",
        what="p99.9 without hedging beside that with it, 1 % of answers 100 times slower",
        unit="x",
        runs=ratios([one["without"] for one in said], [one["hedged"] for one in said]),
        at_least=5,
        ours=amount((one["hedged"] for one in said), "ms", 1000),
        anchor=f"without: {amount((one['without'] for one in said), 'ms', 1000)}",
    )
    yield Figure(
        name="hedging_load",
        what="requests more for that",
        unit="%",
        runs=tuple(100 * (one["attempts"] / one["requests"] - 1) for one in said),
        at_most=5,
        ours=f"{amount((one['attempts'] for one in said), 'attempts')}",
        anchor=f"{amount((one['requests'] for one in said), 'requests')}",
    )


async def drive(control: int) -> None:
    backends = await Remote.connect(control)
    await backends.become(BEHAVIOUR)
    without: list[Exchange] = []
    hedged: list[Exchange] = []
    attempts = 0
    url = f"http://{HOST}/orders"
    async with through(backends.ports) as plain, through(backends.ports, hedging=discovery.Hedging()) as hedging:
        for turn in range(TURNS + 1):
            await backends.arrivals()
            done = await closed_loop(hedging, itertools.repeat(url), clients=CLIENTS, seconds=SECONDS)
            arrivals = await backends.arrivals()
            if turn:  # in the first it learns what is slow
                hedged += done
                attempts += sum(map(len, arrivals))
                without += await closed_loop(plain, itertools.repeat(url), clients=CLIENTS, seconds=SECONDS)
    await backends.aclose()
    assert all(one.well for one in without + hedged)
    say(
        without=percentile(latencies(without), 99.9),
        hedged=percentile(latencies(hedged), 99.9),
        attempts=attempts,
        requests=len(hedged),
    )


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1])))
