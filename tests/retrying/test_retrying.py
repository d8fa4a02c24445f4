"""Whether and when to try again."""

import errno
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import ConfigurationError, DeadlineExceeded, RetriesExhausted
from discovery.retrying import (
    Answer,
    Outcome,
    RetryBudget,
    RetryPolicy,
    asks_again,
    classify,
    delay,
    hears_retry_after,
    of_status,
    retriable,
)
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
        (DeadlineExceeded("of a call inside"), FINAL),
        (RetriesExhausted("of a call inside"), FINAL),
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


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ([200, 204, 301, 304], Answer.FINE),
        ([400, 401, 403, 404, 408, 409, 422, 499], Answer.FINE),
        ([429], Answer.THROTTLED),
        ([500, 501, 502, 503, 504, 507, 599], Answer.FAILED),
    ],
)
def test_a_failure_of_the_backend_is_what_its_status_says_and_a_wrong_request_is_none(
    statuses: list[int], answer: Answer
) -> None:
    assert {of_status(status) for status in statuses} == {answer}


@pytest.mark.parametrize(
    ("status", "retry_after", "again"),
    [
        (503, None, True),
        (503, 1.0, True),
        (500, None, False),
        (500, 1.0, False),
        (200, 1.0, False),
        (429, None, False),
        (429, 0.0, True),
        (429, 5.0, True),
    ],
)
def test_statuses_of_the_policy_ask_for_another_attempt_and_429_if_it_says_when(
    status: int, retry_after: float | None, again: bool
) -> None:
    assert asks_again(status, RetryPolicy().statuses, retry_after) is again


def test_retry_after_is_heard_with_two_statuses() -> None:
    assert [status for status in range(100, 600) if hears_retry_after(status)] == [429, 503]


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
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": float("nan")},
        {"statuses": 503},
        {"statuses": "503"},
        {"statuses": (503, "504")},
        {"statuses": (503, True)},
        {"statuses": (200,)},
        {"statuses": (600,)},
        {"budget": 0.2},
        {"budget": RetryBudget},
    ],
)
def test_a_policy_that_cannot_work_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigurationError, match=f"{name}="):
        RetryPolicy(**{name: value})


def test_a_policy_is_a_value() -> None:
    assert RetryPolicy() == RetryPolicy(attempts=3, statuses=(502, 503, 504), budget=RetryBudget(ratio=0.2))
    assert hash(RetryPolicy()) == hash(RetryPolicy())


def test_statuses_may_be_given_as_any_collection_and_none_at_all() -> None:
    assert RetryPolicy(statuses=[503, 500]).statuses == (503, 500)
    assert RetryPolicy(statuses=()).statuses == ()


def test_a_policy_may_set_no_budget() -> None:
    assert RetryPolicy(budget=None).budget is None


@given(st.integers(2, 10_000))
def test_two_clients_do_not_wait_alike_even_at_the_cap(retry: int) -> None:
    waits = {delay(retry, random.Random(seed)) for seed in range(20)}
    assert len(waits) == 20
    assert max(waits) - min(waits) > min(CAP, BASE * 2.0 ** (min(retry, 20) - 1)) / 4


def test_a_seed_gives_the_same_waits_again() -> None:
    assert [delay(retry, random.Random(7)) for retry in range(9)] == [
        delay(retry, random.Random(7)) for retry in range(9)
    ]
