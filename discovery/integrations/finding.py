"""A backend for a request whose host has nothing to pick from yet, or had nothing when it was last asked.

The first requests to a host wait here for its first answer; so do those that come while nothing is usable.
"""

import asyncio
from typing import Generic, Literal

import attrs

from ..balancing import Key, Node
from ..errors import (
    AccessDenied,
    ConfigurationError,
    DeadlineExceeded,
    DiscoveryError,
    NoEndpoints,
    PortNotFound,
    ServiceNotFound,
    Unauthenticated,
)
from ..events import Event, Hook
from .directory import Directory, H, Host

HOPELESS = (AccessDenied, ConfigurationError, Unauthenticated)
"""Errors that a few seconds of waiting do not heal."""

Fallback = Literal["service"]


@attrs.frozen
class Finding(Generic[H]):
    """How long to wait for a host's first answer, and what then.

    `fallback="service"`: while nothing is known of a Service, requests go out by its name as if we were not there; with
    None they fail with `NotReady`. `ready_timeout`: seconds to wait before that, counted from the first request.
    """

    directory: Directory[H]
    fallback: Fallback | None
    ready_timeout: float
    emit: Hook

    async def find(self, host: Host, key: Key, end: float | None) -> Node | None:
        """A backend, uncounted, by the time `end` of the loop's clock; None to send the request by its name.

        Raises:
            DiscoveryError: there is nothing to pick from, and going by the name is not wanted or no help.
        """
        if host.direct and host.pool.nodes:
            return host.pool.choose(key)
        try:
            with host.awaited():
                async with asyncio.timeout_at(end):
                    return await self.choose(host, key)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{host.name}: the deadline passed before a backend was known") from error
        except DiscoveryError as error:
            if host.short and means_nothing(error):
                return None  # a short name may be anything's
            raise

    async def choose(self, host: Host, key: Key) -> Node | None:
        """A backend; None to send the request by its name.

        Raises:
            DiscoveryError: there is nothing to pick from, and going by the name is not wanted or no help.
        """
        if host.unknown is not None:
            raise host.unknown.with_traceback(None)  # what is raised often would grow one without end
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
                raise problem.with_traceback(None)
        return pool.choose(key)

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


def means_nothing(error: BaseException) -> bool:
    """Whether there is no such Service, or none that we may see: we may not look into a namespace that is not there."""
    return isinstance(error, ServiceNotFound) or isinstance(error.__cause__, AccessDenied)
