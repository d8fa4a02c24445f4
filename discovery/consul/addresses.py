"""The addresses of Consul, as its own programs take them."""

from typing import Final
from urllib.parse import urlsplit

import attrs

from ..errors import ConfigurationError, quote

_NEXT_STEP: Final = "Write http://HOST:8500, https://HOST:8501, HOST:8500 or unix:///PATH; several with commas between"


@attrs.frozen(kw_only=True)
class Address:
    """One place where Consul is.

    Attributes:
        url: as it is written: `http://host:8500`, with a path below which the API is, or `unix:///path`.
        base: what a request's path is appended to.
        where: what a message calls it: `host:port`, or the socket's path.
        socket: the path of a unix socket, or None.
        tls: whether it is spoken to in TLS.
    """

    url: str
    base: str
    where: str
    socket: str | None = None
    tls: bool = False


def parse_addresses(text: str, *, tls: bool = False) -> tuple[Address, ...]:
    """Each of the addresses; with `tls`, `http` and an address without a scheme are meant to be `https`.

    Raises:
        ConfigurationError: one of them cannot be used, or has credentials in it. The error does not show them.
    """
    parts = [one.strip() for one in text.split(",")]
    return tuple(dict.fromkeys(_parse(one, tls=tls) for one in parts))


def _parse(text: str, *, tls: bool) -> Address:
    if text.startswith("unix://"):
        return _unix(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if "@" in rest:
        raise ConfigurationError(
            "the address of Consul has credentials in it, and addresses end up in logs",
            next_step="Give them with CONSUL_HTTP_AUTH or CONSUL_HTTP_TOKEN",
        )
    if "?" in rest or "#" in rest:
        raise ConfigurationError(
            "the address of Consul goes on after its path, where a token may be, so it is not shown",
            next_step=f"{_NEXT_STEP}; a token is given with CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE",
        )
    if scheme not in ("http", "https"):
        raise ConfigurationError(f"the address of Consul {quote(text)} cannot be used", next_step=_NEXT_STEP)
    return _http("https" if tls else scheme, rest, text)


def _unix(text: str) -> Address:
    path = text.removeprefix("unix://")
    if not path.startswith("/") or not path.isprintable():
        raise ConfigurationError(f"the socket of Consul {quote(text)} is no absolute path", next_step=_NEXT_STEP)
    return Address(url=text, base="http://localhost", where=path, socket=path)


def _http(scheme: str, rest: str, text: str) -> Address:
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"the address of Consul {quote(text)} cannot be used", next_step=_NEXT_STEP) from error
    if not host or not rest.isprintable() or " " in rest:
        raise ConfigurationError(f"the address of Consul {quote(text)} cannot be used", next_step=_NEXT_STEP)
    url = f"{scheme}://{parts.netloc}{parts.path}".rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    where = f"{shown}:{port or (443 if scheme == 'https' else 80)}"
    return Address(url=url, base=url, where=where, tls=scheme == "https")
