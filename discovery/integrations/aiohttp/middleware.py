"""An aiohttp client middleware: requests to a Service's name go to a ready backend of it.

The name stays what everybody sees: the Host header, cookies, redirects, `response.url` and the certificate are the
Service's; only the place the connection goes to is changed.
"""

import asyncio
import random
from typing import Literal

import aiohttp
import attrs

from ...balancing import Key
from ...calling import call
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
from ...retrying import Outcome
from .directory import SECURE, Directory, Host
from .errors import client_error, judge
from .exchange import Exchange, hold_until_read, moved

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
    rng: random.Random

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        """Send the request to a backend, and to another where that is safe."""
        host = self.directory.find(request.url)
        if host is None:
            return await handler(request)
        try:
            key = host.key(request) if host.key is not None else None
            lease = host.pool.pick(key) if host.ready else await self._lease(host, key)
            if lease is None:
                return await handler(request)
            return await self._send(request, handler, host, lease, key)
        except DiscoveryError as error:
            if host.short and isinstance(error, ServiceNotFound):
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
            raise host.unknown
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
                raise problem
        return pool.pick(key)

    async def _send(
        self, request: aiohttp.ClientRequest, handler: Handler, host: Host, first: Lease, key: Key
    ) -> aiohttp.ClientResponse:
        url, real_class, retry = request.url, request.response_class, host.options.retry
        if request.server_hostname is None and url.scheme in SECURE:
            request.server_hostname = (url.raw_host or "").removesuffix(".")

        async def attempt(lease: Lease) -> aiohttp.ClientResponse:
            try:
                if lease is not first and request.body:
                    await request.close()  # the body's writer must have let go before it is sent again
                request.url = moved(url, lease.backend.netloc)
                response = await Exchange(request, retry, real_class).run(handler)
            except BaseException as error:
                request.url = url
                if judge(error) is Outcome.FINAL:
                    lease.ignore()
                else:
                    lease.fail(error)
                lease.release()
                raise
            hold_until_read(lease, response)
            return response

        def judge_with_body(error: BaseException) -> Outcome:
            outcome = judge(error)
            spent = outcome is Outcome.SENT and getattr(request.body, "consumed", False)
            return Outcome.FINAL if spent else outcome

        return await call(
            attempt,
            first,
            lambda tried: host.pool.pick_other(tried, key),
            policy=retry,
            idempotent=request.method in IDEMPOTENT,
            judge=judge_with_body,
            rng=self.rng,
            emit=self.emit,
            name=host.pool.name,
            far=host.pool.far,
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
