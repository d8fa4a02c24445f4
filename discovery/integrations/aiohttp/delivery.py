"""One request of a program, in as many attempts as it takes.

A first attempt that needs no limit of its own is made by the middleware, where it costs the least. What comes after its
failure, and all of a request with a deadline or with hedges, is here.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from yarl import URL

from ...attempts import Rules
from ...balancing import Key, Node
from ...caller import Options
from ...calling import call, call_again
from ...lease import Lease
from ..http import announced, is_idempotent
from .answers import unwanted
from .errors import judge_with_body
from .exchange import Exchange
from .hosts import Host
from .requests import copied, is_in_memory, is_used_up, renew

if TYPE_CHECKING:
    from multidict import CIMultiDict

Handler = aiohttp.ClientHandlerType


@attrs.define(eq=False)
class Delivery:
    """A request for a host, by its own URL. `asked` and `end`: what the program said of it, and its deadline."""

    request: aiohttp.ClientRequest
    url: URL
    handler: Handler
    host: Host
    key: Key
    asked: Options | None = None
    end: float | None = None
    _beside: bool = attrs.field(init=False, default=False)
    _headers: "CIMultiDict[str]" = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._headers = self.request.headers

    async def all(self, first: Lease) -> aiohttp.ClientResponse:
        """Make every attempt, the first at the backend of this lease."""
        idempotent, rules = is_idempotent(self.request.method, self._headers, self.asked), self._rules()
        self._beside = rules.latencies is not None and idempotent
        try:
            return await call(self._attempt, first, self._pick_other, idempotent=idempotent, rules=rules, end=self.end)
        finally:
            self.request.headers = self._headers

    async def again(self, first: Node, failed: Exception) -> aiohttp.ClientResponse:
        """Make the attempts after the first, which failed at this backend."""
        idempotent = is_idempotent(self.request.method, self._headers, self.asked)
        try:
            return await call_again(
                self._attempt, [first], failed, self._pick_other, idempotent=idempotent, rules=self._rules(), end=None
            )
        finally:
            self.request.headers = self._headers

    def _rules(self) -> Rules:
        """The host's, but what is known of a body that can be read only once."""
        if is_in_memory(self.request):
            return self.host.rules
        return attrs.evolve(self.host.rules, judge=partial(judge_with_body, self.request.body), latencies=None)

    def _pick_other(self, tried: Sequence[Node]) -> Lease:
        return self.host.pool.pick_other(tried, self.key)

    async def _attempt(self, lease: Lease, number: int) -> aiohttp.ClientResponse:
        request = copied(self.request) if self._beside else self.request
        exchange = Exchange(request, self.url, lease, self.host, self.end)
        try:
            await self._make_ready(request, lease.node, number)
            sending: Any = self.handler(request)
            exchange.watch(sending)
            response = exchange.answered(await sending)
        except BaseException as error:  # noqa: BLE001
            raise exchange.failed(error)  # noqa: B904 - it has its cause
        asking = None if is_used_up(request) else unwanted(response, self.host.options.retry)
        if asking is not None:
            raise asking
        return response

    async def _make_ready(self, request: aiohttp.ClientRequest, node: Node, number: int) -> None:
        await renew(request)
        left = None if self.end is None else self.end - self.host.loop.time()
        told = announced(number, left)
        if told:
            request.headers = self._headers.copy()
            request.headers.update(told)
        request.url = self.host.places[node, self.url.raw_path_qs]
