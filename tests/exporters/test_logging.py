"""Events as lines: each is one line, whatever its text is; what is not worth one is left out."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import Event
from discovery.events import LEVELS
from discovery.exporters.logging import JsonLines, Lines

FAILED = Event("watch.failed", "pods in shop", {"error": "lost", "tries": 2})


def written(kind: type[Lines], *events: Event, level: int = logging.INFO) -> list[str]:
    stream = io.StringIO()
    hook = kind(stream, level=level)
    for event in events:
        hook(event)
    return stream.getvalue().splitlines()


def test_a_line_has_time_level_name_subject_and_fields() -> None:
    (line,) = written(Lines, FAILED)
    time, said = line.split(" ", 1)
    assert said == "WARNING watch.failed pods in shop error=lost tries=2"
    assert time.endswith("+00:00")


def test_a_line_of_json_is_an_object() -> None:
    (line,) = written(JsonLines, FAILED)
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "WARNING", "event": "watch.failed", "subject": "pods in shop", "data": dict(FAILED.data)}


def test_what_json_does_not_know_is_written_as_text() -> None:
    (line,) = written(JsonLines, Event("watch.failed", "web", {"error": OSError("lost"), "ways": {"a"}}))
    assert json.loads(line)["data"] == {"error": "lost", "ways": "{'a'}"}


@pytest.mark.parametrize("kind", [Lines, JsonLines])
def test_only_what_is_worth_it_is_written(kind: type[Lines]) -> None:
    everything = [Event(name) for name in (*LEVELS, "pool.changed")]
    assert len(written(kind, *everything)) == len(LEVELS)
    assert len(written(kind, *everything, level=logging.DEBUG)) == len(LEVELS) + 1
    warned = [name for name, level in LEVELS.items() if level >= logging.WARNING]
    assert len(written(kind, *everything, level=logging.WARNING)) == len(warned)


@given(st.text(), st.text(), st.sampled_from([Lines, JsonLines]))
def test_foreign_text_ends_no_line_and_moves_no_cursor(subject: str, value: str, kind: type[Lines]) -> None:
    (line,) = written(kind, Event("watch.failed", subject, {"error": value}))
    assert line.isprintable()
    if kind is JsonLines:
        found = json.loads(line)
        assert (found["subject"], found["data"]) == (subject, {"error": value})


def test_a_stream_that_is_broken_loses_lines_and_nothing_else() -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    Lines(Broken())(FAILED)
