"""The time, as the commands print it."""

from datetime import UTC, datetime


def now() -> str:
    """In UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
