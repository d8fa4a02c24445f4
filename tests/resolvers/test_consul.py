"""A service in Consul as it changes: what is asked with, what is shown, and what holds on while Consul is away.

Time is virtual and answers are played; over HTTP it is in `test_consul_http`.
"""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import attrs
import pytest

from discovery.consul.objects import HealthEntry, PreparedAnswer
from discovery.consul.reads import ONCE, Answer, Read
from discovery.errors import ConfigurationError, ConsulError, DiscoveryError, NoBackends, ServiceNotFound
from discovery.membership import Membership
from discovery.model import Backend, Candidate
from discovery.resolvers.consul import ConsulResolver
from discovery.resolvers.consul_asking import BURST, INTERVAL, WAIT
from discovery.targets import Consul

from ..virtual import run
from .test_consul_set import CRITICAL, entry

if TYPE_CHECKING:
    from discovery.events import Event

WEB = Consul("web")
GEO = Consul("geo", prepared=True)

AWAY = ConsulError("consul.example:8500 cannot be reached", reason="unreachable")
DENIED = ConsulError("consul.example:8500 says no", status=403, reason="denied")
UNUSABLE = ConfigurationError("the token file is empty")

Entries = tuple[HealthEntry, ...]
Says = Answer[Entries] | DiscoveryError


class Exact(random.Random):
    """The longest pause, always."""

    def uniform(self, a: float, b: float) -> float:
        return b


def says(*numbers: int, index: int = 1, **more: Any) -> Answer[Entries]:
    return Answer(tuple(map(entry, numbers)), index, **more)


@attrs.define
class Played:
    """Plays Consul: answers with what holds when the index has passed the one asked with, or the wait is over."""

    holds: Says
    asked: list[tuple[float, Read]] = attrs.field(factory=list)
    wanted: list[dict[str, Any]] = attrs.field(factory=list)
    under_way: int = 0
    blocks: bool = True
    streams: bool = False  # as an agent does: what has blocked says nothing of itself
    stale: list[Says] = attrs.field(factory=list)  # what a server that is no leader says first
    failovers: int = 0
    _news: asyncio.Event = attrs.field(factory=asyncio.Event)
    _before: Says | None = None

    def say(self, holds: Says) -> None:
        self.holds = holds
        self._news.set()
        self._news = asyncio.Event()

    def restore(self, holds: Says) -> None:
        """Be what it was: questions under way are answered with what was before."""
        self._before = self.holds
        self.say(holds)

    async def health(self, service: str, read: Read = ONCE, **wanted: Any) -> Answer[Entries]:
        self.asked.append((round(asyncio.get_running_loop().time(), 2), read))
        self.wanted.append({"service": service} | wanted)
        if read.consistency == "stale" and self.stale:
            return self._spoken(self.stale.pop(0))
        return await self._answer(read)

    async def prepared(
        self, query: str, read: Read = ONCE, *, near: str | None = None, datacenter: str | None = None
    ) -> Answer[PreparedAnswer]:
        self.asked.append((round(asyncio.get_running_loop().time(), 2), read))
        self.wanted.append({"query": query, "near": near, "datacenter": datacenter})
        answer = await self._answer(ONCE)
        told = PreparedAnswer(service="web", nodes=answer.value, datacenter="dc2", failovers=self.failovers)
        return attrs.evolve(answer, value=told)  # type: ignore[return-value, arg-type]

    async def _answer(self, read: Read) -> Answer[Entries]:
        self.under_way += 1
        try:
            await asyncio.sleep(0.001)
            held = self.holds
            if read.index and self.blocks and isinstance(held, Answer) and held.index == read.index:
                await self._block(read)
            before, self._before = self._before, None
            answer = self._spoken(before or self.holds)
            if read.index and self.streams:
                return attrs.evolve(answer, known_leader=False, last_contact=0.0, filtered=False)
            return answer
        finally:
            self.under_way -= 1

    async def _block(self, read: Read) -> None:
        try:
            async with asyncio.timeout(read.wait):
                await self._news.wait()
        except TimeoutError:
            pass

    def _spoken(self, said: Says) -> Answer[Entries]:
        if isinstance(said, DiscoveryError):
            raise said
        return said


class Scene:
    """A resolver that runs, and what its pool knows: `async with Scene(...) as scene`."""

    def __init__(self, consul: Played, target: Consul = WEB) -> None:
        self.events: list[Event] = []
        self.consul = consul
        self._loop = asyncio.get_running_loop()
        self.known = Membership(str(target), emit=self.events.append, clock=self._loop.time)
        self.resolver = ConsulResolver(target, consul, self.events.append, Exact())

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.resolver.run(self.known))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        assert not self.consul.under_way, "no question outlives its resolver"

    async def at(self, seconds: float) -> None:
        """Let it be so late."""
        await asyncio.sleep(seconds - self._loop.time())

    @property
    def places(self) -> list[str]:
        return [backend.address for backend in self.backends]

    @property
    def backends(self) -> Sequence[Backend]:
        return self.known.snapshot().backends

    @property
    def candidates(self) -> list[Candidate]:
        return list(self.known.candidates())

    def failing(self) -> tuple[Exception | None, float]:
        """The error, and for how many seconds nothing was heard."""
        return self.known.last_error, round(self.known.stale_for(), 1)

    def told(self, prefix: str = "consul.") -> list[str]:
        return [event.name for event in self.events if event.name.startswith(prefix)]


def timeless(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test runs in a loop whose clock starts at 0 and jumps to the next timer."""

    @functools.wraps(test)
    def timed(*given: Any, **named: Any) -> None:
        async def scene() -> None:
            await test(*given, **named)

        run(scene())

    return timed


# Blocking


@timeless
async def test_the_first_question_does_not_block_and_each_later_one_waits_for_a_change() -> None:
    async with Scene(Played(says(1, 2, index=7))) as scene:
        await scene.at(200)
        assert scene.places == ["10.0.0.1", "10.0.0.2"]
        assert [(when, read.index) for when, read in scene.consul.asked] == [
            (0, 0),
            (0, 7),
            (60, 7),
            (120, 7),
            (180, 7),
        ]
        assert {read.wait for _, read in scene.consul.asked} == {WAIT}
        assert {read.consistency for _, read in scene.consul.asked} == {"default"}
        assert scene.failing() == (None, 0)


@timeless
async def test_a_change_is_told_at_once_as_what_is_different() -> None:
    async with Scene(Played(says(1, 2))) as scene:
        await scene.at(50)
        stays = scene.known.record(scene.backends[1].id)
        scene.consul.say(Answer((entry(2, CRITICAL), entry(3)), 2))
        await scene.at(50.1)
        assert scene.places == ["10.0.0.3"]
        assert [(one.usable, one.reason) for one in scene.candidates] == [
            (False, "the check 'ready' is critical: 'refused'"),
            (True, "ready"),
        ]
        assert scene.known.record(scene.candidates[0].backend.id) is stays, "what was learnt of it is kept"
        scene.consul.say(says(2, 3, index=3))
        await scene.at(50.2)
        assert scene.places == ["10.0.0.2", "10.0.0.3"]
        assert scene.known.version == 3


@timeless
async def test_an_answer_that_is_the_same_changes_nothing() -> None:
    async with Scene(Played(says(1, index=1))) as scene:
        await scene.at(10)
        scene.consul.say(says(1, index=2))
        await scene.at(20)
        assert scene.known.version == 1


@timeless
async def test_everything_that_a_target_wants_is_asked_for() -> None:
    target = Consul("web", tags=["b", "a"], node_meta={"rack": "7"}, datacenter="dc2", near="_agent")
    async with Scene(Played(says(1)), target) as scene:
        await scene.at(1)
        read = scene.consul.asked[0][1]
        assert (read.datacenter, read.near) == ("dc2", "_agent")
        assert scene.consul.wanted[0] == {"service": "web", "tags": ("a", "b"), "node_meta": (("rack", "7"),)}


@timeless
async def test_an_index_that_goes_back_begins_anew() -> None:
    async with Scene(Played(says(1, index=90))) as scene:
        await scene.at(10)
        scene.consul.say(says(2, index=5))
        await scene.at(11)
        assert [read.index for _, read in scene.consul.asked] == [0, 90, 0, 5]
        assert scene.places == ["10.0.0.2"]


@timeless
async def test_an_answer_that_comes_early_and_brings_nothing_is_asked_for_without_blocking() -> None:
    """As Consul answers when a snapshot is restored: with what was, and its index, which may not come for long."""
    async with Scene(Played(says(1, 2, index=90))) as scene:
        await scene.at(10)
        scene.consul.restore(says(1, index=5))
        await scene.at(11)
        assert [read.index for _, read in scene.consul.asked] == [0, 90, 0, 5]
        assert scene.places == ["10.0.0.1"]


@timeless
async def test_a_server_that_never_blocks_is_asked_at_a_bounded_rate() -> None:
    consul = Played(says(1))
    consul.blocks = False
    async with Scene(consul) as scene:
        await scene.at(100)
        assert len(consul.asked) <= BURST + 100 / INTERVAL + 1


# No instances


@timeless
async def test_no_instance_is_an_answer_and_says_what_was_looked_for() -> None:
    async with Scene(Played(says(index=4))) as scene:
        await scene.at(1)
        assert scene.known.synced_at is not None
        assert isinstance(scene.known.last_error, ServiceNotFound)
        assert "Consul knows no instance of 'web'" in str(scene.known.why_empty())
        scene.consul.say(says(1, index=5))
        await scene.at(2)
        assert (scene.places, scene.failing()) == (["10.0.0.1"], (None, 0))
        scene.consul.say(says(index=6))
        await scene.at(3)
        assert scene.places == []
        assert scene.told("pool.problem") == ["pool.problem"] * 2


@timeless
async def test_when_all_are_critical_the_reason_is_said() -> None:
    async with Scene(Played(Answer((entry(1, CRITICAL),), 1))) as scene:
        await scene.at(1)
        why = scene.known.why_empty()
        assert isinstance(why, NoBackends)
        assert "1 known, of which 1 withheld: the check 'ready' is critical" in str(why)


@pytest.mark.parametrize(
    ("nothing", "reason"),
    [(says(filtered=True, index=9), "denied"), (says(known_leader=False, index=9), "no-leader")],
)
@timeless
async def test_nothing_is_no_answer_where_acls_hide_it_or_nobody_leads(nothing: Says, reason: str) -> None:
    async with Scene(Played(says(1, index=8))) as scene:
        await scene.at(1)
        scene.consul.say(nothing)
        await scene.at(2)
        assert scene.places == ["10.0.0.1"]
        assert isinstance(scene.known.last_error, ConsulError)
        assert scene.known.last_error.reason == reason
        scene.consul.say(says(2, index=9))
        await scene.at(100)
        assert (scene.places, scene.failing()) == (["10.0.0.2"], (None, 0))
        assert scene.told() == ["consul.failed", "consul.recovered"]


@timeless
async def test_an_answer_that_acls_have_thinned_out_is_used_with_a_warning() -> None:
    async with Scene(Played(says(1, filtered=True))) as scene:
        await scene.at(1)
        assert scene.places == ["10.0.0.1"]
        assert "Consul's ACLs hide some instances" in scene.known.remarks[0].text
        assert scene.told("pool.warning") == ["pool.warning"]
        scene.consul.say(says(1, 2, index=2))
        await scene.at(2)
        assert scene.known.remarks == ()


# Failures


@pytest.mark.parametrize("error", [AWAY, UNUSABLE])
@timeless
async def test_what_is_known_holds_on_while_consul_is_away_and_it_is_asked_ever_more_seldom(
    error: DiscoveryError,
) -> None:
    async with Scene(Played(says(1))) as scene:
        await scene.at(1000)
        scene.consul.asked.clear()
        scene.consul.say(error)
        await scene.at(1070)
        assert scene.places == ["10.0.0.1"]
        assert scene.failing() == (error, 110.0), "since the last answer, which was at 960 s"
        pauses = [round(when - 1000, 1) for when, _ in scene.consul.asked]
        assert pauses == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5]
        assert {read.index for _, read in scene.consul.asked} == {0}, "none blocks: the first that works shows it"
        scene.consul.say(says(1))
        await scene.at(1100)
        assert scene.failing() == (None, 0)
        assert scene.told() == ["consul.failed", "consul.recovered"]


@timeless
async def test_a_pool_that_was_never_told_anything_is_not_synced_and_knows_why() -> None:
    async with Scene(Played(AWAY)) as scene:
        await scene.at(100)
        assert (scene.known.synced_at, scene.known.last_error) == (None, AWAY)
        scene.consul.say(says(1))
        await scene.at(200)
        assert scene.places == ["10.0.0.1"]


@timeless
async def test_a_token_that_may_not_read_is_no_reason_to_ask_again_and_again() -> None:
    async with Scene(Played(DENIED)) as scene:
        await scene.at(240)
        assert len(scene.consul.asked) == 4
        assert scene.told() == ["consul.failed"]


@timeless
async def test_a_resolver_that_is_run_again_tells_everything_anew() -> None:
    async with Scene(Played(says(1, 2))) as scene:
        await scene.at(1)
        scene.task.cancel()
        await asyncio.wait({scene.task})
        scene.consul.say(says(2, index=2))
        scene.task = asyncio.create_task(scene.resolver.run(scene.known))
        await scene.at(2)
        assert scene.places == ["10.0.0.2"]


@timeless
async def test_an_error_that_is_kept_holds_no_frames() -> None:
    async with Scene(Played(AWAY)) as scene:
        await scene.at(1)
        assert scene.known.last_error is AWAY
        assert AWAY.__traceback__ is None


@timeless
async def test_registrations_without_an_address_are_counted_once_while_they_last() -> None:
    bad = entry(1, at="not a host")
    async with Scene(Played(Answer((bad, entry(2)), 1))) as scene:
        await scene.at(1)
        scene.consul.say(Answer((bad, entry(2), entry(3)), 2))
        await scene.at(2)
        scene.consul.say(says(2, 3, index=3))
        await scene.at(3)
        counted = [event.data["instances"] for event in scene.events if event.name == "consul.skipped"]
        assert counted == [1, 0]


# Agents that block on a stream


@timeless
async def test_what_a_stream_tells_is_taken_as_it_is_unless_there_is_nothing() -> None:
    consul = Played(says(1, index=5), streams=True)
    async with Scene(consul) as scene:
        await scene.at(1)
        consul.say(says(1, 2, index=6))
        await scene.at(2)
        assert [read.index for _, read in consul.asked] == [0, 5, 6]
        consul.say(says(index=7))
        await scene.at(3)
        assert [read.index for _, read in consul.asked] == [0, 5, 6, 0, 7]
        assert (scene.places, scene.told()) == ([], [])
        assert isinstance(scene.known.last_error, ServiceNotFound)


@timeless
async def test_a_stream_that_acls_have_emptied_empties_no_pool() -> None:
    consul = Played(says(1, index=5), streams=True)
    async with Scene(consul) as scene:
        await scene.at(1)
        consul.say(says(index=6, filtered=True))
        await scene.at(2)
        assert scene.places == ["10.0.0.1"]
        assert isinstance(scene.known.last_error, ConsulError)
        assert scene.known.last_error.reason == "denied"


@pytest.mark.parametrize(("contact", "modes"), [(1.0, ["stale"] * 4), (11.0, ["stale", "stale", "stale", "default"])])
@timeless
async def test_a_stream_does_not_hide_how_stale_an_answer_is(contact: float, modes: list[str]) -> None:
    consul = Played(says(1, index=5), streams=True)
    async with Scene(consul, Consul("web", stale=10)) as scene:
        await scene.at(1)
        consul.say(says(1, 2, index=6, last_contact=contact))
        await scene.at(2)
        assert [read.consistency for _, read in consul.asked[:4]] == modes
        assert scene.places == ["10.0.0.1", "10.0.0.2"]


# Stale reads


@timeless
async def test_stale_answers_within_the_bound_are_taken_and_looked_at_as_often() -> None:
    consul = Played(says(1, index=3))
    consul.stale = [says(1, index=3, last_contact=9.0)]
    async with Scene(consul, Consul("web", stale=10)) as scene:
        await scene.at(25)
        assert scene.places == ["10.0.0.1"]
        assert {read.consistency for _, read in consul.asked} == {"stale"}
        assert [(when, read.index) for when, read in consul.asked] == [(0, 0), (0, 3), (10, 3), (20, 3)]


@pytest.mark.parametrize("unfit", [says(9, index=3, last_contact=11.0), says(9, index=3, known_leader=False)])
@timeless
async def test_what_is_too_stale_is_asked_of_the_leader_instead(unfit: Says) -> None:
    consul = Played(says(1, index=3))
    consul.stale = [unfit]
    async with Scene(consul, Consul("web", stale=10)) as scene:
        await scene.at(1)
        assert scene.places == ["10.0.0.1"]
        assert [(read.consistency, read.index) for _, read in consul.asked] == [
            ("stale", 0),
            ("default", 0),
            ("stale", 3),
        ]


@timeless
async def test_a_server_that_is_behind_what_was_told_never_turns_time_back() -> None:
    consul = Played(says(1, index=30))
    async with Scene(consul, Consul("web", stale=10)) as scene:
        await scene.at(5)
        consul.stale = [says(9, index=29)]
        await scene.at(15)
        assert scene.places == ["10.0.0.1"]
        assert ("default", 0) in [(read.consistency, read.index) for _, read in consul.asked]


@timeless
async def test_a_bound_below_a_second_does_not_ask_more_often_than_once_a_second() -> None:
    async with Scene(Played(says(1)), Consul("web", stale=0.01)) as scene:
        await scene.at(100)
        assert 90 < len(scene.consul.asked) < 105


# Prepared queries


@timeless
async def test_a_prepared_query_is_executed_every_few_seconds() -> None:
    target = Consul("geo", prepared=True, near="_agent", datacenter="dc3")
    async with Scene(Played(says(1)), target) as scene:
        await scene.at(1)
        scene.consul.say(says(2))
        await scene.at(20)
        assert scene.places == ["10.0.0.2"]
        assert [when for when, _ in scene.consul.asked] == [0, 5.5, 11, 16.5]
        assert scene.consul.wanted[0] == {"query": "geo", "near": "_agent", "datacenter": "dc3"}


@timeless
async def test_a_failover_of_a_prepared_query_is_a_warning_while_it_lasts() -> None:
    async with Scene(Played(says(1)), GEO) as scene:
        scene.consul.failovers = 1
        await scene.at(1)
        assert "failed over to the datacenter 'dc2'" in scene.known.remarks[0].text
        scene.consul.failovers = 0
        await scene.at(10)
        assert scene.known.remarks == ()


@timeless
async def test_a_prepared_query_that_finds_nothing_empties_the_pool_and_one_that_is_hidden_does_not() -> None:
    async with Scene(Played(says(1)), GEO) as scene:
        await scene.at(1)
        scene.consul.say(says(filtered=True))
        await scene.at(10)
        assert scene.places == ["10.0.0.1"]
        scene.consul.say(says())
        await scene.at(100)
        assert scene.places == []
        assert "the prepared query 'geo' finds no instance" in str(scene.known.why_empty())


@timeless
async def test_a_prepared_query_that_does_not_exist_is_said_and_what_is_known_holds_on() -> None:
    missing = ConsulError("no such query", status=404, reason="not-found")
    async with Scene(Played(says(1)), GEO) as scene:
        await scene.at(1)
        scene.consul.say(missing)
        await scene.at(10)
        assert isinstance(scene.known.last_error, ServiceNotFound)
        assert "Consul has no prepared query 'geo'" in str(scene.known.last_error)
        assert scene.places == ["10.0.0.1"]


@timeless
async def test_other_failures_of_a_prepared_query_are_as_they_came() -> None:
    async with Scene(Played(AWAY), GEO) as scene:
        await scene.at(10)
        assert scene.known.last_error is AWAY


# Long work


async def test_thousands_of_instances_are_read_with_pauses() -> None:
    many = Answer(tuple(entry(1, at=f"10.0.{n >> 8}.{n & 255}", id=f"w{n}") for n in range(3000)), 1)
    turns = 0

    async def others(known: Membership) -> None:
        nonlocal turns
        while known.synced_at is None:
            await asyncio.sleep(0)
            turns += scene.consul.under_way == 0

    async with Scene(Played(many)) as scene:
        await asyncio.wait_for(others(scene.known), 10)
        assert len(scene.places) == 3000
    assert turns > 3
