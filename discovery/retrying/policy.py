"""What a user says about trying again."""

import attrs

from ..checks import seconds, whole


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a call is tried again on another backend.

    Args:
        attempts: tries in all, the first counted. At least 1; 3 is what gRPC and Finagle tend to: it survives two bad
            backends and no more than triples the load.
        connect_timeout: seconds for making a connection; `Pool.call` does not know when one is made. Inside a cluster
            that takes a millisecond; a second is one lost SYN (its retransmission comes after 1 s, RFC 6298) and far
            below the 30 s that aiohttp waits.
        per_try_timeout: seconds for one try up to the response's headers, in `Pool.call` for all of it; None leaves it
            to the caller's own timeout.

    Raises:
        ConfigurationError: a number out of its range.
    """

    attempts: int = attrs.field(default=3, validator=whole(least=1))
    connect_timeout: float = attrs.field(default=1.0, validator=seconds())
    per_try_timeout: float | None = attrs.field(default=None, validator=seconds(optional=True))
