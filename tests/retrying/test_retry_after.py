"""`Retry-After`: seconds and three forms of a date; what is neither says nothing."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.retrying import parse_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("1", 1), ("120", 120), (" 7 ", 7), ("007", 7), ("9999999999", 9999999999)]
)
def test_whole_seconds_are_what_they_say(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "date",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_each_form_of_a_date_is_the_seconds_until_then(date: str) -> None:
    assert parse_retry_after(date, NOW) == 7
    assert parse_retry_after(date, NOW + 1000) == 0


@given(st.integers(0, 4_000_000_000), st.integers(-100_000, 100_000))
def test_a_date_is_read_as_it_was_written(now: int, ahead: int) -> None:
    at = datetime.fromtimestamp(now, UTC) + timedelta(seconds=ahead)
    if at.year >= 1970:
        assert parse_retry_after(format_datetime(at, usegmt=True), now) == max(0, ahead)
        assert parse_retry_after(at.strftime("%a %b ") + f"{at.day:2}" + at.strftime(" %H:%M:%S %Y"), now) == max(
            0, ahead
        )


@pytest.mark.parametrize(
    ("year", "today", "means"), [("99", 2026, 1999), ("76", 2026, 2076), ("77", 2026, 1977), ("05", 1998, 2005)]
)
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(year: str, today: int, means: int) -> None:
    now = datetime(today, 1, 1, tzinfo=UTC).timestamp()
    then = datetime(means, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    assert parse_retry_after(f"Sunday, 31-Dec-{year} 23:59:59 GMT", now) == max(0, then - now)


def test_a_leap_second_is_the_last_of_its_minute() -> None:
    now = datetime(2016, 12, 31, 23, 59, 50, tzinfo=UTC).timestamp()
    assert parse_retry_after("Sat, 31 Dec 2016 23:59:60 GMT", now) == 9


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "1, 2",
        "soon",
        "NaN",
        "inf",
        "0x10",
        "١٢",
        "12345678901",
        "9" * 5000,
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 2027 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "2027-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37 GMT, 120",
    ],
)
def test_what_is_neither_says_nothing(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None


@given(st.text(max_size=60), st.floats(0, 4e9))
def test_any_text_is_nothing_or_seconds_from_0_on(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now)
    assert seconds is None or seconds >= 0
