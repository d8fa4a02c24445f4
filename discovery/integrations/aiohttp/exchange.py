"""One attempt of one request at one backend, and its limits of time.

aiohttp's own limit on connecting is 30 s, and a middleware cannot set it. So we time it ourselves, until the request is
sent: `ClientRequest.send` makes `request.response` right after the headers are written. Time spent in the connector's
queue for a free connection is not the backend's fault and does not count.
"""

import asyncio
import traceback
import types
from collections.abc import Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from ...lease import Lease
from ...retrying import Outcome, RetryPolicy
from ..deadlines import Deadlines
from .answers import take
from .errors import DeadlineExceeded, Queued, Unsent, judge

if TYPE_CHECKING:
    from .hosts import Host

CONNECT, QUEUE = "connect", "_wait_for_available_connection"
"""The coroutines of aiohttp's connector that connect, and, in it, wait for a free connection; tests hold it to them."""

SEND = "_connect_and_send_request"
"""The innermost handler, that of aiohttp itself; its request is called `req`, and a test holds it to both."""

LOOKS = 4
"""How often within `connect_timeout` it is looked at. All of them in a row must find it connecting: who comes from a
queue in between has three quarters of the time at least."""


MORE = "Raise the limit of the session's connector, TCPConnector(limit=...)"


class Limits:
    """What `RetryPolicy` says of the time of a try, for all exchanges of a host."""

    __slots__ = ("answer", "connect")

    def __init__(self, policy: RetryPolicy) -> None:
        seconds = policy.per_try_timeout
        self.connect = Deadlines(policy.connect_timeout / LOOKS, Exchange.unconnected)
        self.answer = None if seconds is None else Deadlines(seconds, Exchange.unanswered)


class Exchange:
    """What becomes of a request at the backend of a lease, and its limits of time while they are watched.

    `url` is the request's own, with the Service's name. `end`: when the time for the whole is over, in the loop's time.
    """

    __slots__ = (
        "_before",
        "_end",
        "_ending",
        "_host",
        "_late",
        "_lease",
        "_looks",
        "_request",
        "_sending",
        "_task",
        "_url",
    )

    def __init__(
        self, request: aiohttp.ClientRequest, url: URL, lease: Lease, host: "Host", end: float | None = None
    ) -> None:
        self._request = request
        self._url = url
        self._lease = lease
        self._host = host
        self._end = end
        self._ending: asyncio.TimerHandle | None = None
        self._late: Exception | None = None

    def watch(self, sending: Coroutine[Any, Any, aiohttp.ClientResponse]) -> None:
        """The limits begin now, for the handler's coroutine that this task waits for."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._sending = sending
        self._looks = 0
        limits = self._host.limits
        limits.connect.start(self)
        if limits.answer is not None:
            limits.answer.start(self)
        if self._end is not None:
            self._ending = self._host.loop.call_at(self._end, self._over)

    def stop(self) -> None:
        """The headers are there, or never will be: the limits end."""
        limits = self._host.limits
        limits.connect.stop(self)
        if limits.answer is not None:
            limits.answer.stop(self)
        if self._ending is not None:
            self._ending.cancel()
        if self._late is not None:
            self._task.uncancel()

    def answered(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        """The headers are there. Until the body has been read or the response closed, the backend works."""
        self.stop()
        self._request.url = self._url
        take(response, self._lease, self._host.pool)
        return response

    def failed(self, error: BaseException) -> BaseException:
        """There will be no answer. Returns what it was: the error itself, or what the limits or the moment make of it.

        ConnectionTimeoutError: no connection in time. Queued: that time was spent in the connector's queue.
        ServerTimeoutError: sent, and no headers in time. DeadlineExceeded: the time for the whole was over in the
        connector's queue. Unsent: the connection broke before anything went out.
        """
        self.stop()
        real = self._real(error)
        if real is not error:
            real.__cause__ = error
        if judge(real) is Outcome.FINAL:
            self._lease.ignore()
        else:
            self._lease.fail(real)
        self._lease.release()
        self._request.url = self._url
        return real

    def _real(self, error: BaseException) -> BaseException:
        if self._late is not None and isinstance(error, asyncio.CancelledError):
            return error if self._task.cancelling() > self._before else self._late
        if judge(error) is Outcome.SENT and not (_is_sent(self._request) or _is_of_another(error)):
            return Unsent(f"the connection to {self._request.url.authority} broke before the request was sent")
        # What aiohttp says of these two holds the URL with its query, and the headers that came.
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            if any(frame.f_code.co_name == QUEUE for frame in _frames(error)):
                return Queued(f"no free connection in time. {MORE}")
            return aiohttp.ConnectionTimeoutError(f"no connection to {self._request.url.authority} in time")
        if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
            return aiohttp.ServerDisconnectedError(f"{self._request.url.authority} broke off within the headers")
        return error

    def unconnected(self) -> bool:
        """One more part of `connect_timeout` is over. Returns whether to look again."""
        if self._late is not None or _is_sent(self._request):
            return False
        self._looks = self._looks + 1 if self._connects() else 0
        if self._looks < LOOKS:
            return True
        self._give_up(f"within {self._host.limits.connect.seconds * LOOKS:g} s")
        return False

    def unanswered(self) -> bool:
        """`per_try_timeout` is over. Returns whether a queue is where it was spent, and another is granted."""
        answer = self._host.limits.answer
        if self._late is not None or answer is None:
            return False
        if not (_is_sent(self._request) or self._connects()):
            return True
        self._give_up(f"within {answer.seconds:g} s")
        return False

    def _over(self) -> None:
        """The time for the whole is over."""
        if self._late is None:
            self._give_up("before the deadline")

    def _give_up(self, when: str) -> None:
        """End the attempt. If the backend could have done something about it, that is its failure (Envoy, gRPC)."""
        place = self._request.url.authority
        if _is_sent(self._request):
            self._late = aiohttp.ServerTimeoutError(f"no answer from {place} {when}")
        elif self._connects():
            self._late = aiohttp.ConnectionTimeoutError(f"no connection to {place} {when}")
        else:
            self._late = DeadlineExceeded(f"{self._host.name}: no free connection {when}", next_step=MORE)
        self._task.cancel()

    def _connects(self) -> bool:
        """Whether it waits for a connection to be made, and not for a place in the connector."""
        return _waits_in(self._sending, CONNECT) and not _waits_in(self._sending, QUEUE)


def _is_sent(request: Any) -> bool:
    """Aiohttp makes the response right after it has written the headers; a test holds it to that."""
    return request.response is not None


def _is_of_another(error: BaseException) -> bool:
    """Whether it was met by a request that was sent: if ours was not, a middleware further in has sent a copy of it."""
    return any(_is_sent(frame.f_locals["req"]) for frame in _frames(error) if frame.f_code.co_name == SEND)


def _frames(error: BaseException | None) -> Iterator[types.FrameType]:
    """Where an error and those it comes from were raised."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            yield frame
        error = error.__cause__


def _waits_in(coroutine: Any, name: str) -> bool:
    """Whether a suspended coroutine waits, however deep, in one of this name."""
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
        if code is not None and code.co_name == name:
            return True
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return False


@types.coroutine
def thrown(
    sending: Coroutine[Any, Any, aiohttp.ClientResponse], error: BaseException
) -> Generator[Any, Any, aiohttp.ClientResponse]:
    """Throw an error into a coroutine that was begun by hand, and wait for its end."""
    try:
        while True:
            step = sending.throw(error)
            try:
                yield step
            except BaseException as again:  # noqa: BLE001 - it is for the coroutine
                error = again
            else:
                response: aiohttp.ClientResponse = yield from sending
                return response
    except StopIteration as done:
        answered: aiohttp.ClientResponse = done.value
        return answered
