"""What a middleware is told about hosts."""

from collections.abc import Callable

import aiohttp
import attrs
from attrs.validators import optional

from ...balancing import Balancer, Key
from ...checks import instance
from ...retrying import RetryPolicy
from ...targets import Target, parse

KeyOf = Callable[[aiohttp.ClientRequest], Key]


def _target(given: Target | str) -> Target:
    return parse(given) if isinstance(given, str) else given


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


def route(given: Route | Target | str) -> Route:
    """A route from what users may write in its place."""
    return given if isinstance(given, Route) else Route(given)
