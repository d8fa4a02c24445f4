"""A Lease of Kubernetes: who leads by it, judged by which clock, and what is written into it."""

import asyncio
import contextlib
import datetime as dt
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.bridge.leading import lease_record
from discovery.bridge.leading.lease import DURATION, JITTER, RENEW_DEADLINE, RETRY, LeaseLock
from discovery.bridge.leading.lease_record import read_record
from discovery.bridge.leading.session_lock import Leadership, NotLeading
from discovery.bridge.options import BridgeOptions
from discovery.errors import AccessDenied, ApiUnavailable, DiscoveryError
from discovery.events import Event
from discovery.kube.writes import Conflict, Missing, Writes

from ..kube.object_server import ObjectServer, Refusal, reaching, serving
from ..until import until
from ..virtual import run

PATH = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/aiodiscovery-prod"
OURS = {"holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"}
WHEN = dt.datetime(2026, 3, 1, 12, 0, 0, 5, dt.UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class PlayedWrites:
    """The API server's one Lease, in virtual time. What `wrong` names raises `error`, or while `silent` hangs."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.asked: list[tuple[str, float]] = []
        self.error: DiscoveryError | None = None
        self.silent = self.lost = False
        self.wrong: Callable[[str], bool] = lambda _: True
        self.delay = 0.0

    def put(self, **spec: Any) -> None:
        """What somebody else writes."""
        self.version += 1
        meta = {"name": "aiodiscovery-prod", "resourceVersion": str(self.version)}
        self.lease = {"metadata": meta, "spec": spec}

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        return cast("dict[str, Any]", self.lease["spec"])

    def holder(self) -> str:
        return str(self.spec["holderIdentity"]) if self.lease else ""

    def count(self, what: str) -> int:
        return sum(one == what for one, _ in self.asked)

    async def get(self, path: str, *, resource: str, namespace: str | None) -> dict[str, Any]:
        assert path == PATH
        await self._go("get")
        if self.lease is None:
            raise Missing("no lease")
        return self.lease

    async def create(
        self, path: str, body: Mapping[str, Any], *, resource: str, namespace: str | None
    ) -> dict[str, Any]:
        await self._go("create")
        if self.lease is not None:
            raise Conflict("it is there", exists=True)
        return self._written(body)

    async def replace(
        self, path: str, body: Mapping[str, Any], *, resource: str, namespace: str | None
    ) -> dict[str, Any]:
        await self._go("update")
        if self.lease is None:
            raise Missing("no lease")
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("another version")
        return self._written(body)

    def _written(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        if self.lost:
            self.lost = False
            raise ApiUnavailable("cut off")
        return self.lease

    async def _go(self, what: str) -> None:
        self.asked.append((what, now()))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.silent and self.wrong(what):
            await asyncio.Event().wait()
        if self.error is not None and self.wrong(what):
            raise self.error


@attrs.define(eq=False)
class Candidate:
    """One that stands, and all that it said."""

    lock: LeaseLock
    events: list[Event]
    task: asyncio.Task[None] | None = None
    changes: int = 0

    def start(self) -> "Candidate":
        def changed() -> None:
            self.changes += 1

        self.task = asyncio.create_task(self.lock.run(changed))
        return self

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    def kill(self) -> None:
        assert self.task is not None
        self.lock._has_written = False
        self.task.cancel()

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def told(self, name: str) -> list[Any]:
        return [event.data for event in self.events if event.name == name]


def candidate(writes: Any, name: str = "a", seed: int = 1) -> Candidate:
    events: list[Event] = []
    options = BridgeOptions(owner="prod", leader="lease")
    return Candidate(
        LeaseLock(writes, "shop", options, emit=events.append, rng=random.Random(seed), holder=name), events
    )


def scene(play: Callable[[PlayedWrites], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        await play(PlayedWrites())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(all_of_it())


async def reached(holds: Callable[[], object], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.02)


def now() -> float:
    return asyncio.get_running_loop().time()


# Taking it


def test_the_first_makes_the_lease_and_leads() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube, "pod-1").start()
        await reached(lambda: one.lock.leading)
        assert now() < 0.1
        assert kube.spec["holderIdentity"] == "pod-1"
        assert (kube.spec["leaseDurationSeconds"], kube.spec["leaseTransitions"]) == (15, 0)
        assert (one.lock.holder, one.lock.known, one.lock.fence) == ("pod-1", True, None)
        one.lock.check()
        await one.stop()

    scene(play)


def test_a_leader_renews_with_one_write_each_two_seconds() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await asyncio.sleep(601)
        assert (kube.count("get"), kube.count("create"), kube.count("update")) == (1, 1, 300)
        assert one.names() == ["leader.gained"]
        await one.stop()

    scene(play)


def test_a_standby_only_reads() -> None:
    async def play(kube: PlayedWrites) -> None:
        first, second = candidate(kube, "a").start(), candidate(kube, "b", 2)
        await reached(lambda: first.lock.leading)
        second.start()
        await asyncio.sleep(600)
        assert second.lock.holder == "a"
        assert second.told("leader.changed") == [{"holder": "a"}]
        assert 600 / (RETRY * (1 + JITTER)) - 1 <= kube.count("get") <= 600 / RETRY + 2
        with pytest.raises(NotLeading, match="a does"):
            second.lock.check()
        await second.stop()
        await first.stop()

    scene(play)


def test_a_lease_given_up_is_taken_at_the_next_look() -> None:
    async def play(kube: PlayedWrites) -> None:
        first, second = candidate(kube, "a").start(), candidate(kube, "b", 2)
        await reached(lambda: first.lock.leading)
        second.start()
        await asyncio.sleep(30)
        await first.stop()
        assert (kube.spec["holderIdentity"], kube.spec["leaseDurationSeconds"]) == ("", 1)
        ended = now()
        await reached(lambda: second.lock.leading)
        assert now() - ended <= RETRY * (1 + JITTER) + 0.1
        assert kube.spec["leaseTransitions"] == 1
        await second.stop()

    scene(play)


def test_a_crashed_leader_is_followed_after_the_duration_of_the_lease() -> None:
    async def play(kube: PlayedWrites) -> None:
        first, second = candidate(kube, "a").start(), candidate(kube, "b", 2)
        await reached(lambda: first.lock.leading)
        second.start()
        await asyncio.sleep(30)
        first.kill()
        crashed = now()
        await reached(lambda: second.lock.leading, 60)
        assert DURATION - RETRY <= now() - crashed <= DURATION + 2 * RETRY * (1 + JITTER)
        await second.stop()

    scene(play)


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "no time", None])
def test_another_clock_is_never_believed(renewed: str | None) -> None:
    """A record counts from when it was seen to change, whatever its times say."""

    async def play(kube: PlayedWrites) -> None:
        kube.put(holderIdentity="other", leaseDurationSeconds=15, renewTime=renewed)
        one = candidate(kube).start()
        await asyncio.sleep(14)
        assert not one.lock.leading
        assert one.lock.holder == "other"
        await reached(lambda: one.lock.leading, 7)
        await one.stop()

    scene(play)


def test_any_change_of_the_record_counts_as_a_renewal() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube)
        for number in range(40):
            kube.put(holderIdentity="other", leaseDurationSeconds=15, renewTime=str(number))
            if number == 0:
                one.start()
            await asyncio.sleep(5)
            assert not one.lock.leading
        await one.stop()

    scene(play)


def test_a_label_put_on_the_lease_is_no_renewal() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        kube.put(holderIdentity="other", leaseDurationSeconds=15)
        for _ in range(10):
            await asyncio.sleep(2)
            if not one.lock.leading:
                kube.put(holderIdentity="other", leaseDurationSeconds=15)
        assert one.lock.leading
        await one.stop()

    scene(play)


def test_a_holder_is_let_have_the_duration_that_it_wrote() -> None:
    async def play(kube: PlayedWrites) -> None:
        kube.put(holderIdentity="other", leaseDurationSeconds=60)
        one = candidate(kube).start()
        await asyncio.sleep(59)
        assert not one.lock.leading
        await reached(lambda: one.lock.leading, 7)
        await one.stop()

    scene(play)


# Losing it


@pytest.mark.parametrize("silent", [False, True])
def test_a_leader_stops_at_the_renew_deadline_before_another_may_begin(silent: bool) -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await asyncio.sleep(61)
        renewed = max(at for what, at in kube.asked if what == "update")
        kube.silent, kube.error = silent, None if silent else ApiUnavailable("down")
        await reached(lambda: not one.lock.leading, 60)
        assert now() == pytest.approx(renewed + RENEW_DEADLINE, abs=0.1)
        assert RENEW_DEADLINE < DURATION
        await reached(lambda: "leader.lost" in one.names(), 1)
        assert one.told("leader.lost")[0]["reason"] == "no renewal was acknowledged for 10 s"
        with pytest.raises(NotLeading):
            one.lock.check()
        await one.stop()

    scene(play)


def test_one_request_without_an_answer_does_not_use_up_the_deadline() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await reached(lambda: one.lock.leading)
        kube.wrong = lambda what: what == "update" and kube.count("update") == 3
        kube.silent = True
        await asyncio.sleep(60)
        assert one.lock.leading
        assert one.names() == ["leader.gained", "leader.failed", "leader.recovered"]
        await one.stop()

    scene(play)


def test_a_process_that_was_suspended_does_not_lead_when_it_wakes_up() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await reached(lambda: one.lock.leading)
        one.lock._term.clock = lambda: now() + RENEW_DEADLINE + 1
        with pytest.raises(NotLeading):
            one.lock.check()
        await one.stop()

    scene(play)


def test_a_lease_that_another_took_is_lost_at_the_next_renewal() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await asyncio.sleep(31)
        kube.put(holderIdentity="thief", leaseDurationSeconds=15)
        await reached(lambda: one.lock.holder == "thief", 3)
        assert one.told("leader.lost") == [{"holder": "a", "reason": "another has the Lease"}]
        assert kube.holder() == "thief"
        await one.stop()
        assert kube.holder() == "thief"

    scene(play)


def test_a_lease_that_was_deleted_is_made_again_without_a_loss() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await asyncio.sleep(31)
        kube.lease = None
        await asyncio.sleep(5)
        assert kube.holder() == "a"
        assert one.names() == ["leader.gained"]
        await one.stop()

    scene(play)


def test_a_label_put_on_a_lease_of_ours_stays_and_costs_no_term() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await asyncio.sleep(31)
        kube.put(**kube.spec)
        assert kube.lease is not None
        kube.lease["metadata"]["labels"] = {"team": "x"}
        await asyncio.sleep(5)
        assert kube.lease["metadata"]["labels"] == {"team": "x"}
        assert one.names() == ["leader.gained"]
        await one.stop()

    scene(play)


@pytest.mark.parametrize("what", ["create", "update"])
def test_a_write_whose_answer_was_lost_is_found_to_be_ours(what: str) -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube)
        if what == "create":
            kube.lost = True
        one.start()
        await asyncio.sleep(20)
        kube.lost = what == "update"
        await asyncio.sleep(20)
        assert one.lock.leading
        assert one.names().count("leader.gained") == 1
        assert "leader.lost" not in one.names()
        await one.stop()

    scene(play)


def test_a_standby_knows_of_no_leader_once_the_last_record_it_saw_has_run_out() -> None:
    async def play(kube: PlayedWrites) -> None:
        kube.put(holderIdentity="other", leaseDurationSeconds=15)
        one = candidate(kube).start()
        await reached(lambda: one.lock.known)
        kube.error = ApiUnavailable("down")
        await asyncio.sleep(10)
        assert one.lock.holder == "other"
        await reached(lambda: not one.lock.known, 11)
        await one.stop()

    scene(play)


def test_a_denial_names_the_rule_and_is_not_stormed_against() -> None:
    async def play(kube: PlayedWrites) -> None:
        kube.error = AccessDenied("no", verb="get", resource="leases", rule="{the rule}")
        one = candidate(kube).start()
        await asyncio.sleep(600)
        assert 10 <= len(kube.asked) <= 21
        assert "{the rule}" in one.told("leader.failed")[0]["error"]
        kube.error = None
        await reached(lambda: one.lock.leading, 61)
        await one.stop()

    scene(play)


# The end


def test_the_end_takes_two_seconds_at_most() -> None:
    async def play(kube: PlayedWrites) -> None:
        one = candidate(kube).start()
        await reached(lambda: one.lock.leading)
        kube.silent = True
        began = now()
        await one.stop()
        assert now() - began <= 2.1

    scene(play)


def test_a_standby_that_ends_asks_nobody() -> None:
    async def play(kube: PlayedWrites) -> None:
        kube.put(holderIdentity="other", leaseDurationSeconds=15)
        one = candidate(kube).start()
        await reached(lambda: one.lock.known)
        asked = len(kube.asked)
        await one.stop()
        assert len(kube.asked) == asked

    scene(play)


@given(st.floats(0.0, 30.0), st.sampled_from([0.01, 0.3, 1.5]), st.booleans())
def test_whenever_it_is_cancelled_the_lease_is_not_left_ours(when: float, delay: float, held: bool) -> None:
    async def play(kube: PlayedWrites) -> None:
        kube.delay = delay
        if held:
            kube.put(holderIdentity="other", leaseDurationSeconds=15)
        one = candidate(kube).start()
        await asyncio.sleep(when)
        kube.delay = 0.0
        await one.stop()
        assert kube.holder() in ("", "other")
        assert not one.lock.leading

    scene(play)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "down", "slow", "stop", "start"]), st.integers(0, 2), st.floats(0.5, 25)),
        max_size=12,
    )
)
def test_whatever_fails_two_never_lead_at_the_same_time(plays: list[tuple[str, int, float]]) -> None:
    """Each has its own way to the server, which fails on its own."""

    async def play(kube: PlayedWrites) -> None:
        ways = [Way(kube) for _ in range(3)]
        ones = [candidate(way, name, seed).start() for seed, (way, name) in enumerate(zip(ways, "abc", strict=True))]
        for what, which, seconds in plays:
            ways[which].state = what
            over = now() + seconds
            while now() < over:
                await asyncio.sleep(0.25)
                assert sum(one.lock.leading for one in ones) <= 1
        for way in ways:
            way.state = "ok"
        await reached(lambda: sum(one.lock.leading for one in ones) == 1, 60)
        for one in ones:
            await one.stop()

    scene(play)


class Way:
    """One candidate's own way to the shared Lease."""

    def __init__(self, kube: PlayedWrites) -> None:
        self._kube = kube
        self.state = "ok"

    async def get(self, *args: Any, **more: Any) -> dict[str, Any]:
        await self._pass()
        return await self._kube.get(*args, **more)

    async def create(self, *args: Any, **more: Any) -> dict[str, Any]:
        await self._pass()
        return await self._kube.create(*args, **more)

    async def replace(self, *args: Any, **more: Any) -> dict[str, Any]:
        await self._pass()
        made = await self._kube.replace(*args, **more)
        await self._pass()  # the answer has its way too
        return made

    async def _pass(self) -> None:
        if self.state == "down":
            raise ApiUnavailable("down")
        if self.state == "stop":
            await asyncio.Event().wait()
        if self.state == "slow":
            await asyncio.sleep(4)


# The record


@given(JSON)
def test_whatever_stands_in_a_lease_is_read(found: Any) -> None:
    record = read_record({"spec": found})
    assert isinstance(record.holder, str)
    assert record.duration >= 0
    assert record.transitions >= 0


@given(st.dictionaries(st.text(max_size=5), JSON), st.dictionaries(st.text(max_size=5), JSON))
def test_what_is_not_ours_goes_back_as_it_was_read(spec: dict[str, Any], meta: dict[str, Any]) -> None:
    body = {"metadata": meta, "spec": spec, "more": 1}
    kept = {key: value for key, value in spec.items() if key not in OURS}
    for made in (lease_record.ours(read_record(body), "a", 15.0, WHEN), lease_record.freed(read_record(body), WHEN)):
        assert (made["metadata"], made["more"]) == (meta, 1)
        assert {key: value for key, value in made["spec"].items() if key not in OURS} == kept


def test_a_renewal_keeps_since_when_and_a_takeover_counts() -> None:
    mine = read_record(lease_record.first("n", "shop", "a", 15.0, WHEN))
    later = WHEN + dt.timedelta(seconds=2)
    renewed = lease_record.ours(mine, "a", 15.0, later)["spec"]
    assert (renewed["acquireTime"], renewed["renewTime"]) == (
        "2026-03-01T12:00:00.000005Z",
        "2026-03-01T12:00:02.000005Z",
    )
    assert renewed["leaseTransitions"] == 0
    taken = lease_record.ours(mine, "b", 15.0, later)["spec"]
    assert (taken["acquireTime"], taken["leaseTransitions"]) == ("2026-03-01T12:00:02.000005Z", 1)


# A server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("KUBE")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def server() -> AsyncIterator[ObjectServer]:
    async with serving() as made:
        yield made


async def test_two_bridges_hand_over_on_a_server(server: ObjectServer, tmp_path: Path) -> None:
    async with reaching(server, tmp_path) as access:
        first = candidate(Writes(access), "a").start()
        await until(lambda: first.lock.leading)
        await first.stop()
        second = candidate(Writes(access), "b", 2).start()
        await until(lambda: second.lock.leading)
        spec = server.objects[PATH]["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("b", 1)
        await second.stop()
        assert server.objects[PATH]["spec"]["holderIdentity"] == ""


async def test_the_denial_of_a_server_has_the_rule(server: ObjectServer, tmp_path: Path) -> None:
    server.refusal = Refusal(403, "Forbidden", "no", lambda asked: asked.method == "POST")
    async with reaching(server, tmp_path) as access:
        one = candidate(Writes(access)).start()
        await until(lambda: one.told("leader.failed"))
        rule = '{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"]}'
        assert rule in one.told("leader.failed")[0]["error"]
        await one.stop()


async def test_a_lease_is_a_leadership_as_the_lock_is(server: ObjectServer, tmp_path: Path) -> None:
    async with reaching(server, tmp_path) as access:
        one: Leadership = candidate(Writes(access)).lock
        assert not one.leading
        assert not one.known
        assert repr(one) == "<LeaseLock shop/aiodiscovery-prod leading=False holder=''>"


def test_why_the_lease_cannot_be_had_is_known_until_it_can() -> None:
    async def play(writes: PlayedWrites) -> None:
        one = candidate(writes)
        assert one.lock.error is None
        writes.error = AccessDenied("leases are not allowed")
        one.start()
        await reached(lambda: one.lock.error is writes.error)
        assert one.changes, "who waits for it must be woken"
        assert one.told("leader.failed")[0]["reason"] == "AccessDenied"
        writes.error = None
        await reached(lambda: one.lock.leading, 90)
        assert one.lock.error is None
        await one.stop()

    scene(play)
