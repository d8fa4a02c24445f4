"""How a backend of a benchmark answers, and how it is told so from another process."""

import asyncio
import json
import random
from collections.abc import Iterable
from typing import Any, Self

import attrs

WIDEST = 1 << 26
"""Bytes of one line at most: the arrivals of a whole benchmark are told in one."""


@attrs.frozen(kw_only=True)
class Behaviour:
    """Of one backend, from now on.

    Args:
        status: of its answers.
        mean: seconds that a request takes, drawn from the exponential distribution; 0 is at once.
        slow: the share of requests that take `times` as long.
        times: see `slow`.
        hangs: it takes requests, and answers none.
        gone: it refuses connections, and has cut those it had.
    """

    status: int = 200
    mean: float = 0.0
    slow: float = 0.0
    times: float = 100.0
    hangs: bool = False
    gone: bool = False

    def seconds(self, rng: random.Random) -> float:
        """How long the next request takes."""
        if not self.mean:
            return 0.0
        drawn = rng.expovariate(1 / self.mean)
        return drawn * self.times if self.slow and rng.random() < self.slow else drawn


@attrs.frozen
class Remote:
    """Backends in another process: their ports, and what they are told and asked."""

    ports: tuple[int, ...]
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, control: int) -> Self:
        """By the port at which they take orders."""
        reader, writer = await asyncio.open_connection("127.0.0.1", control, limit=WIDEST)
        return cls(tuple(json.loads(await reader.readline())["ports"]), reader, writer)

    async def become(self, behaviour: Behaviour, which: Iterable[int] | None = None) -> None:
        """These (None: all) behave so from now on."""
        indexes = list(range(len(self.ports)) if which is None else which)
        await self._ask(become=attrs.asdict(behaviour), which=indexes)

    async def arrivals(self) -> list[list[float]]:
        """For each backend, when its requests came, in seconds of the monotonic clock; told once, then forgotten."""
        told: list[list[float]] = (await self._ask(arrivals=True))["arrivals"]
        return told

    async def connections(self) -> int:
        """How many have been made, to all of them."""
        made: int = (await self._ask(connections=True))["connections"]
        return made

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _ask(self, **order: Any) -> dict[str, Any]:
        self._writer.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._reader.readline())
        return answer
