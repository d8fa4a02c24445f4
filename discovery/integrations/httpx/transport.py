"""An httpx transport: requests to a Service's name go to a ready backend of it.

The name stays what everybody sees: the Host header, cookies, redirects, `response.url` and the certificate are the
Service's; only the place the connection goes to is changed.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, Unpack

import httpx

from ...caller import current
from ...errors import DiscoveryError
from ...pool_options import PoolKeywords, PoolOptions
from ...targets import Target
from .. import directory
from ..directory import H
from ..finding import Fallback, Finding
from ..hosts import Via
from ..routes import KeyOf, Route
from ..settings import Settings
from .delivery import Delivery, Directory, Host
from .errors import httpx_error


class Integrating(Protocol):
    """What a transport needs of a `Discovery`."""

    def integrate(self, kind: type[directory.Directory[H]], settings: Settings) -> Finding[H]:
        """A directory of this kind, closed with the Discovery."""


class AsyncTransport(httpx.AsyncBaseTransport):
    """A transport for httpx: `httpx.AsyncClient(transport=AsyncTransport(disco))`.

    It does for httpx what `Discovery.middleware` does for aiohttp. A body that is in memory may be sent again; one that
    is made while it is sent (a generator, a file) goes elsewhere only where there was no connection to send it on.
    Closing the client gives back what the transport opened, and leaves the Discovery open.

    Args:
        disco: a Discovery; one may serve many transports, aiohttp's middlewares and pools.
        routes: by host, the target (or `Route`) that its requests go to.
        via: "endpoints" sends to a Service's pods; "cluster-ip" to its own address, for meshes that forbid pods'
            addresses. Headless Services, and pods by their hostname, pass untouched then.
        fallback: "service" sends requests by their name while nothing is known; None fails them with `NotReady`.
        ready_timeout: seconds to wait for a host's first answer before that.
        short_names: take `SVC.NS` and `SVC` for Services too.
        key: from an `httpx.Request`, what a hash policy places it by.
        transport: what sends requests on, with all that httpx lets a client say of connections: TLS, HTTP/2, limits.
            None is `httpx.AsyncHTTPTransport()`. It is closed with this one.
        options: of the pools, as in `Discovery.pool`.

    Raises:
        InvalidTarget: a route's target cannot be read.
        ConfigurationError: an option cannot be used.
        RuntimeError: the Discovery is closed, or of another process.
    """

    def __init__(
        self,
        disco: Integrating,
        *,
        routes: Mapping[str, Route | Target | str] | None = None,
        via: Via = "endpoints",
        fallback: Fallback | None = "service",
        ready_timeout: float = 5.0,
        short_names: bool = False,
        key: KeyOf | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[PoolKeywords],
    ) -> None:
        settings = Settings(
            routes=routes,
            via=via,
            fallback=fallback,
            ready_timeout=ready_timeout,
            short_names=short_names,
            key=key,
            options=PoolOptions(**options),
        )
        self._finding: Finding[Host] = disco.integrate(Directory, settings)
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport
        self._tells = isinstance(self._transport, httpx.AsyncHTTPTransport)

    def __repr__(self) -> str:
        return f"<AsyncTransport {len(self._finding.directory.hosts)} hosts>"

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._finding.directory.aclose()
        await self._transport.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Give back what was opened, and end the connections. Called by the client that has the transport."""
        self._finding.directory.aclose()
        await self._transport.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to a backend, and to another where that is safe.

        Raises:
            httpx.TransportError: httpx's own, or one of ours that is one.
        """
        try:
            delivered = await self._deliver(request)
        except DiscoveryError as error:
            raise httpx_error(error) from error.__cause__
        return await self._transport.handle_async_request(request) if delivered is None else delivered

    async def _deliver(self, request: httpx.Request) -> httpx.Response | None:
        """The answer of a backend; None for a request that is to pass as it is."""
        url = request.url
        host = self._finding.directory.find((url.scheme, url.netloc.decode()), url.raw_host.decode(), url.port)
        if host is None:
            return None
        asked = current()
        key = host.key_of(request, asked)
        end = host.rules.end()
        node = await self._finding.find(host, key, end)
        if node is None:
            return None
        host.asked = True
        return await Delivery(self._transport, self._tells, request, host, key, asked, end).send(node)
