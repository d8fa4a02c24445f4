"""The API server: found, reached, trusted, and on time."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from ..errors import AccessDenied, ConfigurationError, quote
from ..kube import kubeconfig as files
from ..kube.access import Access
from ..kube.credentials import Credentials, Settings, in_cluster, own_namespace
from ..kube.failures import unreachable, unreadable
from ..kube.objects import DECODE_ERRORS
from ..network import NETWORK_ERRORS
from . import judging
from .finding import Finding, ok, warning

VERSION = "/version"
"""What every API server tells, whoever asks."""

PROOFS = {
    "exec": "an exec plugin",
    "auth-provider": "an auth provider",
    "token": "a token",
    "tokenFile": "a token file",
    "client-certificate": "a client certificate",
    "client-certificate-data": "a client certificate",
}
"""What a kubeconfig's user may have to prove who we are."""


class _Version(msgspec.Struct):
    gitVersion: str  # noqa: N815 - as it comes


class Kubernetes:
    """What can be said of one API server. `aclose()` ends its connections.

    Args:
        kubeconfig: as `Discovery` takes it; likewise context.
        context: of the kubeconfig.
        clock: the Unix time.

    Attributes:
        access: the way to it, with our credentials.
    """

    def __init__(self, kubeconfig: str | None, context: str | None, *, clock: Callable[[], float] = time.time) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._clock = clock
        self._credentials = Credentials(kubeconfig, context)
        self.access = Access(self._credentials)
        self._ahead: float | None = None
        self._version = ""

    async def aclose(self) -> None:
        """Close every connection."""
        await self.access.aclose()

    async def configuration(self) -> Finding:
        """Which one is meant, and by what we are to prove who we are."""
        settings = await self._credentials.get()
        return ok(await asyncio.to_thread(self._described, settings))

    async def answers(self) -> Finding:
        """Whether it can be reached and its certificate is trusted; it is asked without our token."""
        settings = await self._credentials.get()
        began, sent = time.monotonic(), self._clock()
        headers = await _ask(settings)
        took = time.monotonic() - began
        self._ahead = judging.skew(headers.get("Date", ""), sent, self._clock())
        how = "TLS" if settings.tls is not None else "no TLS"
        if settings.tls is not None and not settings.tls.check_hostname:
            return warning(
                f"{settings.host} answers in {took * 1000:.0f} ms, but its certificate is not checked",
                "Give certificate-authority in the kubeconfig instead of insecure-skip-tls-verify",
            )
        return ok(f"{settings.host} answers in {took * 1000:.0f} ms ({how}; a new connection)")

    async def clock(self) -> Finding:
        """Whether our clocks agree."""
        return judging.clock(self._ahead)

    async def credentials(self) -> Finding:
        """Whether it knows us."""
        settings = await self._credentials.get()
        try:
            async with self.access.open(VERSION, {}, verb="get", resource="version", namespace=None) as response:
                self._version = msgspec.json.decode(await response.read(), type=_Version).gitVersion
        except AccessDenied:  # it knows us: who it does not know gets a 401
            pass
        except DECODE_ERRORS as error:
            raise unreadable(VERSION, error) from error
        except NETWORK_ERRORS as error:
            raise unreachable(settings.host, error) from error
        return judging.token(judging.claims(settings.token), self._clock())

    async def version(self) -> Finding:
        """Which Kubernetes it is."""
        if not self._version:
            return warning("it does not tell us", "Bind the ClusterRole system:public-info-viewer, as clusters do")
        return judging.version(self._version)

    def _described(self, settings: Settings) -> str:
        """Which configuration this is. Blocks."""
        namespace = own_namespace(self._kubeconfig, self._context)
        way = f" through the proxy {settings.proxy}" if settings.proxy else ""
        if in_cluster(self._kubeconfig, self._context):
            return f"{settings.source} in the namespace {namespace}: {settings.host}{way}"
        chosen = files.choose(settings.source, files.places(self._kubeconfig)[1], self._context)
        return (
            f"{settings.source}, context {quote(chosen.context)}, namespace {quote(namespace)}: "
            f"{settings.host}{way}, with {_proof(chosen.user)}"
        )


def _proof(user: Mapping[str, Any]) -> str:
    return next((said for key, said in PROOFS.items() if user.get(key)), "no credentials")


async def _ask(settings: Settings) -> Mapping[str, str]:
    """The headers of any answer at all, over a connection of its own.

    Raises:
        ConfigurationError: the certificate is not trusted.
        ApiUnavailable: there is no answer.
    """
    proxy = {"Proxy-Authorization": settings.proxy_token} if settings.proxy_token else {}
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.get(
                settings.host + VERSION,
                headers=None if settings.tls else proxy,
                ssl=settings.tls or True,
                server_hostname=settings.server_hostname,
                proxy=settings.proxy,
                proxy_headers=proxy,
                allow_redirects=False,
            ) as response,
        ):
            await response.read()
            return response.headers.copy()
    except aiohttp.ClientConnectorCertificateError as error:
        raise ConfigurationError(
            f"the certificate of {settings.host} is not trusted ({quote(error.certificate_error)})",
            next_step="Check certificate-authority and tls-server-name",
        ) from error
    except aiohttp.ClientResponseError as error:
        failure = unreachable(settings.host, error)
    except NETWORK_ERRORS as error:
        raise unreachable(settings.host, error) from error
    raise failure  # without its cause, which holds the request and so the proxy's token
