"""One attempt of one request at one backend.

aiohttp's own limit on connecting is 30 s, and a middleware cannot set it. So each attempt has a timer of its own, that
is disarmed when the request is sent: `ClientRequest.send` makes the response object right after the headers are
written, by calling `request.response_class`, and that call is where we hear of it. Time spent in the connector's queue
for a free connection is not the backend's fault and does not count.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import aiohttp
from yarl import URL

from ...lease import Lease
from ...retrying import RetryPolicy
from .errors import Unsent

QUEUE = "_wait_for_available_connection"
"""The coroutine of aiohttp's connector that waits for a free connection; a test holds it to that."""


class Exchange:
    """Sends a request to the backend of a lease, within the limits of a policy."""

    __slots__ = ("_limit", "_loop", "_policy", "_real_class", "_request", "_sending", "_timer", "late", "sent")

    def __init__(self, request: aiohttp.ClientRequest, policy: RetryPolicy, real_class: Callable[..., Any]) -> None:
        self._request = request
        self._policy = policy
        self._real_class = real_class
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(policy.per_try_timeout)
        self.sent = False
        self.late = False

    async def run(self, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """The response, as soon as its headers are there.

        Raises:
            ConnectionTimeoutError: no connection within `connect_timeout`.
            ServerTimeoutError: no headers within `per_try_timeout`.
            Unsent: the connection broke before anything went out.
            ClientError: whatever else aiohttp raises.
        """
        self._request.response_class = self._opened  # type: ignore[assignment] # called like the class it stands for
        self._sending = handler(self._request)
        self._timer = self._loop.call_later(self._policy.connect_timeout, self._unconnected)
        try:
            async with self._limit:
                return await self._sending
        except TimeoutError as error:
            if self.late:
                raise aiohttp.ConnectionTimeoutError(
                    f"no connection to {self._request.url.authority} within {self._policy.connect_timeout:g} s"
                ) from error
            if self._limit.expired():
                raise aiohttp.ServerTimeoutError(
                    f"no answer from {self._request.url.authority} within {self._policy.per_try_timeout:g} s"
                ) from error
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if self.sent or isinstance(error, aiohttp.ClientConnectorError):
                raise
            raise Unsent(
                f"the connection to {self._request.url.authority} broke before the request was sent"
            ) from error
        finally:
            self._timer.cancel()
            self._request.response_class = self._real_class  # type: ignore[assignment]

    def _opened(self, *args: Any, **kwargs: Any) -> Any:
        """The headers are on their way: from here on it is the answer that is waited for."""
        self.sent = True
        self._timer.cancel()
        return self._real_class(*args, **kwargs)

    def _unconnected(self) -> None:
        if _waits_in(self._sending, QUEUE):
            self._timer = self._loop.call_later(self._policy.connect_timeout, self._unconnected)
        else:
            self.late = True
            self._limit.reschedule(self._loop.time())


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


def hold_until_read(lease: Lease, response: aiohttp.ClientResponse) -> None:
    """Release the lease when the body has been read or the response closed: until then the backend works."""
    connection = response.connection
    if connection is None:  # the body came with the headers
        lease.release()
    else:
        connection.add_callback(lease.release)
