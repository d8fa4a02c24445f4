"""One attempt of one request at one backend: what is sent there, its limits of time, and how long its load counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx

from ...lease import Lease
from ...retrying import Outcome
from .errors import DeadlineExceeded, Unanswered, Unconnected, judge, placed

Trace = Callable[[str, Mapping[str, Any]], Awaitable[object]]
"""What httpcore calls with the name of each step, by the request's extension `trace`."""


class Progress:
    """How far an attempt has come, as the transport tells of it, and its limit of time.

    A wait for a free connection of httpx's own pool is no fault of the backend: `per_try_timeout` counts from its end.

    Args:
        limit: when an attempt that begins now must be over, in the loop's time; None is never.
        user: what the program itself wants told.
        tells: whether the transport tells of its steps. If not, all of them count, and the request may have been sent.
    """

    def __init__(
        self, limit: Callable[[], float | None], end: float | None, user: Trace | None, *, tells: bool
    ) -> None:
        self._connecting = self._sent = not tells
        self._limit = limit
        self._user = user
        self.limit = asyncio.timeout_at(end if tells else limit())

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        """A step of the transport."""
        if not (self._connecting or self.limit.expired()):
            self._connecting = True
            self.limit.reschedule(self._limit())
        self._sent = self._sent or name.endswith("send_request_headers.started")
        if self._user is not None:
            await self._user(name, info)

    def late(self, place: str, name: str) -> Exception:
        """The error for when the limit has passed."""
        if self._sent:
            return Unanswered(f"no answer from {place} in time")
        if self._connecting:
            return Unconnected(f"no connection to {place} in time")
        return DeadlineExceeded(
            f"{name}: no free connection before the deadline",
            next_step="Raise the limit of the transport, httpx.AsyncHTTPTransport(limits=...)",
        )


class Body(httpx.AsyncByteStream):
    """The body of an answer: until it is closed, the backend is at work."""

    def __init__(self, body: httpx.AsyncByteStream, lease: Lease) -> None:
        self._body = body
        self._lease = lease

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except httpx.TransportError as error:
            if judge(error) is not Outcome.FINAL:
                self._lease.fail(error)
            raise

    async def aclose(self) -> None:
        """Read, or let go."""
        try:
            await self._body.aclose()
        finally:
            self._lease.release()


def failed(lease: Lease, error: BaseException) -> BaseException:
    """There will be no answer. Judges the backend, gives the lease back, and returns the error to raise."""
    real = placed(error, lease.backend.netloc)
    if real is not error:
        real.__cause__ = error
    if judge(real) is Outcome.FINAL:
        lease.ignore()
    else:
        lease.fail(real)
    lease.release()
    return real
