"""What an integration is told about hosts: where their requests go, and how."""

import contextlib
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import attrs

from ..balancing import Key
from ..errors import ConfigurationError, quote
from ..pool_options import PoolKeywords, PoolOptions
from ..surroundings import check_callback
from ..targets import Target, parse

KeyOf = Callable[[Any], Key]
"""From a request, of the class that the integration's library has for it, to what a hash policy places it by."""


@attrs.frozen(init=False)
class Route:
    """Where the requests for one host go, and how. What is not given is as the middleware has it.

    Args:
        target: a target, as text or as a typed value.
        key: what a hash policy places a request by.
        options: of the host's pool, as in `Discovery.pool`, each of which stands in the place of the middleware's.

    Raises:
        InvalidTarget: the text is no target.
        ConfigurationError: an option cannot be used.
    """

    target: Target
    key: KeyOf | None
    options: Mapping[str, Any] = attrs.field(hash=False)

    def __init__(self, target: Target | str, *, key: KeyOf | None = None, **options: Unpack[PoolKeywords]) -> None:
        PoolOptions(**options)  # says what cannot be used
        check_callback("key", key)
        self.__attrs_init__(target if isinstance(target, Target) else parse(target), key, options)


def routes_of(given: Mapping[str, Route | Target | str]) -> dict[str, Route]:
    """Routes by host, in lower case, from what users may write.

    Raises:
        ConfigurationError: no mapping, or a key that is no host.
        InvalidTarget: a target that is none.
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"routes={quote(given)} is no mapping", next_step='Write {"host": "target"}')
    return {_host(host): value if isinstance(value, Route) else Route(value) for host, value in given.items()}


def _host(host: object) -> str:
    if not isinstance(host, str) or not host or "/" in host or (":" in host and not _is_ipv6(host)):
        raise ConfigurationError(f"{quote(host)} is no host of a route", next_step="Write it without scheme and port")
    return host.lower().removesuffix(".")


def _is_ipv6(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.IPv6Address(host))
    return False
