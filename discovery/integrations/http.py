"""What HTTP itself says of requests that are tried again: methods, headers and statuses, in whoever's hands.

Which class a request or a response has is its library's affair, and no matter here.
"""

import time
from collections.abc import Collection, Container, Mapping

from ..attempts import Unwanted
from ..caller import Options
from ..lease import Lease
from ..retrying import Answer, asks_again, hears_retry_after, of_status, parse_retry_after

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice (RFC 9110, 9.2.2)."""

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header by which a server tells a second sending from a second request (draft-ietf-httpapi-idempotency-key)."""

ATTEMPT_COUNT = "x-attempt-count"
"""The header that says to a server which attempt this is, from the second on."""

EXPECTED = "x-envoy-expected-rq-timeout-ms"
"""The header that says to a server for how many milliseconds its answer is waited for (Envoy's name)."""

RETRY_AFTER = "Retry-After"


def is_idempotent(method: str, headers: Container[str], asked: Options | None) -> bool:
    """Whether a request may be sent twice: by the caller's word, its method, or a key that the server knows it by."""
    if asked is not None and asked.idempotent is not None:
        return asked.idempotent
    return method in IDEMPOTENT or IDEMPOTENCY_KEY in headers


def announced(attempt: int, left: float | None) -> dict[str, str]:
    """The headers that tell a server the number of an attempt, and how many seconds are `left` for it."""
    said = {ATTEMPT_COUNT: str(attempt)} if attempt > 1 else {}
    if left is not None:
        said[EXPECTED] = str(max(1, int(left * 1000)))
    return said


def asked_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asked to be left alone for; None where it did not, or not so that it can be read."""
    return parse_retry_after(headers.get(RETRY_AFTER), time.time()) if hears_retry_after(status) else None


def unwanted(answer: object, status: int, headers: Mapping[str, str], statuses: Collection[int]) -> Unwanted | None:
    """The answer as one that asks for another attempt; None for one that is to be taken as it is."""
    wait = asked_wait(status, headers)
    return Unwanted(answer, status=status, retry_after=wait) if asks_again(status, statuses, wait) else None


def judge_backend(lease: Lease, status: int, headers: Mapping[str, str]) -> None:
    """What the status of an answer says of its backend, told to the lease."""
    meaning = of_status(status)
    if meaning is not Answer.FINE:
        lease.fail(retry_after=asked_wait(status, headers), throttled=meaning is Answer.THROTTLED)
