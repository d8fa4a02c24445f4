"""What a user says of outlier detection."""

import attrs

from ...checks import number, seconds, whole
from ...errors import ConfigurationError


@attrs.frozen(kw_only=True)
class OutlierDetection:
    """When a backend is kept out for its failures, and for how long.

    A failure is what a lease calls one: no connection, no answer in time, HTTP 5xx; 429 counts in the rates and not in
    the row (Linkerd). Cancellation and the caller's own errors are none. Where no source is named, the default is
    Envoy's, which gRPC (A50) shares as far as it has the option.

    Args:
        consecutive_failures: failures in a row that eject; None: not looked at. 5 (Finagle's too).
        failure_percentage: more than so many percent of an interval's outcomes, from 0 to 100; None: not looked at. 85;
            "more than" is A50's algorithm, its text says "at least".
        failure_percentage_hosts: only where so many backends have enough outcomes. 2: one of a small Deployment can be
            judged by itself, as long as there is another to go to (Envoy and gRPC: 5).
        failure_percentage_volume: outcomes of an interval that are enough. 50.
        success_rate_stdev: a backend whose success rate is more than so many standard deviations below the mean, and
            further than chance explains (`rates.notable`); None: not looked at. 1.9.
        success_rate_hosts: only where so many backends have enough outcomes. 5: among fewer, one that always fails
            is never 1.9 deviations off.
        success_rate_volume: outcomes of an interval that are enough. 100.
        interval: seconds over which rates are taken, and in which failures of half of the backends are an outage. 10.
        ejection: seconds for which the first ejection lasts; the k-th lasts k times as long. Each interval without one
            takes one off k. 30.
        longest_ejection: seconds that none exceeds, but for a longer `ejection`. 300.
        max_ejected: share of the backends that may be ejected, from 0 to 1; above 0 it is at least one, and never the
            last that is left. 0.5; Envoy's and gRPC's 0.1 is made for big pools: it leaves 1 of 3, and 1 of 19.
        panic_threshold: below this share of usable backends, from 0 to 1, all are used: those that are left would be
            next to fail. 0 never does. 0.5.

    Raises:
        ConfigurationError: a number out of its range, or nothing that is looked at.
    """

    consecutive_failures: int | None = attrs.field(default=5, validator=whole(least=1, optional=True))
    failure_percentage: float | None = attrs.field(default=85.0, validator=number(least=0, most=100, optional=True))
    failure_percentage_hosts: int = attrs.field(default=2, validator=whole(least=1))
    failure_percentage_volume: int = attrs.field(default=50, validator=whole(least=1))
    success_rate_stdev: float | None = attrs.field(default=1.9, validator=number(least=0, optional=True))
    success_rate_hosts: int = attrs.field(default=5, validator=whole(least=1))
    success_rate_volume: int = attrs.field(default=100, validator=whole(least=1))
    interval: float = attrs.field(default=10.0, validator=seconds())
    ejection: float = attrs.field(default=30.0, validator=seconds())
    longest_ejection: float = attrs.field(default=300.0, validator=seconds())
    max_ejected: float = attrs.field(default=0.5, validator=number(least=0, most=1))
    panic_threshold: float = attrs.field(default=0.5, validator=number(least=0, most=1))

    def __attrs_post_init__(self) -> None:
        if self.consecutive_failures is self.failure_percentage is self.success_rate_stdev is None:
            raise ConfigurationError(
                "OutlierDetection looks at nothing: all of its criteria are None",
                next_step="outlier=None turns it off",
            )

    def lasts(self, times: int) -> float:
        """Seconds of the `times`-th ejection, from 1 (Envoy, gRPC A50)."""
        return min(self.ejection * times, max(self.longest_ejection, self.ejection))
