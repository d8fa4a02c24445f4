"""An aiohttp client middleware: requests to a Service's name go to a ready backend of it.

The name stays what everybody sees: the Host header, cookies, redirects, `response.url` and the certificate are the
Service's; only the place the connection goes to is changed.
"""

import asyncio
from functools import partial
from typing import Literal

import aiohttp
import attrs

from ...balancing import Key
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
from .exchange import Exchange

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice (RFC 9110, 9.2.2)."""

HOPELESS = (AccessDenied, ConfigurationError, Unauthenticated)
"""Errors that a few seconds of waiting do not heal."""

Handler = aiohttp.ClientHandlerType


@attrs.define(eq=False)
class Middleware:
    """What `Discovery.middleware` returns: give it to `ClientSession(middlewares=[...])`.

    `fallback="service"`: while nothing is known of a Service, requests go out by its name as if there were no
    middleware; with None they fail with `NotReady`. `ready_timeout`: seconds to wait before that, counted from the
    first request.
    """

    directory: Directory
    fallback: Literal["service"] | None
    ready_timeout: float
    emit: Hook

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        """Send the request to a backend, and to another where that is safe."""
        try:
            host = self.directory.find(request.url)
        except DiscoveryError as error:
            raise client_error(error) from error.__cause__
        if host is None:
            return await handler(request)
        try:
            key = host.key(request) if host.key is not None else None
            lease = host.pool.pick(key) if host.ready else await self._lease(host, key)
            if lease is None:
                return await handler(request)
            if host.secure and request.server_hostname is None:
                request.server_hostname = (request.url.raw_host or "").removesuffix(".")
            exchange = Exchange(request, lease, host.limits)
            try:
                exchange.sending = handler(request)
                return exchange.answered(await exchange.sending)
            except BaseException as error:  # noqa: BLE001 - each ends in a raise or in another attempt
                failure = exchange.failed(error)
                rules = attrs.evolve(host.rules, judge=partial(judge_with_body, request.body))
                if not (isinstance(failure, Exception) and rules.allow(failure, idempotent=_idempotent(request))):
                    raise failure  # noqa: B904 - it has its cause
            return await self._again(request, handler, host, key, lease, failure, rules)
        except DiscoveryError as error:
            if host.short and _means_nothing(error):
                return await handler(request)  # a short name may be anything's
            made = client_error(error)
            if made is error:
                raise
            raise made from error.__cause__

    async def _lease(self, host: Host, key: Key) -> Lease | None:
        """A pick from a pool that has nothing, or had nothing when last asked; None to send the request by its name.

        Raises:
            DiscoveryError: there is nothing to pick from, and going by the name is not wanted or no help.
        """
        if host.unknown is not None:
            raise client_error(host.unknown)  # a copy: what is raised often grows a traceback without end
        pool = host.pool
        left = host.opened + self.ready_timeout - asyncio.get_running_loop().time()
        if not (pool.status.synced or await pool.settled(max(left, 0.0), HOPELESS)):
            if self.fallback is None:
                return pool.pick(key)  # says why not
            self._fall_back(host)
            return None
        self._recovered(host)
        if not pool.status.backends:
            problem = pool.status.last_error
            if isinstance(problem, NoEndpoints):
                return None
            if isinstance(problem, ServiceNotFound):
                self.directory.remember_unknown(host, problem)
            if isinstance(problem, ServiceNotFound | PortNotFound):
                raise client_error(problem)
        return pool.pick(key)

    async def _again(
        self,
        request: aiohttp.ClientRequest,
        handler: Handler,
        host: Host,
        key: Key,
        first: Lease,
        failure: Exception,
        rules: Rules,
    ) -> aiohttp.ClientResponse:
        async def attempt(lease: Lease) -> aiohttp.ClientResponse:
            exchange = Exchange(request, lease, host.limits)
            try:
                if request.body:
                    await request.close()  # the body's writer must have let go before it is sent again
                exchange.sending = handler(request)
                return exchange.answered(await exchange.sending)
            except BaseException as error:  # noqa: BLE001
                raise exchange.failed(error)  # noqa: B904 - it has its cause

        return await call_again(
            attempt,
            first.node,
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
