"""Clients that send requests without pause, and what became of each request."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple, Self

import aiohttp


class Answer(NamedTuple):
    """One request that got what it asked for. Times are those of time.monotonic, in seconds."""

    pod: str
    node: str
    began: float
    took: float


class Failure(NamedTuple):
    """One request that did not: what its caller saw instead."""

    began: float
    took: float
    error: str


class Load:
    """`clients` tasks that GET a URL of the pods' server, each its next one after its last, until the block ends.

    `pause` is the time between two requests of one client. Requests under way at the end are finished and counted.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, clients: int, pause: float = 0.0) -> None:
        self._http, self._url, self._clients, self._pause = http, url, clients, pause
        self._ends = False
        self._waiting: list[tuple[Callable[[Answer], bool], asyncio.Future[None]]] = []
        self.answers: list[Answer] = []
        self.failures: list[Failure] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends = True
        await asyncio.gather(*self._tasks)

    async def until(self, condition: Callable[[Answer], bool], *, timeout: float = 60.0) -> None:
        """Wait for an answer that fulfils a condition."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((condition, done))
        async with asyncio.timeout(timeout):
            await done

    async def reach(self, count: int, *, timeout: float = 120.0) -> None:
        """Wait until there are so many answers in all."""
        if len(self.answers) < count:
            await self.until(lambda _: len(self.answers) >= count, timeout=timeout)

    async def last(self, seconds: float) -> None:
        """Go on for so long: until a request that began then is answered."""
        then = time.monotonic() + seconds
        await self.until(lambda answer: answer.began >= then, timeout=seconds + 30)

    async def _client(self) -> None:
        while not self._ends:
            began = time.monotonic()
            try:
                async with self._http.get(self._url) as response:
                    response.raise_for_status()
                    said = await response.json()
            except (aiohttp.ClientError, OSError) as error:
                self.failures.append(Failure(began, time.monotonic() - began, f"{type(error).__name__}: {error}"))
                await asyncio.sleep(0.05)  # a failure comes at once: without this it would be the only thing to happen
                continue
            self._note(Answer(said["pod"], said["node"], began, time.monotonic() - began))
            if self._pause:
                await asyncio.sleep(self._pause)

    def _note(self, answer: Answer) -> None:
        self.answers.append(answer)
        for waiting in [entry for entry in self._waiting if entry[0](answer)]:
            self._waiting.remove(waiting)
            if not waiting[1].done():
                waiting[1].set_result(None)
