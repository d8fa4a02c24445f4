"""Hooks that write events as lines: for people, and for what collects logs. Without the machinery of `logging`.

Text from a cluster or from Consul is untrusted: it ends no line, and moves no cursor.
"""

import contextlib
import json
import logging
from datetime import UTC, datetime
from typing import TextIO

from ..events import LEVELS, Event


class Lines:
    """Writes an event a line: time, level, name, subject and fields. A hook for `Discovery(on_event=...)`.

    Args:
        stream: where to; one that is broken loses lines, and nothing else.
        level: the least that is written, as in `logging`.
    """

    def __init__(self, stream: TextIO, *, level: int = logging.INFO) -> None:
        self._stream = stream
        self._level = level

    def __call__(self, event: Event) -> None:
        """Write it, where it is worth a line."""
        level = LEVELS.get(event.name, logging.DEBUG)
        if level >= self._level:
            with contextlib.suppress(OSError):
                print(self.line(event, logging.getLevelName(level)), file=self._stream, flush=True)

    def line(self, event: Event, level: str) -> str:
        """The event as text, without the line's end."""
        fields = [f"{name}={value}" for name, value in event.data.items()]
        return _printable(" ".join(part for part in (_now(), level, event.name, event.subject, *fields) if part))


class JsonLines(Lines):
    """Writes an event a line, as JSON: `time`, `level`, `event`, `subject`, and `data` with its fields."""

    def line(self, event: Event, level: str) -> str:
        """The event as a JSON object in ASCII."""
        shown = {"time": _now(), "level": level, "event": event.name, "subject": event.subject, "data": {**event.data}}
        return json.dumps(shown, default=str)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
