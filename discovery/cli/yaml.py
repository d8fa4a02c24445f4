"""YAML of plain objects, in the shape in which Kubernetes' own documents are written. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][-A-Za-z0-9./]*")
"""Text that stands without quotes, unless YAML takes it for something else."""

_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for a boolean or nothing; in any case of letters."""


def document(value: Mapping[str, Any]) -> str:
    """Objects of objects, lists and ASCII text as one YAML document, with a line's end.

    Lists of text are written in one line, in quotes.
    """
    return "".join(f"{line}\n" for line in _object(value))


def _object(value: Mapping[str, Any]) -> Iterator[str]:
    for key, inner in value.items():
        match inner:
            case str():
                yield f"{key}: {text(inner)}"
            case Mapping():
                yield f"{key}:"
                yield from (f"  {line}" for line in _object(inner))
            case [Mapping(), *_]:
                yield f"{key}:"
                for one in inner:
                    yield from (f"  {'  ' if number else '- '}{line}" for number, line in enumerate(_object(one)))
            case _:
                yield f"{key}: {json.dumps(inner)}"


def text(value: str) -> str:
    """One text, in quotes where it needs them: JSON's are YAML's."""
    return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value)
