"""What an attempt's outcome means: for the next one, and for the backend.

The question is never "did it fail" but "may the other side have acted on it": a request that was never sent may go
elsewhere whatever it is, one that was sent only if doing it twice is the same as once.
"""

import errno
from collections.abc import Collection
from enum import Enum

from ..errors import DiscoveryError

NEVER_CONNECTED = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
"""Errors of connect(2), after which nothing can have been sent."""

TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE = 429, 503
"""The two statuses of HTTP at which `Retry-After` is heard."""


class Outcome(Enum):
    """What came of an attempt."""

    UNSENT = "nothing was sent: anybody may try again"
    SENT = "it may have been acted on: only what is idempotent may be tried again"
    FINAL = "not a failure of the backend: trying again changes nothing"


class Answer(Enum):
    """What the status of an answer says of the backend."""

    FINE = "it works; a wrong request (4xx) is the client's fault"
    FAILED = "it failed"
    THROTTLED = "it works, and gets too many requests"


def classify(error: BaseException) -> Outcome:
    """The outcome of an attempt of any protocol. Integrations know more of the errors of their own library."""
    if isinstance(error, DiscoveryError):
        return Outcome.FINAL  # of a call within this one, which has had its own attempts
    if isinstance(error, OSError) and error.errno in NEVER_CONNECTED:
        return Outcome.UNSENT
    if isinstance(error, OSError | TimeoutError | EOFError):
        return Outcome.SENT
    return Outcome.FINAL


def retriable(outcome: Outcome, *, idempotent: bool) -> bool:
    """Whether another backend may be tried after this."""
    return outcome is Outcome.UNSENT or (outcome is Outcome.SENT and idempotent)


def of_status(status: int) -> Answer:
    """What an HTTP status says of the backend: 5xx are failures, as Envoy and Linkerd count them; 429 is none."""
    if status >= 500:
        return Answer.FAILED
    return Answer.THROTTLED if status == TOO_MANY_REQUESTS else Answer.FINE


def hears_retry_after(status: int) -> bool:
    """Whether `Retry-After` means a wait before another attempt: with a redirect it means something else."""
    return status in (TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE)


def asks_again(status: int, statuses: Collection[int], retry_after: float | None) -> bool:
    """Whether an answer of this HTTP status is worth another attempt: one of `statuses`, or 429 that says when."""
    return status in statuses or (status == TOO_MANY_REQUESTS and retry_after is not None)
