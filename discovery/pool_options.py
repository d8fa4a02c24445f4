"""What makes two pools of one target different. No behaviour."""

from typing import Any, TypedDict

import attrs
from attrs.validators import optional

from .balancing import Balancer, LeastRequest, is_keyed
from .balancing.locality import LocalityAware
from .balancing.outlier import OutlierDetection
from .balancing.slow_start import SlowStart
from .balancing.subset import Subset
from .checks import instance, whole
from .errors import ConfigurationError, quote
from .lease import FAILURES
from .resolvers.health import HealthCheck
from .retrying import Hedging, RetryPolicy

MOST_QUEUED = 1000
"""Callers that wait in `acquire` for a free place: more would wait for longer than any of them has time."""


class PoolKeywords(TypedDict, total=False):
    """The options of a pool, as keyword arguments: those of `PoolOptions`."""

    balancer: Balancer | None
    outlier: OutlierDetection | None
    slow_start: SlowStart | None
    locality: LocalityAware | None
    subset: Subset | None
    retry: RetryPolicy | None
    hedging: Hedging | None
    max_in_flight: int | None
    max_in_flight_per_backend: int | None
    max_queued: int
    health: HealthCheck | None
    failures: tuple[type[BaseException], ...]


def _failures(_instance: object, _attribute: "attrs.Attribute[Any]", value: object) -> None:
    kinds = value if isinstance(value, tuple) else (None,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise ConfigurationError(f"failures={quote(value)} is no tuple of exceptions")


def _balancer(given: Balancer | None) -> Balancer:
    return LeastRequest() if given is None else given


def _retry(given: RetryPolicy | None) -> RetryPolicy:
    return RetryPolicy() if given is None else given


@attrs.frozen(kw_only=True)
class PoolOptions:
    """How a pool of a target chooses, and tries again. Equal options share a pool.

    Args:
        balancer: the policy.
        outlier: when a backend is kept out for its failures; None never does.
        slow_start: how a new backend's share grows; None gives it all at once.
        locality: whether the client's own zone comes first; None leaves zones to Kubernetes' own hints.
        subset: how many of the backends this client uses; None is `Subset()` (100), and all for policies that place by
            a key, since every client must find the same one.
        retry: when another backend is tried.
        hedging: when a second copy of a slow request is sent; None never does.
        max_in_flight: exchanges of this pool at a time, beyond which it is `Overloaded`; None is without limit.
        max_in_flight_per_backend: the same for each backend, by all pools of the target.
        max_queued: callers that may wait in `acquire` for one of these limits.
        health: how backends are checked; None takes them as the target tells them.
        failures: exceptions that count against the backend when they leave a lease.

    Raises:
        ConfigurationError: one is of the wrong kind, or cannot be hashed.
    """

    balancer: Balancer = attrs.field(
        default=None, converter=_balancer, validator=instance(Balancer, such_as="RoundRobin()")
    )
    outlier: OutlierDetection | None = attrs.field(
        factory=OutlierDetection, validator=optional(instance(OutlierDetection))
    )
    slow_start: SlowStart | None = attrs.field(default=None, validator=optional(instance(SlowStart)))
    locality: LocalityAware | None = attrs.field(default=None, validator=optional(instance(LocalityAware)))
    subset: Subset | None = attrs.field(default=None, validator=optional(instance(Subset)))
    retry: RetryPolicy = attrs.field(default=None, converter=_retry, validator=instance(RetryPolicy))
    hedging: Hedging | None = attrs.field(default=None, validator=optional(instance(Hedging)))
    max_in_flight: int | None = attrs.field(default=None, validator=optional(whole(least=1)))
    max_in_flight_per_backend: int | None = attrs.field(default=None, validator=optional(whole(least=1)))
    max_queued: int = attrs.field(default=MOST_QUEUED, validator=whole(least=0))
    health: HealthCheck | None = attrs.field(default=None, validator=optional(instance(HealthCheck)))
    failures: tuple[type[BaseException], ...] = attrs.field(default=FAILURES, validator=_failures)

    def __attrs_post_init__(self) -> None:
        try:
            hash(self)
        except TypeError as error:
            raise ConfigurationError(
                f"{quote(self.balancer)} cannot be hashed",
                next_step="Make a policy a frozen value: equal ones share a pool",
            ) from error

    @property
    def used_subset(self) -> Subset | None:
        """The subset that holds: where none is given, it goes by the policy."""
        if self.subset is not None:
            return self.subset
        return None if is_keyed(self.balancer) else Subset()
