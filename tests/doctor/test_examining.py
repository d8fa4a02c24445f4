"""Checks run at once, in bounds, and none hides another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from discovery.doctor.examining import Check, examine
from discovery.doctor.finding import Finding, failed, ok, skipped, warning
from discovery.errors import AccessDenied, ApiUnavailable, DiscoveryError

from ..virtual import run

Look = Callable[[], Awaitable[Finding]]
WRONG = ApiUnavailable("it is away", next_step="Look for it")


def after(seconds: float, found: Finding | DiscoveryError) -> Look:
    async def look() -> Finding:
        await asyncio.sleep(seconds)
        if isinstance(found, DiscoveryError):
            raise found
        return found

    return look


def took(checks: Sequence[Check], limit: float = 5.0) -> tuple[list[Finding], float]:
    """What they found, and in how many seconds."""

    async def timed() -> tuple[list[Finding], float]:
        began = asyncio.get_running_loop().time()
        found = await examine(checks, limit)
        return found, asyncio.get_running_loop().time() - began

    return run(timed())


def test_those_that_need_no_other_run_at_once_and_are_told_in_their_order() -> None:
    found, seconds = took([Check(name=str(n), run=after(4 - n, ok(f"seen {n}"))) for n in range(4)])
    assert seconds == 4
    assert [(one.name, one.seen) for one in found] == [(str(n), f"seen {n}") for n in range(4)]


def test_one_that_needs_another_waits_for_it_and_has_its_own_time() -> None:
    checks = [
        Check(name="a", run=after(4, ok("a"))),
        Check(name="b", run=after(4, ok("b")), after=("a",)),
        Check(name="c", run=after(1, ok("c")), after=("a", "b")),
    ]
    found, seconds = took(checks)
    assert seconds == 9
    assert {one.state for one in found} == {"ok"}


@pytest.mark.parametrize("found", [WRONG, skipped("no use")])
def test_what_needed_one_that_failed_is_skipped_and_the_others_go_on(found: Finding | DiscoveryError) -> None:
    checks = [
        Check(name="a", run=after(1, found)),
        Check(name="b", run=after(1, ok("b")), after=("a",)),
        Check(name="c", run=after(1, ok("c")), after=("b",)),
        Check(name="d", run=after(2, ok("d"))),
    ]
    (_, b, c, d), _ = took(checks)
    assert (b.state, c.state, d.state) == ("skipped", "skipped", "ok")
    assert b.seen.startswith("not looked at, because a ")
    assert c.seen == "not looked at, because b was not"


def test_a_warning_keeps_nothing_from_being_looked_at() -> None:
    checks = [
        Check(name="a", run=after(0, warning("slow", "Wait"))),
        Check(name="b", run=after(0, ok("b")), after=("a",)),
    ]
    (_, b), _ = took(checks)
    assert b.state == "ok"


def test_a_failure_keeps_its_error_and_tells_message_and_next_step_apart() -> None:
    (found,), _ = took([Check(name="a", run=after(0, WRONG))])
    assert (found.state, found.seen, found.next_step) == ("failed", "it is away", "Look for it")
    assert found.error is WRONG
    assert found.as_json() == {"name": "a", "state": "failed", "seen": "it is away", "next_step": "Look for it"}


def test_one_that_does_not_answer_is_ended_in_time_and_cancelled() -> None:
    ended = []

    async def hang() -> Finding:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        raise AssertionError

    (found, other), seconds = took([Check(name="a", run=hang), Check(name="b", run=after(1, ok("b")))], limit=5.0)
    assert (found.state, found.seen, seconds) == ("failed", "no answer within 5 s", 5)
    assert (ended, other.state) == ([True], "ok")


def test_one_may_have_a_limit_of_its_own() -> None:
    (found,), _ = took([Check(name="a", run=after(9, ok("a")), limit=10.0)], limit=5.0)
    assert found.state == "ok"


def test_a_mild_one_only_warns() -> None:
    checks = [Check(name="a", run=after(0, WRONG), mild=True), Check(name="b", run=after(9, ok("b")), mild=True)]
    found, _ = took(checks)
    assert [one.state for one in found] == ["warning", "warning"]
    assert [one.error for one in found] == [None, None]


def test_a_fault_of_ours_is_no_finding() -> None:
    async def fault() -> Finding:
        raise KeyError("x")

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        took([Check(name="a", run=fault)])


def test_the_end_of_a_run_leaves_no_check_behind() -> None:
    async def cancelled() -> set[str]:
        checks = [Check(name="a", run=after(99, ok("a"))), Check(name="b", run=after(1, ok("b")), after=("a",))]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await examine(checks, 50.0)
        return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("check: ")}

    assert run(cancelled()) == set()


def test_an_error_without_a_next_step_is_told_whole() -> None:
    denied = AccessDenied("no", rule="{verbs: [...]}")
    assert failed(denied).next_step == "Allow it with a ClusterRole that holds {verbs: [...]}"
    assert failed(ApiUnavailable("it is away. Or not")).seen == "it is away. Or not"
