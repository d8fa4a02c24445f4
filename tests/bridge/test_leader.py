"""The lock in Consul: who leads, until when, and that nobody is left behind.

Time is virtual, and Consul's tables are the simulated server's; a last part has the real client and a server.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.bridge.leading.session_lock import Leadership, NotLeading, SessionLock
from discovery.bridge.leading.term import identity
from discovery.bridge.options import BridgeOptions
from discovery.consul.api import Consul, TxnRefused
from discovery.consul.settings import Settings
from discovery.events import Event
from discovery.testing.consul import FakeConsul, Rules

from ..until import until
from ..virtual import run
from .played_lock import DENIED, UNREACHABLE, PlayedConsul

KEY = "discovery/prod/leader"
TTL = 15.0
OPTIONS = BridgeOptions(owner="prod")


@attrs.define(eq=False)
class Candidate:
    """One that stands, and all that it said."""

    lock: SessionLock
    events: list[Event]
    changes: list[tuple[float, bool]] = attrs.field(factory=list)
    task: asyncio.Task[None] | None = None

    def start(self) -> "Candidate":
        self.task = asyncio.create_task(self.lock.run(self._changed))
        return self

    def _changed(self) -> None:
        self.changes.append((asyncio.get_running_loop().time(), self.lock.leading))

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    def kill(self) -> None:
        """End as a crash does: with nothing said to Consul."""
        assert self.task is not None
        self.lock._session = ""
        self.task.cancel()

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def told(self, name: str) -> list[Any]:
        return [event.data for event in self.events if event.name == name]


def candidate(consul: Any, name: str = "a", **options: Any) -> Candidate:
    events: list[Event] = []
    made = SessionLock(
        consul, BridgeOptions(owner="prod", **options), emit=events.append, rng=random.Random(1), holder=name
    )
    return Candidate(made, events)


def scene(play: Callable[[PlayedConsul], Coroutine[Any, Any, None]]) -> None:
    """Play it in virtual time; nothing may be left over."""

    async def all_of_it() -> None:
        consul = PlayedConsul()
        await play(consul)
        consul.timers.stop()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(all_of_it())


async def reached(holds: Callable[[], object], within: float = 5.0) -> None:
    """As `until`, in steps that suit virtual time."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.02)


def free_for(one: Candidate) -> float | None:
    return one.lock.free_for


def now() -> float:
    return asyncio.get_running_loop().time()


# Taking it


def test_a_free_lock_is_taken_at_once_and_says_by_whom() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul, "pod-1").start()
        await reached(lambda: one.lock.leading)
        assert now() < 0.1
        assert (one.lock.holder, one.lock.known, one.names()) == ("pod-1", True, ["leader.gained"])
        assert consul.value(KEY)["holder"] == "pod-1"
        one.lock.check()
        await one.stop()

    scene(play)


def test_its_session_lasts_no_longer_than_it_is_renewed_and_delays_nobody() -> None:
    """Every transaction is fenced, so a delay would protect nothing."""

    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul, session_ttl=30.0).start()
        await reached(lambda: one.lock.leading)
        (session,) = consul.state.sessions.all()
        assert (session["TTL"], session["LockDelay"], session["NodeChecks"]) == ("30s", 0.0, [])
        assert session["Behavior"] == "release"
        await one.stop()

    scene(play)


def test_of_many_one_leads_and_the_others_know_who() -> None:
    async def play(consul: PlayedConsul) -> None:
        all_of_them = [candidate(consul, name).start() for name in "abcde"]
        await reached(lambda: all(one.lock.known for one in all_of_them), 30)
        leading = [one for one in all_of_them if one.lock.leading]
        assert len(leading) == 1
        assert {one.lock.holder for one in all_of_them} == {leading[0].lock.holder}
        assert len(consul.state.sessions.rows) == 1
        for one in all_of_them:
            await one.stop()

    scene(play)


def test_standing_by_costs_a_read_a_minute_and_no_session() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.take(KEY, b'{"holder": "other"}')
        one = candidate(consul).start()
        await asyncio.sleep(600)
        assert len(consul.asked) <= 12
        assert {what for what, _ in consul.asked} == {"read", "block"}
        assert one.lock.holder == "other"
        assert one.told("leader.changed") == [{"holder": "other"}]
        await one.stop()
        assert not consul.count("destroy")

    scene(play)


def test_leading_costs_a_renewal_each_third_of_the_ttl() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(600)
        assert 119 <= consul.count("renew") <= 120
        assert consul.count("read") + consul.count("block") <= 13
        assert one.names() == ["leader.gained"]
        await one.stop()

    scene(play)


def test_a_standby_follows_as_soon_as_the_leader_ends() -> None:
    async def play(consul: PlayedConsul) -> None:
        first, second = candidate(consul, "a").start(), candidate(consul, "b")
        await reached(lambda: first.lock.leading)
        second.start()
        await reached(lambda: second.lock.holder == "a")
        await asyncio.sleep(100)
        ended = now()
        await first.stop()
        await reached(lambda: second.lock.leading)
        assert now() - ended < 0.1
        assert second.names() == ["leader.changed", "leader.gained"]
        await second.stop()

    scene(play)


def test_a_crashed_leader_is_followed_within_twice_the_ttl() -> None:
    async def play(consul: PlayedConsul) -> None:
        first, second = candidate(consul, "a").start(), candidate(consul, "b")
        await reached(lambda: first.lock.leading)
        second.start()
        await asyncio.sleep(100)
        first.kill()
        crashed = now()
        await reached(lambda: second.lock.leading, 60)
        assert TTL <= now() - crashed <= 2 * TTL + 1
        await second.stop()

    scene(play)


def test_a_delay_of_anothers_session_is_waited_for_without_a_storm() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.end(consul.take(KEY, delay=15.0))
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading, 30)
        assert 15 <= now() <= 17
        assert consul.count("acquire") <= 18
        assert len(consul.state.sessions.rows) == 1
        await one.stop()

    scene(play)


def test_a_holder_that_is_none_of_ours_is_known_by_its_session() -> None:
    async def play(consul: PlayedConsul) -> None:
        session = consul.take(KEY, b"\xff not ours")
        one = candidate(consul).start()
        await reached(lambda: one.lock.known)
        assert one.lock.holder == f"session {session[:8]}"
        await one.stop()

    scene(play)


def test_a_holders_name_cannot_move_a_cursor() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.take(KEY, json.dumps({"holder": "\x1b[31m" + "x" * 1000}).encode())
        one = candidate(consul).start()
        await reached(lambda: one.lock.known)
        assert one.lock.holder.isprintable()
        assert len(one.lock.holder) < 300
        with pytest.raises(NotLeading) as caught:
            one.lock.check()
        assert str(caught.value).isprintable()
        await one.stop()

    scene(play)


# Losing it


LOSSES: dict[str, Callable[[PlayedConsul], object]] = {
    "its session has ended, or the lock was freed": lambda consul: consul.end(consul.holder(KEY)),
    "another has the lock": lambda consul: consul.take(KEY),
    "its key was deleted": lambda consul: consul.delete(KEY),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lock_that_is_lost_ends_the_leading_at_once(loss: str) -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(62)
        assert one.lock.leading
        lost = now()
        LOSSES[loss](consul)
        await reached(lambda: "leader.lost" in one.names())
        assert now() - lost < 0.1
        at, leading = one.changes[1]
        assert at - lost < 0.1
        assert not leading
        assert one.told("leader.lost") == [{"holder": "a", "reason": loss}]
        await one.stop()

    scene(play)


def test_a_renewal_too_tells_that_the_session_has_ended() -> None:
    """For when the lock cannot be watched."""

    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(61)
        consul.wrong = lambda what: what in ("read", "block")
        consul.fail(UNREACHABLE)
        consul.end(consul.holder(KEY))
        await reached(lambda: "leader.lost" in one.names(), TTL / 3 + 0.1)
        assert one.told("leader.lost")[0]["reason"] == "its session has ended"
        await one.stop()

    scene(play)


def test_why_it_was_lost_is_told() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(62)
        consul.take(KEY, b'{"holder": "thief"}')
        await reached(lambda: one.lock.holder == "thief")
        assert one.told("leader.lost") == [{"holder": "a", "reason": "another has the lock"}]
        with pytest.raises(NotLeading, match="thief does"):
            one.lock.check()
        await one.stop()

    scene(play)


def test_a_session_that_has_ended_is_followed_by_another_term_with_another_fence() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        before = one.lock.fence
        await asyncio.sleep(70)
        consul.end(consul.holder(KEY))
        await reached(lambda: one.names().count("leader.gained") == 2)
        assert one.lock.fence != before
        assert consul.holder(KEY) in one.lock.fence.decode()
        await one.stop()

    scene(play)


@pytest.mark.parametrize("silent", [False, True])
def test_without_an_acknowledged_renewal_for_a_ttl_it_does_not_lead_though_nobody_says_so(silent: bool) -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(101)
        acknowledged = max(at for what, at in consul.asked if what == "renew")
        consul.silent = silent
        consul.fail(None if silent else UNREACHABLE)
        await reached(lambda: not one.lock.leading, 60)
        assert now() == pytest.approx(acknowledged + TTL, abs=0.1)
        await reached(lambda: "leader.lost" in one.names())
        assert one.told("leader.lost")[0]["reason"] == "no renewal was acknowledged for 15 s"
        assert one.lock.holder == ""
        await one.stop()

    scene(play)


def test_a_process_that_was_suspended_does_not_lead_when_it_wakes_up() -> None:
    """Before any task of its own has run: the clock says so."""

    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        one.lock._term.clock = lambda: now() + TTL + 1
        assert not one.lock.leading
        assert one.lock.holder == ""
        with pytest.raises(NotLeading):
            one.lock.check()
        await one.stop()

    scene(play)


@pytest.mark.parametrize("failing", ["renew", "block"])
def test_a_short_failure_of_consul_costs_no_term(failing: str) -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(61)
        consul.wrong = lambda what: what == failing
        consul.fail(UNREACHABLE)
        await asyncio.sleep(9)
        consul.fail(None)
        await asyncio.sleep(60)
        assert one.lock.leading
        assert set(one.names()) - {"leader.retry"} == {"leader.gained", "leader.failed", "leader.recovered"}
        assert one.names()[-1] == "leader.recovered"
        assert one.names().count("leader.gained") == 1
        await one.stop()

    scene(play)


def test_a_renewal_that_is_not_answered_is_asked_for_again_within_the_ttl() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        consul.wrong = lambda what: what == "renew" and consul.count("renew") == 1
        consul.silent = True
        await asyncio.sleep(60)
        assert one.lock.leading
        assert "did not renew a session within 5 s" in one.told("leader.failed")[0]["error"]
        await one.stop()

    scene(play)


def test_after_a_long_outage_it_leads_again_and_leaves_no_session_behind() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(61)
        consul.fail(UNREACHABLE)
        await asyncio.sleep(600)
        assert not one.lock.known
        assert one.names().count("leader.failed") == 1
        assert one.names().count("leader.retry") < 70
        consul.fail(None)
        await reached(lambda: one.lock.leading, 60)
        await asyncio.sleep(60)
        assert len(consul.state.sessions.rows) == 1
        await one.stop()

    scene(play)


def test_the_pauses_of_one_outage_are_forgotten_by_the_next() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.fail(UNREACHABLE)
        one = candidate(consul).start()
        await asyncio.sleep(600)
        consul.fail(None)
        await reached(lambda: one.lock.leading, 60)
        consul.wrong = lambda what: what == "create"
        consul.error = UNREACHABLE
        for _ in range(5):
            consul.end(consul.holder(KEY))
            consul.asked.clear()
            await reached(lambda: consul.count("create"))
            consul.error = None
            began = now()
            await reached(lambda: one.lock.leading)
            assert now() - began < 2
            consul.error = UNREACHABLE
        await one.stop()

    scene(play)


def test_an_old_session_that_outlived_an_outage_is_ended_before_another_term_begins() -> None:
    """What it has fenced must not pass beside the new term."""

    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await asyncio.sleep(6)
        old = consul.holder(KEY)
        consul.wrong = lambda what: what == "renew"
        consul.fail(UNREACHABLE)
        await reached(lambda: "leader.lost" in one.names(), 60)
        consul.fail(None)
        await reached(lambda: one.lock.leading, 60)
        assert old not in consul.state.sessions.rows
        await one.stop()

    scene(play)


def test_a_refusal_is_told_and_not_stormed_against() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.fail(DENIED)
        one = candidate(consul).start()
        await asyncio.sleep(600)
        assert 10 <= len(consul.asked) <= 20
        assert one.names()[0] == "leader.failed"
        assert set(one.names()[1:]) == {"leader.retry"}
        await one.stop()

    scene(play)


@pytest.mark.parametrize("what", ["read", "create", "acquire"])
def test_why_it_fails_is_known_until_it_works(what: str) -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.wrong = lambda asked: asked == what
        consul.fail(DENIED)
        one = candidate(consul).start()
        await reached(lambda: "consul denies it" in str(one.lock.error))
        assert one.changes, "who waits for it must be woken"
        assert one.told("leader.failed") == [{"error": "consul denies it", "reason": "denied"}]
        consul.fail(None)
        await reached(lambda: one.lock.leading, 90)
        assert one.lock.error is None
        await one.stop()

    scene(play)


def test_a_leader_that_cannot_renew_says_why_and_who_has_lost_its_lock_still_does() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        consul.fail(UNREACHABLE)
        await reached(lambda: one.lock.error is not None, TTL)
        assert one.lock.leading
        await reached(lambda: not one.lock.leading, TTL + 1)
        assert one.lock.error is UNREACHABLE
        consul.fail(None)
        await reached(lambda: one.lock.error is None, 90)
        await one.stop()

    scene(play)


def test_a_standby_that_cannot_ask_knows_of_no_leader() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.take(KEY, b'{"holder": "other"}')
        one = candidate(consul).start()
        await reached(lambda: one.lock.known)
        consul.fail(UNREACHABLE)
        await reached(lambda: not one.lock.known)
        assert one.lock.holder == ""
        consul.fail(None)
        await reached(lambda: one.lock.known, 60)
        assert one.names().count("leader.changed") == 1
        await one.stop()

    scene(play)


def test_a_standby_that_can_ask_again_says_so_once() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.take(KEY, b'{"holder": "other"}')
        consul.fail(UNREACHABLE)
        one = candidate(consul).start()
        await asyncio.sleep(60)
        consul.fail(None)
        await reached(lambda: one.lock.known, 60)
        await asyncio.sleep(200)
        told = [name for name in one.names() if name != "leader.retry"]
        assert told == ["leader.failed", "leader.recovered", "leader.changed"]
        await one.stop()

    scene(play)


def test_a_refused_session_is_not_stormed_against_while_the_key_can_be_read() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.wrong = lambda what: what == "create"
        consul.fail(DENIED)
        one = candidate(consul).start()
        await asyncio.sleep(600)
        assert 10 <= consul.count("create") <= 20
        consul.fail(None)
        await reached(lambda: one.lock.leading, 61)
        await one.stop()

    scene(play)


def test_failures_of_the_session_grow_the_pause_although_the_key_can_be_read() -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.wrong = lambda what: what == "create"
        consul.fail(UNREACHABLE)
        one = candidate(consul).start()
        await asyncio.sleep(600)
        assert consul.count("create") < 70
        await one.stop()

    scene(play)


def test_a_key_that_is_written_all_the_time_wakes_nobody_more_than_once_a_second() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        session = consul.holder(KEY)
        for number in range(1000):
            await consul.acquire(KEY, str(number).encode(), session)
            await asyncio.sleep(0.01)
        assert consul.count("block") + consul.count("read") <= 15
        assert one.lock.leading
        await one.stop()

    scene(play)


# The end


def test_at_the_end_the_lock_is_released_and_the_session_gone() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        await one.stop()
        assert consul.holder(KEY) == ""
        assert not consul.state.sessions.rows
        assert one.told("leader.released") == [{"holder": "a"}]
        assert not one.lock.leading

    scene(play)


def test_the_end_takes_two_seconds_at_most() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        consul.silent = True
        began = now()
        await one.stop()
        assert now() - began <= 2.1

    scene(play)


def test_an_end_without_consul_is_an_end() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        consul.fail(UNREACHABLE)
        await one.stop()
        assert one.task is not None
        assert one.task.cancelled()

    scene(play)


@settings(max_examples=60)
@given(
    st.floats(0.0, 40.0),
    st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    st.sampled_from(["", "create", "acquire", "renew", "read", "block", "destroy"]),
    st.booleans(),
)
def test_whenever_it_is_cancelled_nothing_of_it_holds_the_lock(
    when: float, delay: float, failing: str, taken: bool
) -> None:
    async def play(consul: PlayedConsul) -> None:
        consul.delay = delay
        consul.wrong = lambda what: what == failing
        if failing:
            consul.error = UNREACHABLE
        if taken:
            asyncio.get_running_loop().call_later(when / 2, consul.end, consul.take(KEY))
        one = candidate(consul).start()
        await asyncio.sleep(when)
        consul.error, consul.delay = None, 0.0
        holder = consul.holder(KEY)
        await one.stop()
        assert consul.holder(KEY) in ("", holder if taken and one.names().count("leader.gained") == 0 else "")
        assert not one.lock.leading

    scene(play)


# Giving way


def test_one_that_does_not_contend_leaves_a_free_lock_to_others() -> None:
    async def play(consul: PlayedConsul) -> None:
        one, other = candidate(consul, "blind"), candidate(consul, "seeing")
        one.lock.contend(False)
        one.start()
        await asyncio.sleep(100)
        assert not one.lock.leading
        assert one.lock.free_for == pytest.approx(100, abs=1)
        assert consul.count("create") == 0
        other.start()
        await reached(lambda: one.lock.holder == "seeing", 10)
        assert one.lock.free_for is None
        await one.stop()
        await other.stop()

    scene(play)


def test_one_that_contends_again_takes_it_at_once() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul)
        one.lock.contend(False)
        one.start()
        await asyncio.sleep(100)
        began = now()
        one.lock.contend(True)
        await reached(lambda: one.lock.leading)
        assert now() - began < 0.1
        assert one.lock.free_for is None
        await one.stop()

    scene(play)


def test_a_leader_that_stops_contending_gives_up_the_lock() -> None:
    async def play(consul: PlayedConsul) -> None:
        one, other = candidate(consul, "blind").start(), candidate(consul, "seeing")
        await reached(lambda: one.lock.leading)
        other.start()
        await asyncio.sleep(20)
        one.lock.contend(False)
        await reached(lambda: other.lock.leading)
        await reached(lambda: one.lock.holder == "seeing", 10)
        assert one.told("leader.lost")[0]["reason"] == "it gives way to one that can read the cluster"
        assert len(consul.state.sessions.rows) == 1
        await one.stop()
        await other.stop()

    scene(play)


def test_wanting_and_not_wanting_within_a_moment_changes_nothing() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul).start()
        await reached(lambda: one.lock.leading)
        one.lock.contend(False)
        one.lock.contend(True)
        await asyncio.sleep(20)
        assert one.names() == ["leader.gained"]
        await one.stop()

    scene(play)


def test_how_long_it_is_free_is_counted_anew_after_each_time_that_nobody_could_know() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul)
        assert free_for(one) is None
        one.lock.contend(False)
        one.start()
        await asyncio.sleep(100)
        consul.fail(UNREACHABLE)
        await asyncio.sleep(1)
        assert free_for(one) is None
        healed = now()
        consul.fail(None)
        await reached(lambda: free_for(one) is not None, 60)
        assert (free_for(one) or 0.0) <= now() - healed
        await one.stop()

    scene(play)


def test_a_borrowed_lock_is_no_leadership_and_does_not_end_its_being_free() -> None:
    async def play(consul: PlayedConsul) -> None:
        one, other = candidate(consul, "a"), candidate(consul, "b")
        for each in (one, other):
            each.lock.contend(False)
            each.start()
        await asyncio.sleep(100)
        async with one.lock.borrowed() as fence:
            assert fence is not None
            assert msgspec.json.decode(fence)["KV"]["Session"] == consul.holder(KEY)
            assert consul.value(KEY)["for_now"]
            async with other.lock.borrowed() as refused:
                assert refused is None
            await asyncio.sleep(2)
            for each in (one, other):
                assert not each.lock.known
                assert not each.lock.leading
                assert each.lock.free_for == pytest.approx(102, abs=2)
        assert consul.holder(KEY) == ""
        assert not consul.state.sessions.rows
        await one.stop()
        await other.stop()
        assert one.names() == other.names() == []

    scene(play)


def test_one_that_contends_takes_a_borrowed_lock_as_soon_as_it_is_given_back() -> None:
    async def play(consul: PlayedConsul) -> None:
        one, other = candidate(consul, "a"), candidate(consul, "b")
        async with one.lock.borrowed():
            other.start()
            await asyncio.sleep(5)
            assert not other.lock.leading
        await reached(lambda: other.lock.leading)
        await other.stop()

    scene(play)


# What it is to others


def test_the_fence_is_an_operation_that_fails_where_it_has_never_led() -> None:
    async def play(consul: PlayedConsul) -> None:
        lock: Leadership = candidate(consul).lock
        assert lock.fence is not None
        operation = msgspec.json.decode(lock.fence)["KV"]
        assert (operation["Verb"], operation["Key"]) == ("check-session", KEY)
        assert set(operation["Session"]) <= {"0", "-"}
        with pytest.raises(NotLeading, match="nobody is known to"):
            lock.check()

    scene(play)


def test_a_name_is_the_hosts_and_no_two_processes_have_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "bridge-7d9f")
    names = {identity() for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("bridge-7d9f_") for name in names)


def test_its_repr_says_how_it_stands() -> None:
    async def play(consul: PlayedConsul) -> None:
        one = candidate(consul, "pod-1").start()
        await reached(lambda: one.lock.leading)
        assert repr(one.lock) == f"<SessionLock {KEY} leading=True holder='pod-1'>"
        await one.stop()

    scene(play)


# A server


@pytest.fixture
async def server() -> AsyncIterator[FakeConsul]:
    async with FakeConsul() as made:
        yield made


@contextlib.asynccontextmanager
async def connected(server: FakeConsul, token: str = "") -> AsyncIterator[Consul]:
    environ = {"CONSUL_HTTP_TOKEN": token} if token else {}
    client = Consul(Settings.read(server.url, environ), emit=lambda _: None, rng=random.Random(1))
    try:
        yield client
    finally:
        await client.aclose()


NODE = b'{"Node":{"Verb":"set","Node":{"Node":"n","Address":"10.0.0.1"}}}'


async def test_a_transaction_passes_its_fence_while_it_leads_and_not_after(server: FakeConsul) -> None:
    async with connected(server) as consul:
        one = candidate(consul).start()
        await until(lambda: one.lock.leading)
        fence = one.lock.fence
        await consul.transact([fence, NODE])
        assert "n" in server.dump()["nodes"]
        server.deregister(node="n")
        server.expire_session(server.dump()["keys"][KEY]["Session"])
        with pytest.raises(TxnRefused) as caught:
            await consul.transact([fence, NODE])
        assert [error.op_index for error in caught.value.errors] == [0]
        assert "n" not in server.dump()["nodes"]
        await one.stop()


async def test_the_fence_of_one_that_has_never_led_lets_nothing_pass_even_where_the_lock_is_free(
    server: FakeConsul,
) -> None:
    async with connected(server) as consul:
        one = candidate(consul)
        await consul.put_key(KEY, b"")
        with pytest.raises(TxnRefused):
            await consul.transact([one.lock.fence, NODE])
        assert "n" not in server.dump()["nodes"]


async def test_two_bridges_hand_over_on_a_server(server: FakeConsul) -> None:
    async with connected(server) as consul, connected(server) as another:
        first, second = candidate(consul, "a").start(), candidate(another, "b")
        await until(lambda: first.lock.leading)
        second.start()
        await until(lambda: second.lock.holder == "a")
        await first.stop()
        await until(lambda: second.lock.leading)
        await second.stop()
        assert server.dump()["sessions"] == {}
        assert "Session" not in server.dump()["keys"][KEY]
        assert server.writes == 0


async def test_a_session_ended_by_an_operator_is_noticed_by_a_server_that_says_so(server: FakeConsul) -> None:
    async with connected(server) as consul:
        one = candidate(consul).start()
        await until(lambda: one.lock.leading)
        server.expire_session(server.dump()["keys"][KEY]["Session"])
        await until(lambda: one.names().count("leader.gained") == 2)
        assert one.names()[:2] == ["leader.gained", "leader.lost"]
        await one.stop()


async def test_a_server_that_restarts_costs_nothing_but_a_failed_read(server: FakeConsul) -> None:
    async with connected(server) as consul:
        one = candidate(consul).start()
        await until(lambda: one.lock.leading)
        await server.stop()
        await until(lambda: "leader.failed" in one.names())
        assert one.lock.leading
        await server.start()
        asked = len(server.requests)
        await until(lambda: len(server.requests) > asked, 10)
        assert one.lock.leading
        await one.stop()
        assert server.dump()["sessions"] == {}


async def test_a_token_that_may_not_lock_is_told_and_asked_with_rarely() -> None:
    async with FakeConsul(acls=True) as server, connected(server, server.create_token(Rules())) as consul:
        one = candidate(consul).start()
        await until(lambda: "leader.failed" in one.names())
        asked = len(server.requests)
        await asyncio.sleep(0.2)
        assert len(server.requests) == asked
        await one.stop()


@pytest.mark.parametrize("later", [0.0, 0.1, 0.4, 1.5])
def test_that_it_is_wanted_after_all_is_not_missed_while_the_lock_becomes_free(later: float) -> None:
    async def play(consul: PlayedConsul) -> None:
        one, other = candidate(consul, "a").start(), candidate(consul, "b")
        await reached(lambda: one.lock.leading)
        other.lock.contend(False)
        other.start()
        await reached(lambda: other.lock.holder == "a")
        await one.stop()
        await reached(lambda: not other.lock.known)
        await asyncio.sleep(later)
        other.lock.contend(True)
        await reached(lambda: other.lock.leading, 4.0)
        await other.stop()

    scene(play)
