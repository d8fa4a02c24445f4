"""Events reach the hook, or the log at a level that fits them; a hook that fails hurts nobody."""

import logging

import pytest

from discovery import Event
from discovery.events import LEVELS, emitter, log


def test_without_a_hook_an_event_is_a_line_of_the_log_and_has_its_fields_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    emitter(None)(Event("watch.failed", "pods in shop", {"error": "lost", "tries": 2}))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("discovery", logging.WARNING)
    assert record.getMessage() == "watch.failed pods in shop error=lost tries=2"
    fields = {name: value for name, value in vars(record).items() if name.startswith("discovery.")}
    assert fields == {
        "discovery.event": "watch.failed",
        "discovery.subject": "pods in shop",
        "discovery.data": {"error": "lost", "tries": 2},
    }


@pytest.mark.parametrize("name", [*LEVELS, "call.retried", "pool.changed"])
def test_an_event_is_logged_at_the_level_of_its_name_and_debug_is_for_the_rest(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "discovery"):
        log(Event(name))
    assert [record.levelno for record in caplog.records] == [LEVELS.get(name, logging.DEBUG)]


def test_what_loses_or_breaks_something_is_worth_a_warning_and_what_is_usual_is_not() -> None:
    aloud = {name for name, level in LEVELS.items() if level >= logging.WARNING}
    assert aloud == {
        *("pool.empty", "pool.warning", "watch.failed", "dns.failed", "fallback.started"),
        *("outage.started", "panic.started"),
        *("consul.moved", "consul.logout", "consul.failed", "render.failed"),
        *("bridge.failed", "bridge.unusable", "bridge.refused", "bridge.foreign", "bridge.filtered"),
        *("bridge.asks", "bridge.unapproved", "bridge.unfinished", "leader.failed", "leader.lost"),
        *("freshness.expired", "freshness.failed"),
        *("import.withheld", "import.too-many", "import.failed"),
        *("resolver.failed", "reader.failed", "balancer.failed", "hook.failed"),
    }


class Unreadable:
    def __str__(self) -> str:
        raise AssertionError("nobody reads this level")


def test_what_nobody_reads_is_not_even_written(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "discovery"):
        log(Event("pool.changed", "web", {"what": Unreadable()}))
    assert caplog.records == []


def test_a_hook_takes_the_place_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Event] = []
    emitter(taken.append)(Event("watch.failed", "web"))
    assert taken == [Event("watch.failed", "web")]
    assert caplog.records == []


def test_a_hook_that_fails_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ZeroDivisionError(event.name)

    emitter(broken)(Event("pool.synced", "web"))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "hook.failed pool.synced error=ZeroDivisionError('pool.synced')"
