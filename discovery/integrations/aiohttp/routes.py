"""What a middleware is told about hosts."""

import contextlib
import ipaddress
from collections.abc import Callable, Mapping

import aiohttp
import attrs
from attrs.validators import optional

from ...balancing import Balancer, Key
from ...checks import instance
from ...errors import ConfigurationError, quote
from ...retrying import RetryPolicy
from ...targets import Target, parse

KeyOf = Callable[[aiohttp.ClientRequest], Key]


def _target(given: Target | str) -> Target:
    return given if isinstance(given, Target) else parse(given)


@attrs.frozen
class Route:
    """Where the requests for one host go, and how. What is None is as the middleware has it.

    Args:
        target: a target, as text or as a typed value.
        balancer: how a backend is chosen.
        retry: when another is tried.
        key: what a hash policy places a request by.

    Raises:
        InvalidTarget: the text is no target.
        ConfigurationError: a policy is none.
    """

    target: Target = attrs.field(converter=_target)
    balancer: Balancer | None = attrs.field(default=None, kw_only=True, validator=optional(instance(Balancer)))
    retry: RetryPolicy | None = attrs.field(default=None, kw_only=True, validator=optional(instance(RetryPolicy)))
    key: KeyOf | None = attrs.field(default=None, kw_only=True)


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
