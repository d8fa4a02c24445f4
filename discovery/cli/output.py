"""What the commands print. Text from a cluster is untrusted: no control character reaches a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from ..model import Backend

HOME_AND_CLEAR = "\x1b[H\x1b[J"
"""Puts what follows in the place of what a terminal shows."""


def complain(error: Exception | str) -> None:
    """One line on stderr."""
    print(f"discovery: {printable(str(error))}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text without what would move a cursor or ring a bell."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def as_json(backend: Backend) -> dict[str, Any]:
    """A backend as the JSON of every command has it: the fields of `discovery.Backend`."""
    return attrs.asdict(backend)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, aligned on the left."""
    lines = [list(head), *([printable(cell) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


BACKEND_HEAD = ("ADDRESS", "STATE", "ZONE", "NODE", "POD")


def backend_row(backend: Backend) -> tuple[str, ...]:
    """A line of a table of backends."""
    return backend.netloc, state_of(backend), backend.zone, backend.node, backend.pod.name if backend.pod else ""


def state_of(backend: Backend) -> str:
    """In one word."""
    if backend.ready:
        return "ready"
    return "standing-in" if backend.terminating and backend.serving else "not-ready"
