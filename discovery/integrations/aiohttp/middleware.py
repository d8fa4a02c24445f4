"""An aiohttp client middleware: requests to a Service's name go to a ready backend of it.

The name stays what everybody sees: the Host header, cookies, redirects, `response.url` and the certificate are the
Service's; only the place the connection goes to is changed.
"""

import asyncio
import types
from collections.abc import Generator
from functools import partial
from typing import Any, Literal

import aiohttp
import attrs

from ...balancing import Key, Node
from ...calling import Rules, call_again
from ...errors import (
    AccessDenied,
    ConfigurationError,
    DiscoveryError,
    NoEndpoints,
    PortNotFound,
    ServiceNotFound,
    Unauthenticated,
)
from ...events import Event, Hook
from ...lease import Lease
from .directory import Directory, Host
from .errors import client_error, judge_with_body
from .exchange import Exchange, thrown

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice (RFC 9110, 9.2.2)."""

HOPELESS = (AccessDenied, ConfigurationError, Unauthenticated)
"""Errors that a few seconds of waiting do not heal."""

Handler = aiohttp.ClientHandlerType


@attrs.define(eq=False)
class Middleware:
    """Its `send` is what `Discovery.middleware` returns: give it to `ClientSession(middlewares=[...])`.

    `fallback="service"`: while nothing is known of a Service, requests go out by its name as if there were no
    middleware; with None they fail with `NotReady`. `ready_timeout`: seconds to wait before that, counted from the
    first request.
    """

    directory: Directory
    fallback: Literal["service"] | None
    ready_timeout: float
    emit: Hook

    @types.coroutine
    def send(self, request: aiohttp.ClientRequest, handler: Handler) -> Generator[Any, Any, aiohttp.ClientResponse]:
        """Send the request to a backend, and to another where that is safe.

        A coroutine made of a generator: it runs the handler's first step itself. On a kept connection the request is
        sent by then, and needs no limit on connecting. Each object and call that is not made here is felt: the rest of
        a request runs through 200 µs of other code, and none of ours is in the processor's caches when its turn comes.
        """
        try:
            url = request.url
        except AttributeError:
            raise TypeError("this is a client's middleware: give it to ClientSession(middlewares=[...])") from None
        send: Any = handler  # of aiohttp, so what it returns is a coroutine
        host = self.directory.hosts.get((url.scheme, url.raw_authority))
        if host is not None and host.direct and host.pool.nodes and request.loop is host.loop and not request.proxy:
            key = None if host.key is None else host.key(request)
            node = host.pool.picker(key)
        else:
            found = yield from self._find(request)
            if found is None:
                passed: aiohttp.ClientResponse = yield from send(request)
                return passed
            host, key, node = found
        request.url = host.places[node, url.raw_path_qs]
        if host.certified is not None and request.server_hostname is None:
            request.server_hostname = host.certified
        host.asked = True
        node.in_flight += 1
        request.response = None  # of a pass before, where another middleware sends it again
        sending = send(request)
        exchange = None
        try:
            step = sending.send(None)
            if host.limits.answer is not None or request.response is None:
                exchange = Exchange(request, url, Lease(node), host.limits)
                exchange.watch(sending)
            yield step
            response: aiohttp.ClientResponse = yield from sending
        except StopIteration as done:  # answered without a wait, by another middleware
            response = done.value
        except BaseException as error:  # noqa: BLE001 - it ends in a raise or in another attempt
            if exchange is None:
                exchange = Exchange(request, url, Lease(node), host.limits)
            recovered: aiohttp.ClientResponse = yield from self._recover(
                request, handler, host, key, exchange, sending, error
            )
            return recovered
        if exchange is not None:
            exchange.stop()
        request.url = url
        # Until the body has been read or the response closed, the backend works.
        if response.connection is None:
            node.in_flight -= 1
            node.successes += 1
            if node.consecutive_failures:
                node.consecutive_failures = 0
        else:
            response.connection.add_callback(Lease(node).release)
        return response

    async def _find(self, request: aiohttp.ClientRequest) -> tuple[Host, Key, Node] | None:
        """The host, the key and a backend of a request that has to look closer; None to let it pass as it is."""
        host = None
        try:
            host = None if request.proxy else self.directory.find(request.url)  # a proxy finds its way by the name
            if host is None:
                return None
            key = None if host.key is None else host.key(request)
            with host.awaited():
                node = await self._choose(host, key)
        except DiscoveryError as error:
            if host is not None and host.short and _means_nothing(error):
                return None  # a short name may be anything's
            raise client_error(error) from error.__cause__
        return None if node is None else (host, key, node)

    async def _recover(
        self,
        request: aiohttp.ClientRequest,
        handler: Handler,
        host: Host,
        key: Key,
        exchange: Exchange,
        sending: "types.CoroutineType[Any, Any, aiohttp.ClientResponse]",
        error: BaseException,
    ) -> aiohttp.ClientResponse:
        """What follows when the first attempt failed. What was thrown while the handler waits is for it first."""
        try:
            if sending.cr_frame is not None:
                return exchange.answered(await thrown(sending, error))
        except BaseException as ending:  # noqa: BLE001
            error = ending
        failure = exchange.failed(error)
        rules = attrs.evolve(host.rules, judge=partial(judge_with_body, request.body))
        if not (isinstance(failure, Exception) and rules.allow(failure, idempotent=_idempotent(request))):
            raise failure
        try:
            return await self._again(request, handler, host, key, exchange.node, failure, rules)
        except DiscoveryError as exhausted:
            raise client_error(exhausted) from exhausted.__cause__

    async def _choose(self, host: Host, key: Key) -> Node | None:
        """A backend of a pool that has nothing, or had nothing when last asked; None to send the request by its name.

        Raises:
            DiscoveryError: there is nothing to pick from, and going by the name is not wanted or no help.
        """
        if host.unknown is not None:
            raise client_error(host.unknown)  # a copy: what is raised often grows a traceback without end
        pool = host.pool
        left = host.opened + self.ready_timeout - asyncio.get_running_loop().time()
        if not (pool.status.synced or await pool.settled(max(left, 0.0), HOPELESS)):
            if self.fallback is None:
                return pool.choose(key)  # says why not
            self._fall_back(host)
            return None
        self._recovered(host)
        host.direct = True
        if not pool.status.backends:
            problem = pool.status.last_error
            if isinstance(problem, NoEndpoints):
                return None
            if isinstance(problem, ServiceNotFound):
                self.directory.remember_unknown(host, problem)
            if isinstance(problem, ServiceNotFound | PortNotFound):
                raise client_error(problem)
        return pool.choose(key)

    async def _again(
        self,
        request: aiohttp.ClientRequest,
        handler: Handler,
        host: Host,
        key: Key,
        first: Node,
        failure: Exception,
        rules: Rules,
    ) -> aiohttp.ClientResponse:
        url = request.url

        async def attempt(lease: Lease) -> aiohttp.ClientResponse:
            exchange = Exchange(request, url, lease, host.limits)
            try:
                if request.body:
                    await request.close()  # the body's writer must have let go before it is sent again
                request.response = None
                request.update_expect_continue()  # the last attempt's future is over
                request.url = host.places[lease.node, url.raw_path_qs]
                sending: Any = handler(request)
                exchange.watch(sending)
                return exchange.answered(await sending)
            except BaseException as error:  # noqa: BLE001
                raise exchange.failed(error)  # noqa: B904 - it has its cause

        return await call_again(
            attempt,
            first,
            failure,
            lambda tried: host.pool.pick_other(tried, key),
            idempotent=_idempotent(request),
            rules=rules,
        )

    def _fall_back(self, host: Host) -> None:
        """Say it once aloud, and each time to the metrics."""
        if not host.falling_back:
            host.falling_back = True
            error = host.pool.status.last_error or "no answer from the API server yet"
            self.emit(Event("fallback.started", host.name, {"target": host.pool.name, "error": str(error)}))
        self.emit(Event("request.fallback", host.name))

    def _recovered(self, host: Host) -> None:
        if host.falling_back:
            host.falling_back = False
            self.emit(Event("fallback.ended", host.name))


def _means_nothing(error: DiscoveryError) -> bool:
    """Whether there is no such Service, or none that we may see: we may not look into a namespace that is not there."""
    return isinstance(error, ServiceNotFound) or isinstance(error.__cause__, AccessDenied)


def _idempotent(request: aiohttp.ClientRequest) -> bool:
    return request.method in IDEMPOTENT
