"""aiohttp's own second run of a request, which would escape every limit on attempts.

When a kept connection breaks under an idempotent request, aiohttp runs the whole chain of middlewares once more, by
itself. To a middleware that looks like a new request; by then it has made all the attempts there may be. What tells the
two apart from any others is the timer of the request's total time: both runs have the same one, and nobody else has it.
"""

import aiohttp
import attrs
from yarl import URL

from ..deadlines import Deadlines
from ..http import IDEMPOTENT

BROKEN = aiohttp.ClientOSError, aiohttp.ServerDisconnectedError
UNSENT = aiohttp.ClientConnectorError
"""aiohttp runs a request again after the former, but not after the latter, which is one of them."""

KEPT = 10.0
"""Seconds for which an error is kept for the second run. It comes at once, unless aiohttp looks up a proxy or a
password first, or somebody caught the error."""


@attrs.frozen(eq=False)
class _Ended:
    """A request that ended with an error. The first run's request is not that of the second."""

    request: aiohttp.ClientRequest
    url: URL
    error: BaseException


class Reruns:
    """The errors on which aiohttp may run the chain again, each until it has, or shows that it will not."""

    def __init__(self) -> None:
        self.ended: dict[int, _Ended] = {}  # while it is empty, no request can be a second run
        self._kept: Deadlines[int] | None = None

    def expect(self, request: aiohttp.ClientRequest, error: BaseException) -> None:
        """This error leaves the middleware: the second run, if it comes, is to end with it at once."""
        if not (request.method in IDEMPOTENT and isinstance(error, BROKEN)) or isinstance(error, UNSENT):
            return
        if self._kept is None:
            self._kept = Deadlines(KEPT, self._forget)
        key = id(_timer(request))  # its owner is kept with it: while the key is here, no other can have it
        self.ended[key] = _Ended(request, request.url, error)
        self._kept.start(key)

    def raise_if_second(self, request: aiohttp.ClientRequest) -> None:
        """Raises what the first run ended with.

        A run by another middleware, with the request of the first, is none of aiohttp's; nor is a redirect, where
        somebody has made an answer out of the error.
        """
        key = id(_timer(request))
        ended = self.ended.pop(key, None)
        if ended is None:
            return
        if self._kept is not None:
            self._kept.stop(key)
        same = request.method == ended.request.method and request.url == ended.url
        if ended.request is not request and same:
            raise ended.error

    def _forget(self, key: int) -> bool:
        self.ended.pop(key, None)
        return False


def _timer(request: aiohttp.ClientRequest) -> object:
    """It is private; a test holds aiohttp to it."""
    return request._timer  # noqa: SLF001
