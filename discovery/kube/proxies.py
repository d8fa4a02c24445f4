"""The proxy between us and an API server: named by a kubeconfig or by the environment, read as kubectl reads them."""

import base64
import contextlib
import ipaddress
import urllib.request
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigurationError


def http_url(text: str) -> SplitResult | None:
    """Its parts, None where it is no URL of HTTP."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def proxy_of(url: str | None, source: str) -> tuple[str, str | None] | None:
    """The proxy's URL, and apart from it, so that no error shows it, the header with its user and password."""
    if not url:
        return None
    parts = http_url(url if "://" in url else f"http://{url}")
    if parts is None:
        raise ConfigurationError(
            f"the proxy of {source} is not of the form http://HOST:PORT", next_step="Correct proxy-url or HTTPS_PROXY"
        )
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is None:
        return place, None
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return place, f"Basic {base64.b64encode(user.encode()).decode()}"


def environment_proxy(server: SplitResult) -> str | None:
    """HTTPS_PROXY or HTTP_PROXY, where NO_PROXY does not forbid it; as Go has it, never for loopback."""
    host = server.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        bypass = host == "localhost"
    else:
        bypass = address.is_loopback or any(address in network for network in _networks())
    if bypass or urllib.request.proxy_bypass(server.netloc):
        return None
    return urllib.request.getproxies().get(server.scheme)


def _networks() -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The addresses and CIDR blocks of NO_PROXY, which the standard library reads as names."""
    for entry in urllib.request.getproxies().get("no", "").split(","):
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_network(entry.strip(), strict=False)
