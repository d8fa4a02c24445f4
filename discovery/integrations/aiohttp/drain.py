"""Ending a server in good order: first look unready, serve on, and stop when traffic has gone.

On SIGTERM, Kubernetes takes the pod out of its Service, but who sends requests hears of it later than the pod does. A
server that stops at once refuses those requests. So it goes on, asks each client to come back on a new connection,
which is led to another pod, and ends when no more come.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from ...checks import seconds
from ...errors import ConfigurationError, quote
from ...events import Event, Hook, emitter
from .server import HEALTH, paths


def _path(_instance: object, attribute: "attrs.Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ConfigurationError(f"{attribute.name}={quote(value)} is no path", next_step='Write "/ready"')


@attrs.frozen(kw_only=True)
class _Terms:
    """What a drain is asked for, checked."""

    ready: str = attrs.field(validator=_path)
    quiet: float = attrs.field(validator=seconds())
    longest: float = attrs.field(validator=seconds())
    health: Collection[str] = attrs.field(validator=paths)


def _exit() -> None:
    raise web.GracefulExit


class Drain:
    """Ends an application in good order on SIGTERM: `Drain(app)`, before it is run.

    From the signal on, readiness fails and responses close their connections, while requests are served as before. When
    none has come or been under way for `quiet` seconds, and after `longest` in any case, the application is stopped.
    The signal again stops it at once. Works with `web.run_app` and with `AppRunner`.

    Args:
        app: the application; it must not run yet.
        ready: the path of the readiness probe. It answers 503 from the signal on; before, what the application has at
            this path, and 200 where it has nothing.
        quiet: seconds without requests after which traffic has gone. 5 s is what changes of endpoints may take to reach
            every node of a busy cluster; with fewer than one request in so long, it is all there is to go by.
        longest: seconds after which it stops whatever comes. 20 s leave 10 of Kubernetes' 30 (the default of
            `terminationGracePeriodSeconds`) for requests that are under way then.
        health: paths that are no traffic.
        stop: what stops the application; None raises `web.GracefulExit` in the loop, which ends `web.run_app`. With an
            `AppRunner`, give what lets your own program go on to `runner.cleanup()`, such as the `set` of an Event.
        on_event: takes each `Event`; None writes them to the `discovery` logger.

    Raises:
        ConfigurationError: an option cannot be used.
        RuntimeError: the application runs already.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        ready: str = "/ready",
        quiet: float = 5.0,
        longest: float = 20.0,
        health: Collection[str] = HEALTH,
        stop: Callable[[], None] | None = None,
        on_event: Hook | None = None,
    ) -> None:
        self._terms = _Terms(ready=ready, quiet=quiet, longest=longest, health=health)
        self._health = frozenset({*health, ready})
        self._stop = stop or _exit
        self._emit = emitter(on_event)
        self._in_flight = 0
        self._last = 0.0
        self._began: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        app.middlewares.insert(0, self._serve)
        app.on_response_prepare.append(self._let_go)
        app.cleanup_ctx.append(self._listen)

    def __repr__(self) -> str:
        return f"<Drain {self._in_flight} in flight{', draining' if self.draining else ''}>"

    @property
    def draining(self) -> bool:
        """Whether it has begun."""
        return self._began is not None

    def begin(self) -> None:
        """What SIGTERM does; for those who learn of the end in another way, within the application's loop."""
        if self._began is not None:
            self._end("again")
            return
        self._loop = asyncio.get_running_loop()
        self._began = self._last = self._loop.time()
        self._emit(Event("drain.started", data={"in_flight": self._in_flight}))
        self._wait()

    def _wait(self) -> None:
        """Look when it may be time to stop."""
        assert self._began is not None
        quiet, longest = self._last + self._terms.quiet, self._began + self._terms.longest
        self._timer = self._loop.call_at(longest if self._in_flight else min(quiet, longest), self._look)

    def _look(self) -> None:
        assert self._began is not None
        now = self._loop.time()
        if now >= self._began + self._terms.longest:
            self._end("longest")
        elif not self._in_flight and now >= self._last + self._terms.quiet:
            self._end("quiet")
        else:
            self._wait()

    def _end(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            assert self._began is not None
            lasted = round(self._loop.time() - self._began, 3)
            self._emit(Event("drain.ended", data={"why": why, "seconds": lasted, "in_flight": self._in_flight}))
        self._stop()

    def _over(self) -> None:
        """A request has ended."""
        self._in_flight -= 1
        if self._timer is not None and not self._in_flight:
            self._last = self._loop.time()
            self._timer.cancel()
            self._wait()

    @web.middleware
    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == self._terms.ready:
            if self.draining:
                return web.Response(status=503, text="draining\n")
            if request.match_info.http_exception is not None:  # the application has nothing there
                return web.Response(text="ready\n")
        if request.path in self._health:
            return await handler(request)
        self._in_flight += 1
        try:
            return await handler(request)
        finally:
            self._over()

    async def _let_go(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Have the client come back on a new connection, which finds another server."""
        if self.draining and response.status != 101:
            response.headers["Connection"] = "close"
            response.force_close()

    async def _listen(self, _app: web.Application) -> AsyncIterator[None]:
        """For SIGTERM, while the application runs; aiohttp would stop at once."""
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError):  # Windows, or not the main thread: there `begin` is called
            loop.add_signal_handler(signal.SIGTERM, self.begin)
        yield
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
        if self._timer is not None:
            self._timer.cancel()
