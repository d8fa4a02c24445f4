"""What a server asks for with `Retry-After`: seconds, or a date in one of the three forms of HTTP.

Read by hand: `strptime` goes by the process's locale, and the standard library's reader of dates takes far more than
HTTP allows.
"""

import re
from datetime import UTC, datetime

LONGEST_WAIT = 60.0
"""Seconds that a call waits at most because it was asked to. Who asks for more has said that now is no use."""

_SECONDS = re.compile(r"[0-9]{1,10}")
"""Three hundred years at most: more digits are garbage."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES = (
    re.compile(f"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(f"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-(?P<month>[A-Z][a-z]{{2}})-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(f"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)
"""RFC 9110, 5.6.7: the form of today, that of RFC 850, and that of C's asctime."""


def parse(value: str | None, now: float) -> float | None:
    """Seconds to wait, by the value of a `Retry-After` header (RFC 9110, 10.2.3); 0 for a date that has passed.

    Args:
        value: of the header; None where there was none.
        now: seconds since 1970, UTC.

    Returns:
        None for what says nothing: garbage, a negative number, a fraction, several values.
    """
    value = "" if value is None else value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    for form in _DATES:
        match = form.fullmatch(value)
        if match is not None:
            at = _timestamp(match, now)
            return None if at is None else max(0.0, at - now)
    return None


def _timestamp(date: re.Match[str], now: float) -> float | None:
    """Seconds since 1970; None for a day or an hour that there is not."""
    try:
        month = _MONTHS.index(date["month"]) + 1
        second = min(int(date["second"]), 59) if date["second"] <= "60" else 60  # a leap second has no name here
        year = int(date["year"])
        if len(date["year"]) == 2:
            year = _century(year, now)
        at = datetime(year, month, int(date["day"]), int(date["hour"]), int(date["minute"]), second, tzinfo=UTC)
    except ValueError:
        return None
    return at.timestamp()


def _century(year: int, now: float) -> int:
    """Of two digits: the last year with these that is at most 50 years ahead (RFC 9110, 5.6.7)."""
    last = datetime.fromtimestamp(now, UTC).year + 50
    return last - (last - year) % 100
