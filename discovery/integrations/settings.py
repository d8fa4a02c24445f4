"""What a user says to an integration: which hosts are whose, and how their requests are sent."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ..checks import is_seconds
from ..errors import ConfigurationError, quote
from ..pool_options import PoolOptions
from ..targets import Target
from .finding import Fallback
from .hosts import Via
from .routes import KeyOf, Route, routes_of


def _one_of(*allowed: object) -> Callable[[object, "attrs.Attribute[Any]", object], None]:
    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in allowed:
            known = " or ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in allowed)
            raise ConfigurationError(f"{attribute.name}={quote(value)} is unknown", next_step=f"Give {known}")

    return check


def _wait(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not (value == 0 or is_seconds(value)):
        raise ConfigurationError(f"{attribute.name}={quote(value)} is not a number of seconds")


def _function(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} cannot be called", next_step="Give a function of the request"
        )


def _routes(given: Mapping[str, Route | Target | str] | None) -> dict[str, Route]:
    return routes_of({} if given is None else given)


@attrs.frozen(kw_only=True)
class Settings:
    """See `Discovery.middleware`, which has the same arguments.

    Raises:
        InvalidTarget: a route's target cannot be read.
        ConfigurationError: one of them cannot be used.
    """

    routes: Mapping[str, Route] = attrs.field(converter=_routes)
    via: Via = attrs.field(validator=_one_of("endpoints", "cluster-ip"))
    fallback: Fallback | None = attrs.field(validator=_one_of("service", None))
    ready_timeout: float = attrs.field(validator=_wait)
    short_names: bool = False
    key: KeyOf | None = attrs.field(default=None, validator=_function)
    options: PoolOptions = attrs.field(factory=PoolOptions)
