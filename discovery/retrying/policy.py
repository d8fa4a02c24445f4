"""What a user says about trying again."""

from collections.abc import Iterable
from typing import Any

import attrs

from ..checks import instance, is_seconds, seconds, whole
from ..errors import ConfigurationError, quote
from .budget import RetryBudget

LEAST_STATUS, GREATEST_STATUS = 400, 599


def _statuses(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    known = range(LEAST_STATUS, GREATEST_STATUS + 1)
    if not isinstance(value, tuple) or not all(type(one) is int and one in known for one in value):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} are not HTTP statuses of errors",
            next_step=f"Give whole numbers from {LEAST_STATUS} to {GREATEST_STATUS}",
        )


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value


def _deadline(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not is_seconds(value):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} is not a number of seconds above 0, or None",
            next_step="A deadline is counted from the start of the call",
        )


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a call is tried again on another backend.

    Args:
        attempts: tries in all, the first and a hedge counted. At least 1; 3 is what gRPC and Finagle tend to: it
            survives two bad backends and no more than triples the load.
        connect_timeout: seconds for making a connection; `Pool.call` does not know when one is made. Inside a cluster
            that takes a millisecond; a second is one lost SYN (its retransmission comes after 1 s, RFC 6298) and far
            below the 30 s that aiohttp waits.
        per_try_timeout: seconds for one try up to the response's headers, in `Pool.call` for all of it; None leaves it
            to the caller's own timeout.
        deadline: seconds for all tries and the pauses between them, up to the response's headers; None sets none. The
            earlier of this and `discovery.options(deadline=)` counts.
        statuses: of HTTP, 400 to 599, after which an idempotent request is tried again. 502, 503 and 504 are what
            gateways answer for a backend that did not; 429 is tried again without being named where the answer says
            when (Retry-After).
        budget: how many retries there may be, of all calls to a target; None sets no limit.

    Raises:
        ConfigurationError: a number out of its range.
    """

    attempts: int = attrs.field(default=3, validator=whole(least=1))
    connect_timeout: float = attrs.field(default=1.0, validator=seconds())
    per_try_timeout: float | None = attrs.field(default=None, validator=seconds(optional=True))
    deadline: float | None = attrs.field(default=None, validator=_deadline)
    statuses: tuple[int, ...] = attrs.field(default=(502, 503, 504), converter=_tuple, validator=_statuses)
    budget: RetryBudget | None = attrs.field(
        factory=RetryBudget, validator=attrs.validators.optional(instance(RetryBudget))
    )
