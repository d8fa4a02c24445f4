"""One attempt of one request at one backend, and its two limits.

aiohttp's own limit on connecting is 30 s, and a middleware cannot set it. So we time it ourselves, until the request is
sent: `ClientRequest.send` makes `request.response` right after the headers are written. Time spent in the connector's
queue for a free connection is not the backend's fault and does not count.
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

import aiohttp
from yarl import URL

from ...balancing import Node
from ...lease import Lease
from ...retrying import Outcome, RetryPolicy
from .deadlines import Deadlines
from .errors import Unsent, judge

CONNECT, QUEUE = "connect", "_wait_for_available_connection"
"""The coroutines of aiohttp's connector that connect, and, in it, wait for a free connection; tests hold it to them."""

LOOKS = 4
"""How often within `connect_timeout` it is looked at. All of them in a row must find it connecting: who comes from a
queue in between has three quarters of the time at least."""

MOST_PLACES = 256
"""URLs that are kept for a host."""


class Limits:
    """What `RetryPolicy` says of time, for all exchanges of a host."""

    __slots__ = ("answer", "connect")

    def __init__(self, policy: RetryPolicy) -> None:
        seconds = policy.per_try_timeout
        self.connect = Deadlines(policy.connect_timeout / LOOKS, Exchange.unconnected)
        self.answer = None if seconds is None else Deadlines(seconds, Exchange.unanswered)


class Exchange:
    """What becomes of a request at the backend of a lease, and its limits of time while they are watched.

    `url` is the request's own, with the Service's name.
    """

    __slots__ = ("_before", "_late", "_lease", "_limits", "_looks", "_request", "_sending", "_task", "_url")

    def __init__(self, request: aiohttp.ClientRequest, url: URL, lease: Lease, limits: Limits) -> None:
        self._request = request
        self._url = url
        self._lease = lease
        self._limits = limits
        self._late: aiohttp.ClientError | None = None

    def watch(self, sending: Coroutine[Any, Any, aiohttp.ClientResponse]) -> None:
        """The limits begin now, for the handler's coroutine that this task waits for."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._sending = sending
        self._looks = 0
        self._limits.connect.start(self)
        if self._limits.answer is not None:
            self._limits.answer.start(self)

    def stop(self) -> None:
        """The headers are there, or never will be: the limits end."""
        self._limits.connect.stop(self)
        if self._limits.answer is not None:
            self._limits.answer.stop(self)
        if self._late is not None:
            self._task.uncancel()

    @property
    def node(self) -> Node:
        """The backend's record."""
        return self._lease.node

    def answered(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        """The headers are there. Until the body has been read or the response closed, the backend works."""
        self.stop()
        self._request.url = self._url
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
        if judge(error) is Outcome.SENT and not _is_sent(self._request):
            return Unsent(f"the connection to {self._request.url.authority} broke before the request was sent")
        # What aiohttp says of these two holds the URL with its query, and the headers that came.
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return aiohttp.ConnectionTimeoutError(f"no connection to {self._request.url.authority} in time")
        if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
            return aiohttp.ServerDisconnectedError(f"{self._request.url.authority} broke off within the headers")
        return error

    def unconnected(self) -> bool:
        """One more part of `connect_timeout` is over. Returns whether to look again."""
        if self._late is not None or _is_sent(self._request):
            return False
        connecting = _waits_in(self._sending, CONNECT) and not _waits_in(self._sending, QUEUE)
        self._looks = self._looks + 1 if connecting else 0
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
        elif _waits_in(self._sending, QUEUE) or not _waits_in(self._sending, CONNECT):
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
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
        if code is not None and code.co_name == name:
            return True
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return False


class Places(dict[tuple[Node, str], URL]):
    """The URLs of requests to one host at its backends, by record and path with query; made when first asked for.

    Nothing of a path is encoded anew. A dict and no cache with an order: to find a URL again is one step.
    """

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self._scheme = scheme

    def __missing__(self, place: tuple[Node, str]) -> URL:
        node, path_and_query = place
        path, _, query = path_and_query.partition("?")
        authority = node.backend.netloc
        url = URL.build(scheme=self._scheme, authority=authority, path=path, query_string=query, encoded=True)
        if len(self) >= MOST_PLACES:
            self.clear()
        self[place] = url
        return url


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
