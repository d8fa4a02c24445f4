"""Whether and when to try again."""

import errno
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import RetryPolicy
from discovery.errors import ConfigurationError
from discovery.retrying import Outcome, classify, delay, retriable
from discovery.retrying.delay import BASE, CAP

UNSENT, SENT, FINAL = Outcome.UNSENT, Outcome.SENT, Outcome.FINAL


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), UNSENT),
        (OSError(errno.EHOSTUNREACH, "no route"), UNSENT),
        (OSError(errno.ENETUNREACH, "no network"), UNSENT),
        (ConnectionResetError(errno.ECONNRESET, "reset"), SENT),
        (BrokenPipeError(errno.EPIPE, "broken"), SENT),
        (TimeoutError(), SENT),
        (OSError(errno.ETIMEDOUT, "timed out"), SENT),
        (EOFError(), SENT),
        (ValueError("the answer is nonsense"), FINAL),
        (KeyError("x"), FINAL),
    ],
)
def test_what_an_error_means_for_the_next_attempt(error: Exception, outcome: Outcome) -> None:
    assert classify(error) is outcome


@pytest.mark.parametrize(
    ("outcome", "idempotent", "again"),
    [(UNSENT, False, True), (UNSENT, True, True), (SENT, False, False), (SENT, True, True), (FINAL, True, False)],
)
def test_what_was_never_sent_may_go_elsewhere_and_what_was_only_if_it_may_be_done_twice(
    outcome: Outcome, idempotent: bool, again: bool
) -> None:
    assert retriable(outcome, idempotent=idempotent) is again


@given(st.integers(1, 10_000), st.integers())
def test_the_first_retry_waits_for_nothing_and_later_ones_longer_up_to_a_cap(retry: int, seed: int) -> None:
    wait = delay(retry, random.Random(seed))
    assert 0 <= wait <= (0 if retry == 1 else min(CAP, BASE * 2.0 ** (min(retry, 20) - 1)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": True},
        {"attempts": 2.0},
        {"connect_timeout": 0},
        {"connect_timeout": None},
        {"connect_timeout": float("nan")},
        {"connect_timeout": float("inf")},
        {"connect_timeout": "1"},
        {"per_try_timeout": 0},
        {"per_try_timeout": -1},
        {"per_try_timeout": True},
    ],
)
def test_a_policy_that_cannot_work_is_refused_where_it_is_written(wrong: dict[str, float]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigurationError, match=f"{name}='"):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]


def test_a_policy_is_a_value() -> None:
    assert RetryPolicy() == RetryPolicy(attempts=3, connect_timeout=1.0, per_try_timeout=None)
    assert hash(RetryPolicy()) == hash(RetryPolicy())
