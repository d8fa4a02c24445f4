"""Durations as Go writes them: `1m30s`."""

import re

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def nanoseconds(text: str) -> int | None:
    """What a duration says; None where it is none. "" and "0" are 0."""
    if text in ("", "0"):
        return 0
    if not re.fullmatch(f"({_PART.pattern})+", text):
        return None
    return sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))


def seconds(text: str) -> float | None:
    """The same in seconds."""
    found = nanoseconds(text)
    return None if found is None else found / 10**9


def written(seconds: float) -> str:
    """As Go writes so many seconds: `24h0m0s`, `1.5s`, `250ms`."""
    whole = round(seconds * 10**9)
    if whole == 0:
        return "0s"
    if whole < 10**9:
        unit = next(unit for unit in ("ms", "µs", "ns") if whole >= _UNITS[unit])
        return f"{whole / _UNITS[unit]:.9g}{unit}"
    minutes, rest = divmod(whole, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 10**9:.11g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
