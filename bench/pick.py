"""Pick: the cost of choosing a backend and giving it back, beside a `with` that does nothing.

A hash policy is given another key each time, and to hash it is part of its cost. Its table is there, and the owners of
these keys have been found: that is done once for each change of the backends.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FunctionType, TracebackType
from typing import Protocol, Self, cast

import discovery

from .figures import Figure, amount
from .programs import ours, say

PICKS = 1000
"""In a row; then it is another's turn."""
TURNS = 200
NANOSECOND = 1e-9
POLICIES: dict[str, discovery.Balancer] = {
    "round_robin": discovery.RoundRobin(),
    "least_request": discovery.LeastRequest(),
    "peak_ewma": discovery.PeakEwma(),
    "rendezvous": discovery.RendezvousHash(),
    "maglev": discovery.Maglev(),
}
BOUNDS = {"round_robin": 4.0, "least_request": 6.0, "peak_ewma": 9.0, "rendezvous": 6.0, "maglev": 6.0}
FEW, MANY = 10, 5000
KEYS = [f"user-{number}".encode() for number in range(PICKS)]


def measure(runs: int) -> Iterator[Figure]:
    said = []
    for _ in range(runs):
        with ours("pick") as program:
            said.append(program.hear())
    nothing = [one["nothing"] for one in said]
    for name, bound in BOUNDS.items():
        few, many = [one[f"{name}_{FEW}"] for one in said], [one[f"{name}_{MANY}"] for one in said]
        title = name.replace("_", " ")
        yield Figure(
            name=f"pick_{name}",
            what=f"`with pool.pick()`, {title}, {FEW} backends",
            unit="x",
            runs=tuple(a / b for a, b in zip(few, nothing, strict=True)),
            at_most=bound,
            ours=amount(few, "ns", 1 / NANOSECOND),
            anchor=f"a pick that does nothing: {amount(nothing, 'ns', 1 / NANOSECOND)}",
        )
        yield Figure(
            name=f"pick_{name}_{MANY}",
            what=f"the same, {MANY:,} backends",
            unit="x",
            runs=tuple(a / b for a, b in zip(many, few, strict=True)),
            at_most=2.0,
            ours=amount(many, "ns", 1 / NANOSECOND),
            anchor=f"{FEW} backends: {amount(few, 'ns', 1 / NANOSECOND)}",
        )


class Nothing:
    """What a pick would be if there were nothing to do."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class NothingPool:
    __slots__ = ()

    def pick(self, key: bytes | None = None) -> Nothing:
        return Nothing()


class Picks(Protocol):
    def pick(self, key: bytes | None = None) -> AbstractContextManager[object]: ...


def _picks(pool: Picks) -> float:
    """Seconds of one pick."""
    start = time.perf_counter()
    for _ in range(PICKS):
        with pool.pick():
            pass
    return (time.perf_counter() - start) / PICKS


def _picks_by_key(pool: Picks) -> float:
    start = time.perf_counter()
    for key in KEYS:
        with pool.pick(key):
            pass
    return (time.perf_counter() - start) / PICKS


def _loop_of_its_own(name: str) -> Callable[[Picks], float]:
    """A loop with code of its own: the interpreter adapts code to what it meets, and one loop would meet all."""
    loop = _picks_by_key if name.startswith(("rendezvous", "maglev")) else _picks
    return cast("Callable[[Picks], float]", FunctionType(loop.__code__.replace(), globals()))


async def program() -> None:
    async with discovery.Discovery() as disco:
        pools: dict[str, Picks] = {"nothing": NothingPool()}
        for count in FEW, MANY:
            target = discovery.Static([(f"10.0.{index >> 8}.{index & 255}", 80) for index in range(count)])
            for name, balancer in POLICIES.items():
                pool = disco.pool(target, balancer=balancer, subset=discovery.Subset(size=None))
                await pool.ready(timeout=5)
                pools[f"{name}_{count}"] = pool
        taken: dict[str, list[float]] = {name: [] for name in pools}
        loops = {name: _loop_of_its_own(name) for name in pools}
        for _ in range(TURNS):
            for name, pool_of_turn in pools.items():
                taken[name].append(loops[name](pool_of_turn))
            await asyncio.sleep(0)
    say(**{name: statistics.median(times) for name, times in taken.items()})


if __name__ == "__main__":
    asyncio.run(program())
