"""What is registered expires when no bridge reads the cluster: the decision, and what comes of it on a server."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.leading.freshness import Freshness, Mark, due, operation, verdict
from discovery.bridge.leading.session_lock import NotLeading, SessionLock
from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.operations import ALIVE
from discovery.consul.api import Consul, TxnRefused
from discovery.consul.settings import Settings
from discovery.errors import ConsulError
from discovery.events import Event
from discovery.testing.consul import FakeConsul, Rules

from ..until import until

KEY = "discovery/prod/leader"
AFTER = 0.3
MINE = {"owner-id": "prod", "managed-by": "aiodiscovery"}
TIMES = st.one_of(st.just(0.0), st.floats(0.0, 1000.0))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here has a watch that may be silent for a while: marks may be due at once."""
    monkeypatch.setattr("discovery.bridge.options.SHORTEST_EXPIRY", 0.0)


# The decision


@given(TIMES, st.one_of(st.none(), TIMES), st.floats(1.0, 500.0))
def test_a_leader_goes_by_what_it_reads_itself(silent: float, free: float | None, after: float) -> None:
    found = verdict(leading=True, silent_for=silent, free_for=free, expire_after=after)
    assert found == ("critical" if silent >= after else None if silent else "passing")


@given(TIMES, st.one_of(st.none(), TIMES), st.floats(1.0, 500.0))
def test_a_standby_marks_only_what_nobody_leads_for_and_it_cannot_read_itself(
    silent: float, free: float | None, after: float
) -> None:
    found = verdict(leading=False, silent_for=silent, free_for=free, expire_after=after)
    assert found == ("critical" if free is not None and free >= after and silent >= after else None)


@given(st.lists(st.builds(Mark, st.text(), st.sampled_from(["", "passing", "critical", "warning"]), st.integers())))
def test_every_mark_is_right_or_due(marks: list[Mark]) -> None:
    assert {mark.status for mark in marks if mark not in due(marks, "passing")} <= {"", "passing"}
    assert {mark.status for mark in marks if mark not in due(marks, "critical")} <= {"critical"}
    assert {mark.status for mark in due(marks, "passing")} <= {"critical", "warning"}
    assert {mark.status for mark in due(marks, "critical")} <= {"", "passing", "warning"}


def test_a_mark_is_written_only_over_what_was_read() -> None:
    found = msgspec.json.decode(operation(Mark("n", "passing", 7), "critical", 300.0))["Check"]
    assert found["Verb"] == "cas"
    assert found["Check"] == {
        "Node": "n",
        "CheckID": ALIVE,
        "Name": "A bridge reads the cluster",
        "Status": "critical",
        "Output": "no bridge has been able to read the cluster for 300 s",
        "ModifyIndex": 7,
    }
    assert msgspec.json.decode(operation(Mark("n"), "passing", 300.0))["Check"]["Check"]["Output"] == ""


# On a server


@attrs.define(eq=False)
class Bridge:
    """A lock and its freshness, and what a test says of the cluster's watches."""

    lock: SessionLock
    freshness: Freshness
    events: list[Event]
    silent: float
    tasks: list[asyncio.Task[None]] = attrs.field(factory=list)

    def start(self) -> "Bridge":
        self.tasks = [
            asyncio.create_task(self.lock.run(lambda: None)),
            asyncio.create_task(self.freshness.run()),
        ]
        return self

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def named(self, name: str) -> list[Any]:
        return [event.data for event in self.events if event.name == name]


@contextlib.asynccontextmanager
async def bridge(
    server: FakeConsul, *, reads: bool = True, token: str = "", name: str = "a", expire_after: float | None = AFTER
) -> AsyncIterator[Bridge]:
    """One that has started; `reads` is whether it can read the cluster."""
    events: list[Event] = []
    environ = {"CONSUL_HTTP_TOKEN": token} if token else {}
    consul = Consul(Settings.read(server.url, environ), emit=events.append, rng=random.Random(1))
    options = BridgeOptions(owner="prod", expire_after=expire_after)
    lock = SessionLock(consul, options, emit=events.append, rng=random.Random(1), holder=name)
    lock.contend(reads)
    made = Bridge(
        lock,
        Freshness(consul, lock, options, silent_for=lambda: made.silent, emit=events.append),
        events,
        0.0 if reads else 1000.0,
    )
    try:
        yield made.start()
    finally:
        await made.stop()
        await consul.aclose()


def fill(server: FakeConsul, count: int = 3) -> None:
    for number in range(count):
        server.register(node=f"mine-{number}", node_meta=MINE, service="web", id="web", port=80, status="passing")
    server.set_check("mine-1", "another", "critical")  # of a node, and not ours to judge
    server.register(node="theirs", node_meta={"owner-id": "other"}, service="web", port=80, status="passing")


def marks(server: FakeConsul) -> dict[str, str]:
    """What the check of each node says, where it has one."""
    nodes = server.dump()["nodes"]
    return {name: node["Checks"][ALIVE]["Status"] for name, node in nodes.items() if ALIVE in node["Checks"]}


ALL_CRITICAL = {f"mine-{number}": "critical" for number in range(3)}
ALL_PASSING = dict.fromkeys(ALL_CRITICAL, "passing")


@pytest.fixture
async def server() -> AsyncIterator[FakeConsul]:
    async with FakeConsul() as made:
        fill(made)
        yield made


async def test_while_all_is_well_nothing_is_written(server: FakeConsul) -> None:
    before = server.dump(volatile=False)["nodes"]
    async with bridge(server) as one, bridge(server, reads=False, name="b"):
        await until(lambda: one.lock.leading)
        await asyncio.sleep(2 * AFTER)
        assert server.writes == 0
        assert server.dump(volatile=False)["nodes"] == before
        assert one.events == [event for event in one.events if event.name.startswith("leader.")]


async def test_what_a_dead_bridge_left_is_marked_by_one_that_stands_by(server: FakeConsul) -> None:
    theirs = server.dump()["nodes"]["theirs"]
    async with bridge(server, reads=False) as one:
        await until(lambda: one.named("freshness.expired"))
        assert marks(server) == ALL_CRITICAL
        assert one.named("freshness.expired") == [{"nodes": 3}]
        assert not one.lock.leading
        assert server.dump()["nodes"]["theirs"] == theirs
        assert server.dump()["sessions"] == {}
    (entry, *_) = server.instances("web")
    assert entry["Node"]["Node"] == "mine-0"
    assert {check["Status"] for check in entry["Checks"]} == {"passing", "critical"}


async def test_it_is_marked_once(server: FakeConsul) -> None:
    async with bridge(server, reads=False) as one:
        await until(lambda: one.named("freshness.expired"))
        asked = len([one for one in server.requests if not one[1].startswith("/v1/kv")])
        await asyncio.sleep(3 * AFTER)
        assert server.writes == 1
        assert len([one for one in server.requests if not one[1].startswith("/v1/kv")]) == asked


async def test_not_before_the_time(server: FakeConsul) -> None:
    began = asyncio.get_running_loop().time()
    async with bridge(server, reads=False) as one:
        await until(lambda: marks(server))
        assert asyncio.get_running_loop().time() - began >= AFTER
        assert one.lock.free_for is not None


async def test_nothing_is_marked_while_somebody_leads(server: FakeConsul) -> None:
    async with bridge(server) as one, bridge(server, reads=False, name="b") as other:
        await until(lambda: other.lock.holder == "a")
        await asyncio.sleep(2 * AFTER)
        assert one.lock.leading
        assert marks(server) == {}


async def test_a_leader_that_can_read_the_cluster_undoes_the_marks(server: FakeConsul) -> None:
    async with bridge(server, reads=False) as one:
        await until(lambda: one.named("freshness.expired"))
        one.silent = 0.0
        one.lock.contend(True)
        await until(lambda: one.named("freshness.restored"))
        assert marks(server) == ALL_PASSING
        assert server.writes == 2


async def test_a_leader_marks_what_it_cannot_read_and_undoes_it_when_it_can(server: FakeConsul) -> None:
    async with bridge(server) as one:
        await until(lambda: one.lock.leading)
        one.silent = AFTER / 2
        await asyncio.sleep(AFTER)
        assert marks(server) == {}
        one.silent = AFTER
        await until(lambda: marks(server) == ALL_CRITICAL)
        one.silent = AFTER / 2
        await asyncio.sleep(AFTER)
        assert marks(server) == ALL_CRITICAL
        one.silent = 0.0
        await until(lambda: marks(server) == ALL_PASSING)
        assert server.writes == 2


async def test_a_watch_that_stumbles_costs_no_request(server: FakeConsul) -> None:
    async with bridge(server) as one:
        await until(lambda: one.freshness._done is not None)
        server.requests.clear()
        for _ in range(5):
            one.silent = AFTER / 2
            await one.freshness.look()
            one.silent = 0.0
            await one.freshness.look()
        assert [asked for asked in server.requests if not asked[1].startswith(("/v1/kv", "/v1/session"))] == []


async def test_what_another_has_marked_meanwhile_is_undone_by_the_next_term(server: FakeConsul) -> None:
    async with bridge(server) as one:
        await until(lambda: one.freshness._done is not None)
        server.set_check("mine-1", ALIVE, "critical")
        server.expire_session(server.dump()["keys"][KEY]["Session"])
        await until(lambda: marks(server) == {"mine-1": "passing"})


async def test_a_leader_that_comes_back_while_it_is_marked_waits_and_has_the_last_word(server: FakeConsul) -> None:
    async with bridge(server, reads=False) as one:
        await until(lambda: one.lock.free_for is not None)
        server.faults.slow(0.02)
        async with bridge(server, name="b") as other:
            await until(lambda: other.freshness._done is not None, 20)
            assert set(marks(server).values()) <= {"passing"}
        server.faults.heal()


async def test_a_mark_of_a_deposed_leader_fails_as_a_whole(server: FakeConsul) -> None:
    async with bridge(server) as one:
        await until(lambda: one.freshness._done is not None)
        fence = one.lock.fence
        server.expire_session(server.dump()["keys"][KEY]["Session"])
        with pytest.raises(TxnRefused):
            await one.freshness._send([operation(Mark("mine-0"), "critical", AFTER)], fence)
        assert marks(server) == {}


async def test_a_leader_by_its_own_clock_no_longer_does_not_begin_a_write(server: FakeConsul) -> None:
    async with bridge(server) as one:
        await until(lambda: one.freshness._done is not None)
        one.lock._term.lose("test")
        with pytest.raises(NotLeading):
            await one.freshness._write([Mark("mine-0")], "critical", leading=True)
        assert server.writes == 0


async def test_a_node_that_went_meanwhile_does_not_keep_the_others_from_being_marked(server: FakeConsul) -> None:
    async with bridge(server) as one:
        await until(lambda: one.freshness._done is not None)
        fill(server)
        made = [operation(Mark(name), "critical", AFTER) for name in ("mine-0", "gone", "mine-2")]
        with pytest.raises(TxnRefused):
            await one.freshness._send(made, one.lock.fence)
        assert marks(server) == {"mine-0": "critical", "mine-2": "critical"}


async def test_many_nodes_are_marked_in_transactions_of_128_operations(server: FakeConsul) -> None:
    fill(server, 300)
    async with bridge(server, reads=False) as one:
        await until(lambda: one.named("freshness.expired"), 20)
        assert one.named("freshness.expired") == [{"nodes": 300}]
        assert len(marks(server)) == 300
        assert server.writes == 3


async def test_a_failure_is_told_and_tried_again_later(server: FakeConsul) -> None:
    async with bridge(server, reads=False) as one:
        server.faults.answer(500, "broken", path="/v1/health")
        await until(lambda: one.named("freshness.failed"))
        assert "broken" in one.named("freshness.failed")[0]["error"]
        server.faults.heal()
        with contextlib.suppress(ConsulError):
            await one.freshness.look()
        assert marks(server) == ALL_CRITICAL


async def test_where_nobody_asked_for_marks_a_failure_is_tried_again_and_not_told(
    server: FakeConsul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discovery.bridge.leading.freshness.LONGEST", 0.02)
    monkeypatch.setattr("discovery.bridge.leading.freshness.RETRY", 0.02)
    server.faults.answer(500, "broken", path="/v1/catalog/nodes")
    async with bridge(server, expire_after=None) as one:
        await until(lambda: sum("/v1/catalog/nodes" in path for _, path in server.requests) > 3)
        assert one.named("freshness.failed") == []


async def test_a_denied_mark_is_told() -> None:
    async with FakeConsul(acls=True) as server:
        fill(server)
        rules = Rules(
            node={"": "read", "mine-1": "write"}, service={"": "read"}, key={"": "write"}, session={"": "write"}
        )
        async with bridge(server, reads=False, token=server.create_token(rules)) as one:
            await until(lambda: one.named("freshness.failed"))
            assert marks(server) == {"mine-1": "critical"}
