"""One attempt of one request at one backend, and its two limits.

aiohttp's own limit on connecting is 30 s, and a middleware cannot set it. So we time it ourselves, until the request is
sent: `ClientRequest.send` makes `request.response` right after the headers are written. Time spent in the connector's
queue for a free connection is not the backend's fault and does not count.
"""

import asyncio
from functools import lru_cache
from typing import Any

import aiohttp
from yarl import URL

from ...lease import Lease
from ...retrying import Outcome, RetryPolicy
from .deadlines import Deadlines
from .errors import Unsent, judge

QUEUE = "_wait_for_available_connection"
"""The coroutine of aiohttp's connector that waits for a free connection; a test holds it to that."""

LOOKS = 4
"""How often within `connect_timeout` it is looked at. All of them in a row must find it connecting: who comes from a
queue in between has three quarters of the time at least."""


class Limits:
    """What `RetryPolicy` says of time, for all exchanges of a host."""

    __slots__ = ("answer", "connect")

    def __init__(self, policy: RetryPolicy) -> None:
        seconds = policy.per_try_timeout
        self.connect = Deadlines(policy.connect_timeout / LOOKS, Exchange.unconnected)
        self.answer = None if seconds is None else Deadlines(seconds, Exchange.unanswered)


class Exchange:
    """A request on its way to the backend of a lease, from its making until `answered` or `failed`.

    It is two plain calls around the await, because each coroutine in between costs every request a microsecond.
    """

    __slots__ = ("_before", "_late", "_lease", "_limits", "_looks", "_request", "_task", "_url", "sending")

    def __init__(self, request: aiohttp.ClientRequest, lease: Lease, limits: Limits) -> None:
        self._request = request
        self._lease = lease
        self._limits = limits
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._late: aiohttp.ClientError | None = None
        self._looks = 0
        self._url = request.url
        self.sending: Any = None
        request.response = None
        request.url = moved(request.url, lease.node.backend.netloc)
        limits.connect.start(self)
        if limits.answer is not None:
            limits.answer.start(self)

    def answered(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        """The headers are there. Until the body has been read or the response closed, the backend works."""
        self._stop()
        connection = response.connection
        if connection is None:  # the body came with the headers
            self._lease.release()
        else:
            connection.add_callback(self._lease.release)
        return response

    def failed(self, error: BaseException) -> BaseException:
        """There will be no answer. Returns what it was: the error itself, or what the limits or the moment make of it.

        ConnectionTimeoutError: no connection within `connect_timeout` or `per_try_timeout`. ServerTimeoutError: sent,
        and no headers within `per_try_timeout`. Unsent: the connection broke before anything went out.
        """
        self._stop()
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
        if judge(error) is Outcome.SENT and not _is_sent(self._request):
            return Unsent(f"the connection to {self._request.url.authority} broke before the request was sent")
        return error

    def _stop(self) -> None:
        limits = self._limits
        limits.connect.stop(self)
        if limits.answer is not None:
            limits.answer.stop(self)
        if self._late is not None:
            self._task.uncancel()

    def unconnected(self) -> bool:
        """One more part of `connect_timeout` is over. Returns whether to look again."""
        if self._late is not None or _is_sent(self._request):
            return False
        self._looks = 0 if _waits_in(self.sending, QUEUE) else self._looks + 1
        if self._looks < LOOKS:
            return True
        self._end(aiohttp.ConnectionTimeoutError, "no connection to", self._limits.connect.seconds * LOOKS)
        return False

    def unanswered(self) -> bool:
        """`per_try_timeout` is over. Returns whether a queue is where it was spent, and another is granted."""
        if self._late is not None or self._limits.answer is None:
            return False
        if _is_sent(self._request):
            self._end(aiohttp.ServerTimeoutError, "no answer from", self._limits.answer.seconds)
        elif _waits_in(self.sending, QUEUE):
            return True
        else:
            self._end(aiohttp.ConnectionTimeoutError, "no connection to", self._limits.answer.seconds)
        return False

    def _end(self, kind: type[aiohttp.ClientError], what: str, seconds: float) -> None:
        self._late = kind(f"{what} {self._request.url.authority} within {seconds:g} s")
        self._task.cancel()


def _is_sent(request: Any) -> bool:
    """Aiohttp makes the response right after it has written the headers; a test holds it to that."""
    return request.response is not None


def _waits_in(coroutine: Any, name: str) -> bool:
    """Whether a suspended coroutine waits, however deep, in one of this name."""
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None)
        if code is not None and code.co_name == name:
            return True
        coroutine = getattr(coroutine, "cr_await", None)
    return False


@lru_cache(maxsize=4096)
def moved(url: URL, netloc: str) -> URL:
    """The same URL at another place. Nothing of it is encoded anew."""
    return URL.build(
        scheme=url.scheme,
        authority=netloc,
        path=url.raw_path,
        query_string=url.raw_query_string,
        encoded=True,
    )
