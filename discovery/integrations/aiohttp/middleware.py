"""An aiohttp client middleware: requests to a Service's name go to a ready backend of it.

The name stays what everybody sees: the Host header, cookies, redirects, `response.url` and the certificate are the
Service's; only the place the connection goes to is changed.
"""

import types
from collections.abc import Awaitable, Generator, Sized
from functools import partial
from typing import Any, NoReturn

import aiohttp
import attrs

from ...balancing import Node
from ...caller import current
from ...errors import DiscoveryError
from ...lease import Lease
from ..directory import Place
from ..finding import Finding
from .answers import DOUBTFUL, let_go, take, unwanted
from .delivery import Delivery, Handler
from .errors import client_error
from .exchange import Exchange, thrown
from .hosts import Host
from .requests import is_used_up
from .reruns import Reruns

WRONG_SIDE = (
    "this is a client's middleware: give it to ClientSession(middlewares=[...]); "
    "a server's is discovery.integrations.aiohttp.server_middleware()"
)


@attrs.define(eq=False)
class Middleware:
    """What `Discovery.middleware` returns: give it to `ClientSession(middlewares=[...])`."""

    finding: Finding[Host]
    reruns: Reruns = attrs.field(init=False, factory=Reruns)
    _hosts: dict[Place, Host] = attrs.field(init=False)
    _ended: Sized = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._hosts, self._ended = self.finding.directory.hosts, self.reruns.ended

    @property
    def __middleware_version__(self) -> NoReturn:
        """A server's application asks for it when it starts."""
        raise TypeError(WRONG_SIDE)

    @types.coroutine
    def __call__(  # noqa: C901 - it is one path, and each call on it is felt
        self, request: aiohttp.ClientRequest, handler: Handler
    ) -> Generator[Any, Any, aiohttp.ClientResponse]:
        """Send the request to a backend, and to another where that is safe.

        A coroutine made of a generator: it runs the handler's first step itself. On a kept connection the request is
        sent by then, and needs no limit on connecting. Each object and call that is not made here is felt: the rest of
        a request runs through 200 µs of other code, and none of ours is in the processor's caches when its turn comes.
        What needs more than this first attempt goes through `Delivery`.
        """
        try:
            url = request.url
        except AttributeError:
            raise TypeError(WRONG_SIDE) from None
        host = self._hosts.get((url.scheme, url.raw_authority))
        if (
            host is None
            or not host.direct
            or not host.simple
            or not host.pool.nodes
            or request.loop is not host.loop
            or request.proxy
            or current() is not None
            or self._ended
        ):
            attended: aiohttp.ClientResponse = yield from self._attend(request, handler).__await__()
            return attended
        pool, learner = host.pool, host.learner
        if pool.budget is not None:
            pool.budget.deposit()
        key = None if host.key is None else host.key(request)
        try:
            node = pool.choose(key) if host.limited else pool.picker(key)
        except DiscoveryError as error:
            raise client_error(error) from error.__cause__
        request.url = host.places[node, url.raw_path_qs]
        if host.certified is not None and request.server_hostname is None:
            request.server_hostname = host.certified
        host.asked = True
        request.response = None  # of a pass before, where another middleware sends it again
        began = 0.0 if learner is None else pool.now()
        lease = pool.lease(node) if host.limited else None
        if lease is None:
            node.in_flight += 1
        sending: Any = handler(request)  # of aiohttp, so what it returns is a coroutine
        exchange = None
        try:
            step = sending.send(None)
            if host.limits.answer is not None or request.response is None:
                exchange = Exchange(request, url, lease := lease or _lease(host, node, began), host)
                exchange.watch(sending)
            yield step
            response: aiohttp.ClientResponse = yield from sending
        except StopIteration as done:  # answered without a wait, by another middleware
            response = done.value
        except BaseException as error:  # noqa: BLE001 - it ends in a raise or in another attempt
            exchange = exchange or Exchange(request, url, lease or _lease(host, node, began), host)
            failed = self._recover(Delivery(request, url, handler, host, key), node, exchange, sending, error)
            recovered: aiohttp.ClientResponse = yield from failed.__await__()
            return recovered
        if exchange is not None:
            exchange.stop()
        request.url = url
        if lease is not None or response.status >= DOUBTFUL:
            lease = lease or _lease(host, node, began)
            take(response, lease, pool)
            if response.status >= DOUBTFUL:
                doubt = self._doubt(Delivery(request, url, handler, host, key), response, node)
                response = yield from doubt.__await__()
            return response
        if learner is not None:
            now = pool.now()
            learner.observe(node, now - began, now, failed=False, retry_after=None)
        # Until the body has been read or the response closed, the backend works.
        if response.connection is not None:
            response.connection.add_callback(partial(let_go, Lease(node), response))
        else:
            node.in_flight -= 1
            node.successes += 1
            if node.consecutive_failures:
                node.recover()
        return response

    async def _recover(
        self, delivery: Delivery, node: Node, exchange: Exchange, sending: Any, error: BaseException
    ) -> aiohttp.ClientResponse:
        """What follows when the first attempt failed. What was thrown while the handler waits is for it first."""
        try:
            if sending.cr_frame is not None:
                return exchange.answered(await thrown(sending, error))
        except BaseException as ending:  # noqa: BLE001
            error = ending
        failure = exchange.failed(error)
        if not isinstance(failure, Exception):
            raise failure
        return await self._concluded(delivery.request, delivery.again(node, failure))

    async def _doubt(self, delivery: Delivery, response: aiohttp.ClientResponse, node: Node) -> aiohttp.ClientResponse:
        """What follows when the first attempt was answered with a status that tells of trouble."""
        asking = unwanted(response, delivery.host.options.retry)
        if asking is None or is_used_up(delivery.request):
            return response
        return await self._concluded(delivery.request, delivery.again(node, asking))

    async def _attend(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        """A request that has to be looked at closer, all of it."""
        self.reruns.raise_if_second(request)
        host = self._host_of(request)
        if host is None:
            return await handler(request)
        return await self._concluded(request, self._deliver(request, handler, host))

    def _host_of(self, request: aiohttp.ClientRequest) -> Host | None:
        if request.proxy:
            return None  # a proxy finds its way by the name
        url = request.url
        try:
            return self.finding.directory.find((url.scheme, url.raw_authority), url.raw_host or "", url.port)
        except DiscoveryError as error:
            raise client_error(error) from error.__cause__

    async def _deliver(self, request: aiohttp.ClientRequest, handler: Handler, host: Host) -> aiohttp.ClientResponse:
        asked = current()
        key = host.key_of(request, asked)
        end = host.rules.end()
        node = await self.finding.find(host, key, end)
        if node is None:
            return await handler(request)
        lease = host.pool.lease(node)
        host.asked = True
        if host.certified is not None and request.server_hostname is None:
            request.server_hostname = host.certified
        return await Delivery(request, request.url, handler, host, key, asked, end).all(lease)

    async def _concluded(
        self, request: aiohttp.ClientRequest, delivered: Awaitable[aiohttp.ClientResponse]
    ) -> aiohttp.ClientResponse:
        """The end: an error of ours leaves as one of aiohttp's, and one on which aiohttp would begin anew is noted."""
        try:
            return await delivered
        except DiscoveryError as error:
            raise client_error(error) from error.__cause__
        except aiohttp.ClientError as error:
            self.reruns.expect(request, error)
            raise


def _lease(host: Host, node: Node, began: float) -> Lease:
    """The lease of a node that is counted already, and has worked since then."""
    return Lease(node, ended=host.pool.ended, since=began)
