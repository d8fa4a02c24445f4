"""What a failed attempt means for the next one.

The question is never "did it fail" but "may the other side have acted on it": a request that was never sent may go
elsewhere whatever it is, one that was sent only if doing it twice is the same as once.
"""

import errno
from enum import Enum

NEVER_CONNECTED = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)
"""Errors of connect(2), after which nothing can have been sent."""


class Outcome(Enum):
    """What came of an attempt."""

    UNSENT = "nothing was sent: anybody may try again"
    SENT = "it may have been acted on: only what is idempotent may be tried again"
    FINAL = "not a failure of the backend: trying again changes nothing"


def classify(error: BaseException) -> Outcome:
    """The outcome of an attempt of any protocol. Integrations know more of the errors of their own library."""
    if isinstance(error, OSError) and error.errno in NEVER_CONNECTED:
        return Outcome.UNSENT
    if isinstance(error, OSError | TimeoutError | EOFError):
        return Outcome.SENT
    return Outcome.FINAL


def retriable(outcome: Outcome, *, idempotent: bool) -> bool:
    """Whether another backend may be tried after this."""
    return outcome is Outcome.UNSENT or (outcome is Outcome.SENT and idempotent)
