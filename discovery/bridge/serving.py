"""The probes' HTTP server: whether the process is alive, whether it can do its work, and how it stands.

A replica that stands by is ready: it can take over. One that cannot reach Consul or Kubernetes is not ready, but alive:
a restart would not help, and would lose what it knows.
"""

import asyncio
import json
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web

from ..errors import ConfigurationError, quote
from .status import BridgeStatus

STUCK = 300.0
"""Seconds without any progress, though something is to be written, after which the process counts as stuck."""

ENDING = 1.0
"""Seconds that requests have at the end."""

Metrics = Callable[[], tuple[str, bytes]]
"""The page of metrics: its content type, and its text."""

NO_METRICS = "metrics need prometheus-client: pip install 'aiodiscovery[prometheus]'"

_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):(?P<port>[0-9]{1,5})")


class Liveness:
    """Whether a bridge that has something to write makes progress. Asked again and again, as by a kubelet. Pure.

    Failures are progress: whoever fails is not stuck. So Consul may be away for as long as it likes.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, int, int] | None = None
        self._since = 0.0

    def stuck(self, status: BridgeStatus, now: float) -> str:
        """Why the process had better be restarted, "" where it had not.

        Args:
            status: of the bridge.
            now: monotonic, in seconds.
        """
        seen = status.passes, status.transactions, sum(status.errors.values())
        if seen != self._seen or not status.leading:
            self._seen, self._since = seen, now
        still = min(now - self._since, status.behind_for)
        return f"nothing has been written for {still:.0f} s, though something is to be" if still > STUCK else ""


def why_unready(status: BridgeStatus) -> str:
    """Why a bridge is not ready, "" where it is."""
    if status.ready:
        return ""
    why = "no leader is known" if status.synced else "Services, EndpointSlices and nodes have not all been listed yet"
    return f"{why}: {status.last_error}" if status.last_error else why


def as_json(status: BridgeStatus) -> dict[str, Any]:
    """All of a status, in plain dictionaries and lists; Services by `NAMESPACE/NAME`."""
    body = attrs.asdict(status, recurse=False)
    body["unusable"] = {"/".join(key): why for key, why in sorted(status.unusable.items())}
    return {"ready": status.ready, **body}


def parse_listen(text: str) -> tuple[str | None, int]:
    """The host and port of `HOST:PORT`, `[IPV6]:PORT` or `:PORT`, which is every address (None).

    Raises:
        ConfigurationError: it is none of these.
    """
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ConfigurationError(f"{quote(text)} cannot be listened on", next_step="Write HOST:PORT, or :PORT for all")
    return found["host"].strip("[]") or None, int(found["port"])


class Probes:
    """Answers `/livez`, `/readyz`, `/status` and `/metrics` while its block goes on.

        async with Probes(lambda: bridge.status, listen=":8080"):
            await bridge.run()

    Args:
        status: gives that of the bridge.
        listen: `HOST:PORT`, or `:PORT` for every address; port 0 is any that is free.
        metrics: gives the page of metrics; None has none.
        clock: monotonic, in seconds; None is the loop's.

    Attributes:
        port: where it listens, once it does.

    Raises:
        ConfigurationError: `listen` cannot be read; or, on entering, cannot be listened on.
    """

    def __init__(
        self,
        status: Callable[[], BridgeStatus],
        *,
        listen: str,
        metrics: Metrics | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.port = 0
        self._status = status
        self._listen = listen
        self._host, self._port = parse_listen(listen)
        self._metrics = metrics
        self._clock = clock or asyncio.get_running_loop().time
        self._liveness = Liveness()
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"<Probes {self._listen}{'' if self.port else ', not listening'}>"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status_page),
                web.get("/metrics", self._metrics_page),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=ENDING)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(
                f"{quote(self._listen)} cannot be listened on: {error.strerror or error}",
                next_step="Name an address of this machine, and a port that is free",
            ) from error
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self.port = runner, int(runner.addresses[0][1])
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        runner, self._runner, self.port = self._runner, None, 0
        if runner is not None:
            await runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _verdict(self._liveness.stuck(self._status(), self._clock()))

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict(why_unready(self._status()))

    async def _status_page(self, _: web.Request) -> web.Response:
        return web.json_response(as_json(self._status()), dumps=json.dumps)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        if self._metrics is None:
            return web.Response(status=501, text=f"{NO_METRICS}\n")
        kind, text = self._metrics()
        return web.Response(body=text, headers={"Content-Type": kind})


def _verdict(why_not: str) -> web.Response:
    return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ok'}\n")
