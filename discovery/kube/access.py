"""One request to the API server, and what its answer means.

Status codes become the error tree here, once. What is asked for and how often is not decided here: `informer` and
`reflector` do that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import aiohttp

from ..errors import ConfigurationError, DiscoveryError, quote
from ..network import NETWORK_ERRORS, kept_alive
from ..version import __version__
from .failures import status_error, unreachable
from .objects import DECODE_ERRORS, Status, decode_status
from .protobuf import MAGIC, read_status

if TYPE_CHECKING:
    from .credentials import Credentials, Settings

CONNECT_SECONDS = 10.0
"""Limit on making a connection to the API server, TLS included."""

LONGEST_STATUS = 65536
"""Bytes of an error's body that are read: a Status is short."""

STATUS_SECONDS = 5.0
"""Limit on reading it."""

READ = frozenset({200})
WRITTEN = frozenset({200, 201, 202})
"""Statuses of success: of a read, and of a write (201 is created, 202 a deletion that has begun)."""


class Access:
    """The way to one API server. Opens its session on first use; `aclose()` ends it."""

    def __init__(self, credentials: "Credentials") -> None:
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self.requests = 0

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._ending:
            await asyncio.wait(self._ending)

    @contextlib.asynccontextmanager
    async def open(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        verb: str,
        resource: str,
        namespace: str | None,
        accept: str = "application/json",
        timeout: float | None = None,
        method: str = "GET",
        body: bytes | None = None,
        name: str = "",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with a status of success, streaming; closed at the end of the block.

        Args:
            path: of the collection or object.
            query: its parameters.
            verb: as RBAC has it (`get`, `list`, `watch`, `create`, ...), for the errors' text; likewise the resource,
                the namespace and the name.
            resource: with its group, as RBAC errors write it.
            namespace: None for all.
            accept: media types, best first.
            timeout: seconds without a byte that end the response, None for no limit.
            method: of HTTP; any but GET writes, see `writes`.
            body: JSON that is sent along.
            name: of the one object asked for.

        Raises:
            ConfigurationError, Unauthenticated, AccessDenied, ApiUnavailable, Expired.
        """
        settings = await self._credentials.get()
        response = await self._send(settings, path, query, accept, timeout, method, body)
        if response.status == 401:
            # The token may have been replaced a moment ago: read it again, and ask once more.
            self._end(response)
            settings = await self._credentials.get(not_this=settings)
            response = await self._send(settings, path, query, accept, timeout, method, body)
        try:
            if response.status not in (READ if method == "GET" else WRITTEN):
                raise await _error(response, settings, verb, resource, namespace, query, name)
            yield response
        finally:
            self._end(response)

    def _end(self, response: aiohttp.ClientResponse) -> None:
        """Let the connection go. One that is left in the middle is cut: TLS would wait for the peer's goodbye."""
        protocol = response.connection.protocol if response.connection is not None else None
        if protocol is not None:
            if protocol.closed is not None:
                self._ending.add(protocol.closed)
                protocol.closed.add_done_callback(self._ended)
            protocol.abort()
        response.close()

    def _ended(self, closed: "asyncio.Future[None]") -> None:
        self._ending.discard(closed)
        closed.cancelled() or closed.exception()

    async def _send(
        self,
        settings: "Settings",
        path: str,
        query: Mapping[str, str],
        accept: str,
        timeout: float | None,
        method: str,
        body: bytes | None,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if settings.token:
            headers["Authorization"] = settings.token
        for_proxy = {"Proxy-Authorization": settings.proxy_token} if settings.proxy_token else {}
        if not settings.tls:
            headers |= for_proxy  # without TLS the request itself passes through the proxy
        self.requests += 1
        url = f"{settings.host}{path}?{urlencode(query)}" if query else settings.host + path
        try:
            return await self._open_session().request(
                method,
                url,
                data=body,
                headers=headers,
                ssl=settings.tls or True,
                server_hostname=settings.server_hostname,
                proxy=settings.proxy,
                proxy_headers=for_proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=timeout),
            )
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConfigurationError(
                f"the certificate of {_where(settings)} is not trusted ({quote(error.certificate_error)})",
                next_step="Check certificate-authority and tls-server-name",
            ) from error
        except aiohttp.ClientResponseError as error:
            failure = unreachable(_where(settings), error)
        except NETWORK_ERRORS as error:
            raise unreachable(_where(settings), error) from error
        raise failure  # without its cause, which holds the request and so the token

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Watches are connections that stay: no limit may count them.
            connector = aiohttp.TCPConnector(limit=0, socket_factory=kept_alive)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": f"aiodiscovery/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=2**18,
            )
        return self._session


def _where(settings: "Settings") -> str:
    parts = urlsplit(settings.host)
    return f"the API server {parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


async def _error(
    response: aiohttp.ClientResponse,
    settings: "Settings",
    verb: str,
    resource: str,
    namespace: str | None,
    query: Mapping[str, str],
    name: str,
) -> DiscoveryError:
    status = await _status(response)
    what = f"{verb} {resource} in {'the namespace ' + namespace if namespace else 'all namespaces'}"
    wait = _retry_after(response, status)
    name = name or query.get("fieldSelector", "").partition("metadata.name=")[2]
    return status_error(response.status, status, what, verb, resource, namespace, _where(settings), wait, name=name)


async def _status(response: aiohttp.ClientResponse) -> Status:
    """What the server says of its refusal, in either form; an empty one where it is no Status."""
    body = b""
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            while len(body) < LONGEST_STATUS and (chunk := await response.content.read(LONGEST_STATUS)):
                body += chunk
        return read_status(body) if body.startswith(MAGIC) else decode_status(body)
    except (*DECODE_ERRORS, *NETWORK_ERRORS):
        return Status()


def _retry_after(response: aiohttp.ClientResponse, status: Status) -> float | None:
    """Seconds, from the header or else the Status; a date is not what an API server sends."""
    header = response.headers.get("Retry-After", "")
    if header.isascii() and header.isdigit():
        return float(header[:6])
    seconds = status.details.retry_after_seconds if status.details else None
    return float(seconds) if seconds and seconds > 0 else None
