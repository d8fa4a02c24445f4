"""The other end of a request: a middleware for aiohttp's servers.

It takes over how long the caller will wait, so that no work is done for one who has gone, and turns requests away while
there are too many, because a server that answers some in time is worth more than one that answers all too late.
Ending in good order is `drain`'s affair.
"""

import asyncio
import math
from collections.abc import Collection
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ...caller import options
from ...checks import seconds, whole
from ...errors import ConfigurationError, quote
from ...events import Event, Hook, emitter
from ..http import EXPECTED

LONGEST = 3_600_000
"""Milliseconds up to which that is believed; who waits for more than an hour has no deadline worth keeping."""

HEALTH = frozenset({"/health", "/healthz", "/livez", "/metrics", "/ready", "/readyz"})
"""Paths that those ask who look after the server: they are no load, and always let in."""


def paths(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Several paths; one alone in quotes would be read as its letters."""
    several: Collection[object] = value if isinstance(value, Collection) and not isinstance(value, str) else (None,)
    if not all(isinstance(path, str) and path.startswith("/") for path in several):
        raise ConfigurationError(f"{attribute.name}={quote(value)} are no paths", next_step='Write {"/healthz"}')


@attrs.frozen(kw_only=True)
class _Terms:
    """What a server is asked for, checked."""

    max_in_flight: int | None = attrs.field(validator=attrs.validators.optional(whole(least=1)))
    retry_after: float = attrs.field(validator=seconds())
    health: Collection[str] = attrs.field(validator=paths)


def server_middleware(
    *,
    max_in_flight: int | None = None,
    retry_after: float = 1.0,
    health: Collection[str] = HEALTH,
    on_event: Hook | None = None,
) -> Middleware:
    """A middleware for servers: `web.Application(middlewares=[server_middleware(max_in_flight=200)])`.

    A request that carries `x-envoy-expected-rq-timeout-ms` has so many milliseconds from now on: what its handler asks
    of others through this library has no longer either, and when they are over the handler is cancelled, has ended, and
    the answer is 504. A response that has begun is not cut off: its caller has it. What cannot be read, is 0 (no limit,
    in Envoy) or more than an hour says nothing.

    Each call makes one limit: give the middleware to one application.

    Args:
        max_in_flight: requests under way at once; those beyond are answered at once with 503. None is no limit.
        retry_after: seconds that these are asked to wait (the header Retry-After, in whole seconds, rounded up).
        health: paths that are always let in, and count for nothing.
        on_event: takes each `Event`; None writes them to the `discovery` logger.

    Raises:
        ConfigurationError: an option cannot be used.
    """
    terms = _Terms(max_in_flight=max_in_flight, retry_after=retry_after, health=health)
    emit = emitter(on_event)
    most = math.inf if max_in_flight is None else max_in_flight
    exempt = frozenset(terms.health)
    wait = {"Retry-After": str(math.ceil(retry_after))}
    in_flight = 0

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_flight
        if request.path in exempt:
            return await handler(request)
        if in_flight >= most:
            emit(Event("server.shed", f"{request.method} {request.path}", {"in_flight": in_flight}))
            return web.Response(status=503, headers=wait, text="too many requests are under way\n")
        in_flight += 1
        try:
            left = time_left(request)
            return await (handler(request) if left is None else _within(left, request, handler, emit))
        finally:
            in_flight -= 1

    return serve


def time_left(request: web.Request) -> float | None:
    """Seconds that the caller will wait for this request; None where it does not say, or nothing that can be kept."""
    said = request.headers.getall(EXPECTED, ())
    if len(said) != 1 or not (said[0].isascii() and said[0].isdigit() and len(said[0]) <= len(str(LONGEST))):
        return None
    milliseconds = int(said[0])
    return milliseconds / 1000 if 0 < milliseconds <= LONGEST else None


async def _within(left: float, request: web.Request, handler: Handler, emit: Hook) -> web.StreamResponse:
    """The handler's answer, or 504 where it has not begun one in time."""
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)

    def over() -> None:
        if request.writer.output_size == 0:
            limit.reschedule(loop.time())

    try:
        async with limit:
            timer = loop.call_later(left, over)
            try:
                with options(deadline=left):
                    return await handler(request)
            finally:
                timer.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
    emit(Event("server.late", f"{request.method} {request.path}", {"seconds": left}))
    return web.Response(status=504, text="the time that the caller gave has passed\n")
