"""Load: clients that wait for their answers (a closed loop), and requests that come whatever happens (an open one)."""

import asyncio
import math
import time
from collections.abc import Iterable, Iterator

import aiohttp
import attrs


@attrs.frozen
class Exchange:
    """One request: when it began, in seconds of the monotonic clock, how long it took, and its status.

    `status` is 0 where there was no answer; `error` is the exception's name then.
    """

    began: float
    seconds: float
    status: int
    error: str = ""

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    @property
    def well(self) -> bool:
        return self.status == 200


async def ask(session: aiohttp.ClientSession, url: str) -> Exchange:
    """One GET, with its body."""
    began = time.monotonic()
    try:
        async with session.get(url) as response:
            await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return Exchange(began, time.monotonic() - began, 0, type(error).__name__)
    return Exchange(began, time.monotonic() - began, response.status)


async def closed_loop(
    session: aiohttp.ClientSession, urls: Iterator[str], *, clients: int, seconds: float = math.inf
) -> list[Exchange]:
    """So many clients, each with one request at a time, for so long or while there are `urls`; all are answered."""
    until = time.monotonic() + seconds
    done: list[Exchange] = []

    async def work() -> None:
        for url in urls:
            done.append(await ask(session, url))
            if time.monotonic() >= until:
                break

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(work())
    return done


async def open_loop(session: aiohttp.ClientSession, url: str, *, rate: float, seconds: float) -> list[Exchange]:
    """So many requests a second, evenly, for so long, whether or not those before have been answered."""
    start = time.monotonic()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(start + number / rate - time.monotonic())
            tasks.append(group.create_task(ask(session, url)))
    return [task.result() for task in tasks]


def latencies(exchanges: Iterable[Exchange]) -> list[float]:
    """Seconds of those that went well."""
    return [one.seconds for one in exchanges if one.well]


def most_in_a_second(times: Iterable[float]) -> int:
    """The most of these moments that lie within any one second."""
    ordered = sorted(times)
    first = most = 0
    for last, now in enumerate(ordered):
        while now - ordered[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most
