"""Names in the DNS as they change: what is shown, what holds on while servers fail, and when it is asked again.

Time is virtual and answers are played; the servers and sockets are in `tests/dns`.
"""

import asyncio
import contextlib
import functools
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.dns.answers import Answer, Kind, Srv
from discovery.errors import NoBackends, ResolutionError
from discovery.events import Event
from discovery.membership import Membership
from discovery.model import Backend, BackendId
from discovery.resolvers import NONE_WITHHELD, Withheld
from discovery.resolvers.dns import DnsResolver
from discovery.resolvers.dns_refresh import Known, pause, step
from discovery.resolvers.dns_set import Question, compose
from discovery.targets import Dns, Family

from ..virtual import run

WEB = Dns("web.example", port=80)
SRV = Dns("_http._tcp.web.example", srv=True)

Says = Answer | ResolutionError
NO_SUCH = ResolutionError("web.example does not exist", reason="no-such-name", ttl=5.0)
NO_DATA = ResolutionError("web.example has no such records", reason="no-data", ttl=5.0)
FAILURES = [ResolutionError(f"it is {reason}", reason=reason) for reason in ("server-failure", "timeout", "unusable")]
BROKEN = FAILURES[0]


class Exact(random.Random):
    """No jitter: refreshes are at their TTL, pauses the shortest."""

    def uniform(self, a: float, b: float) -> float:
        return a


def a(*last: int, ttl: float = 30.0) -> Answer:
    return Answer(addresses=tuple(f"10.0.0.{one}" for one in last), ttl=ttl)


def aaaa(*last: int, ttl: float = 30.0) -> Answer:
    return Answer(addresses=tuple(f"fd00::{one}" for one in last), ttl=ttl)


def srv(*services: Srv, ttl: float = 30.0, **additional: tuple[str, ...]) -> Answer:
    """`additional` by the first label of the target."""
    return Answer(services=services, additional={f"{key}.example": told for key, told in additional.items()}, ttl=ttl)


def host(label: str, *, priority: int = 0, weight: int = 10, port: int = 8080) -> Srv:
    return Srv(priority, weight, port, f"{label}.example")


@attrs.define
class Servers:
    """Plays the servers: each question has an answer, which comes after so many seconds."""

    says: dict[tuple[str, Kind], Says]
    takes: dict[tuple[str, Kind], float] = attrs.field(factory=dict)
    asked: list[tuple[float, str, Kind]] = attrs.field(factory=list)
    under_way: Counter[tuple[str, Kind]] = attrs.field(factory=Counter)
    asked_of: set[str | None] = attrs.field(factory=set)

    async def find(self, name: str, kind: Kind, server: str | None = None) -> Answer:
        question = name, kind
        self.asked.append((asyncio.get_running_loop().time(), name, kind))
        self.asked_of.add(server)
        self.under_way[question] += 1
        try:
            await asyncio.sleep(self.takes.get(question, 0.001))
            said = self.says[question]
        finally:
            self.under_way[question] -= 1
        if isinstance(said, ResolutionError):
            raise said
        return said

    def times(self, kind: Kind = "A") -> list[float]:
        """When a kind was asked for, in seconds since the start."""
        return [round(when, 1) for when, _, asked in self.asked if asked == kind]


def plain(first: Says, second: Says = NO_DATA) -> Servers:
    """One name, by its A and its AAAA records."""
    return Servers({("web.example", "A"): first, ("web.example", "AAAA"): second})


def services(root: Says, **hosts: tuple[Says, Says]) -> Servers:
    """SRV records, and the A and AAAA records of targets by their first label."""
    says: dict[tuple[str, Kind], Says] = {(SRV.name, "SRV"): root}
    for label, (first, second) in hosts.items():
        says[f"{label}.example.", "A"], says[f"{label}.example.", "AAAA"] = first, second
    return Servers(says)


class Scene:
    """A resolver that runs, what its pool knows, and what it told when: `async with Scene(...) as scene`."""

    def __init__(
        self,
        target: Dns,
        servers: Servers,
        rng: random.Random | None = None,
        known: type[Membership] = Membership,
    ) -> None:
        self.events: list[Event] = []
        self.shown: list[tuple[float, list[str]]] = []
        self.servers = servers
        self._loop = asyncio.get_running_loop()
        self.known = known(str(target), emit=self._emit, clock=self._loop.time)
        self._resolver = DnsResolver(target, servers, self._emit, rng or Exact())

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if event.name == "pool.changed":
            self.shown.append((round(self._loop.time(), 2), self.places))

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._resolver.run(self.known))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        assert not +self.servers.under_way, "no question outlives its resolver"

    async def at(self, seconds: float) -> None:
        """Let it be so late."""
        await asyncio.sleep(seconds - self._loop.time())

    @property
    def places(self) -> list[str]:
        return sorted(backend.netloc for backend in self.backends)

    @property
    def backends(self) -> Sequence[Backend]:
        return self.known.snapshot().backends

    @property
    def error(self) -> Exception | None:
        return self.known.last_error

    def failing(self) -> tuple[Exception | None, float]:
        """The error, and for how many seconds nothing was heard."""
        return self.known.last_error, self.known.stale_for()

    def count(self, name: str) -> int:
        return sum(event.name == name for event in self.events)


def timeless(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test runs in a loop whose clock starts at 0 and jumps to the next timer."""

    @functools.wraps(test)
    def timed(*given: Any, **named: Any) -> None:
        async def scene() -> None:
            await test(*given, **named)

        run(scene())

    return timed


# Families


FAMILIES: list[tuple[Family, Says, Says, list[str]]] = [
    ("prefer-ipv4", a(1, 2), aaaa(1), ["10.0.0.1:80", "10.0.0.2:80"]),
    ("prefer-ipv4", NO_DATA, aaaa(1), ["[fd00::1]:80"]),
    ("prefer-ipv4", BROKEN, aaaa(1), ["[fd00::1]:80"]),
    ("prefer-ipv6", a(1), aaaa(1), ["[fd00::1]:80"]),
    ("prefer-ipv6", a(1), NO_DATA, ["10.0.0.1:80"]),
    ("prefer-ipv6", a(1), BROKEN, ["10.0.0.1:80"]),
    ("ipv4", a(1), aaaa(1), ["10.0.0.1:80"]),
    ("ipv6", a(1), aaaa(1), ["[fd00::1]:80"]),
]


@pytest.mark.parametrize(("family", "first", "second", "shown"), FAMILIES)
@timeless
async def test_the_family_that_is_wanted_is_shown_and_the_other_where_it_has_none(
    family: Family, first: Says, second: Says, shown: list[str]
) -> None:
    async with Scene(attrs.evolve(WEB, family=family), plain(first, second)) as scene:
        await scene.at(0.2)
        assert scene.places == shown
        assert scene.failing() == (None, 0)


@pytest.mark.parametrize(("family", "kind"), [("ipv4", "A"), ("ipv6", "AAAA")])
@timeless
async def test_one_family_is_asked_for_by_its_own_kind_only(family: Family, kind: Kind) -> None:
    async with Scene(attrs.evolve(WEB, family=family), plain(a(1), aaaa(1))) as scene:
        await scene.at(100)
        assert {asked for _, _, asked in scene.servers.asked} == {kind}


@timeless
async def test_both_families_are_asked_for_at_once_and_told_as_one() -> None:
    servers = plain(a(1), aaaa(1))
    servers.takes = {("web.example", "AAAA"): 0.01, ("web.example", "A"): 0.04}
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        assert [when for when, *_ in servers.asked] == [0.0, 0.0]
        assert scene.shown == [(0.04, ["10.0.0.1:80"])]


@timeless
async def test_a_slow_family_is_waited_for_50_ms_and_taken_up_when_it_comes() -> None:
    servers = plain(a(1), aaaa(1))
    servers.takes = {("web.example", "AAAA"): 0.2, ("web.example", "A"): 3.0}
    async with Scene(WEB, servers) as scene:
        await scene.at(4)
        assert scene.shown == [(0.25, ["[fd00::1]:80"]), (3.0, ["10.0.0.1:80"])]


@timeless
async def test_a_negative_answer_alone_says_nothing_while_the_other_is_awaited() -> None:
    servers = plain(NO_DATA, aaaa(1))
    servers.takes = {("web.example", "AAAA"): 4.0}
    async with Scene(WEB, servers) as scene:
        await scene.at(3)
        assert (scene.known.synced_at, scene.error) == (None, None)
        await scene.at(5)
        assert scene.places == ["[fd00::1]:80"]


@timeless
async def test_a_name_is_asked_of_the_server_that_the_target_names() -> None:
    servers = plain(a(1))
    async with Scene(attrs.evolve(WEB, server="127.0.0.1:1053"), servers) as scene:
        await scene.at(1)
        assert servers.asked_of == {"127.0.0.1:1053"}


@pytest.mark.parametrize(
    ("name", "family", "shown"),
    [
        ("10.0.0.9", "prefer-ipv4", ["10.0.0.9:80"]),
        ("10.0.0.9", "prefer-ipv6", ["10.0.0.9:80"]),
        ("fd00:0::9", "prefer-ipv4", ["[fd00::9]:80"]),
        ("10.0.0.9", "ipv6", []),
    ],
)
@timeless
async def test_an_address_is_its_own_answer(name: str, family: Family, shown: list[str]) -> None:
    async with Scene(Dns(name, port=80, family=family), Servers({})) as scene:
        await scene.at(1)
        assert scene.task.done()
        assert (scene.places, scene.servers.asked) == (shown, [])
        assert isinstance(scene.error, ResolutionError) == (not shown)
        assert scene.known.synced_at == 0.0


# Refreshes


@pytest.mark.parametrize(
    ("ttl", "times"),
    [
        (0.0, [0.0, 1.0, 2.0, 3.0]),
        (5.0, [0.0, 5.0, 10.0, 15.0]),
        (300.0, [0.0, 300.0, 600.0]),
        (86400.0, [0.0, 300.0, 600.0]),
    ],
)
@timeless
async def test_a_name_is_asked_for_again_by_its_ttl_within_1_to_300_seconds(ttl: float, times: list[float]) -> None:
    async with Scene(attrs.evolve(WEB, family="ipv4"), plain(a(1, ttl=ttl))) as scene:
        await scene.at(times[-1] + 0.5)
        assert scene.servers.times() == times
        assert len(scene.shown) == 1


@timeless
async def test_what_changed_is_told_and_what_is_gone_leaves_at_the_ttl() -> None:
    servers = plain(a(1, 2, ttl=10))
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        kept = scene.known.usable(scene.backends[1].id)
        servers.says["web.example", "A"] = a(2, 3, ttl=10)
        await scene.at(9.9)
        assert scene.places == ["10.0.0.1:80", "10.0.0.2:80"]
        await scene.at(10.1)
        assert scene.places == ["10.0.0.2:80", "10.0.0.3:80"]
        assert scene.known.usable(scene.backends[0].id) is kept


@timeless
async def test_the_same_answer_again_changes_nothing() -> None:
    servers = plain(a(1, 2, ttl=10))
    async with Scene(WEB, servers) as scene:
        await scene.at(5)
        servers.says["web.example", "A"] = a(1, 2, ttl=3)
        await scene.at(60)
        assert len(scene.servers.times()) > 10
        assert (scene.known.version, len(scene.shown)) == (1, 1)


class Calls(Membership):
    """What was said to a sink, in numbers."""

    updates: list[tuple[int, int]]

    def update(
        self, changed: Iterable[Backend], removed: Iterable[BackendId], withheld: Withheld = NONE_WITHHELD
    ) -> None:
        changed, removed = tuple(changed), tuple(removed)
        self.updates.append((len(changed), len(removed)))
        super().update(changed, removed, withheld)


@timeless
async def test_only_what_is_different_is_said_and_only_when_something_is() -> None:
    servers = plain(a(1, 2, 3, ttl=10))
    async with Scene(WEB, servers, known=Calls) as scene:
        assert isinstance(scene.known, Calls)
        scene.known.updates = []
        await scene.at(45)
        assert scene.known.updates == [(3, 0)]
        servers.says["web.example", "A"] = a(2, 3, 4, ttl=10)
        await scene.at(99)
        assert scene.known.updates == [(3, 0), (1, 1)]


@timeless
async def test_each_family_keeps_its_own_ttl() -> None:
    async with Scene(WEB, plain(a(1, ttl=20), aaaa(1, ttl=7))) as scene:
        await scene.at(21.5)
        assert (scene.servers.times("A"), scene.servers.times("AAAA")) == ([0, 20], [0, 7, 14, 21])


@timeless
async def test_names_that_were_asked_for_at_once_part_and_none_is_late() -> None:
    async with Scene(attrs.evolve(WEB, family="ipv4"), plain(a(1, ttl=10)), random.Random(1)) as scene:
        await scene.at(200)
        times = [when for when, *_ in scene.servers.asked]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert 9.0 <= min(gaps[1:]) < 9.5 < max(gaps) <= 10.0 + 0.001


@timeless
async def test_names_that_began_at_once_are_spread_over_half_a_ttl_and_asked_for_a_few_together() -> None:
    servers = Servers({(f"n{number}.example", kind): a(1) for number in range(500) for kind in ("A", "AAAA")})
    async with contextlib.AsyncExitStack() as stack:
        for number in range(500):
            await stack.enter_async_context(Scene(Dns(f"n{number}.example", port=80), servers, random.Random(number)))
        await asyncio.sleep(30.1)
        again = Counter(round(when, 3) for when, *_ in servers.asked[1000:])
        assert again.total() == 1000
        assert 15 < min(again) < 16 < 29 < max(again) < 30
        assert len(again) <= 150, "one in a tenth of a second"
        assert max(again.values()) < 20


# Negative answers


@pytest.mark.parametrize("negative", [NO_SUCH, NO_DATA])
@timeless
async def test_a_name_without_records_is_known_to_have_none_at_once(negative: ResolutionError) -> None:
    async with Scene(WEB, plain(negative, negative)) as scene:
        await scene.at(0.1)
        assert (scene.known.synced_at is not None, scene.places) == (True, [])
        assert scene.error is negative
        assert scene.known.stale_for() == 0
        assert isinstance(scene.known.why_empty(), NoBackends)


@pytest.mark.parametrize(("ttl", "found"), [(0.0, 11), (7.0, 14), (3600.0, 30)])
@timeless
async def test_a_name_that_comes_is_found_within_its_negative_ttl_and_30_seconds(ttl: float, found: float) -> None:
    negative = ResolutionError("no", reason="no-such-name", ttl=ttl)
    servers = plain(negative, negative)
    async with Scene(WEB, servers) as scene:
        await scene.at(10.5)
        servers.says["web.example", "A"] = a(1)
        await scene.at(100)
        ((when, shown),) = scene.shown
        assert (round(when), shown) == (found, ["10.0.0.1:80"])
        assert scene.error is None


@timeless
async def test_a_family_that_a_name_lacks_is_not_asked_for_more_often_than_its_zone_says() -> None:
    never = ResolutionError("no", reason="no-data", ttl=3600)
    async with Scene(WEB, plain(a(1, ttl=10), never)) as scene:
        await scene.at(301)
        assert scene.servers.times("AAAA") == [0, 300]


@pytest.mark.parametrize("negative", [NO_SUCH, NO_DATA])
@timeless
async def test_a_pool_is_emptied_at_the_second_telling_half_a_second_later(negative: ResolutionError) -> None:
    servers = plain(a(1, ttl=10))
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        servers.says["web.example", "A"] = negative
        await scene.at(10.4)
        assert scene.places == ["10.0.0.1:80"]
        assert scene.failing() == (None, 0)
        await scene.at(10.6)
        assert scene.places == []
        assert scene.error is negative
        assert scene.servers.times() == [0, 10, 10.5]
        servers.says["web.example", "A"] = a(2)
        await scene.at(16)
        assert scene.places == ["10.0.0.2:80"]
        assert scene.failing() == (None, 0)


@timeless
async def test_a_server_that_lacks_a_name_for_a_moment_empties_nothing() -> None:
    servers = plain(a(1, ttl=10))
    async with Scene(WEB, servers) as scene:
        await scene.at(9)
        servers.says["web.example", "A"] = NO_SUCH
        await scene.at(10.2)
        servers.says["web.example", "A"] = a(1, ttl=10)
        await scene.at(30.1)
        assert scene.servers.times() == [0, 10, 10.5, 20.5]
        assert (len(scene.shown), scene.error) == (1, None)
        servers.says["web.example", "A"] = NO_SUCH
        await scene.at(30.6)
        assert scene.places == ["10.0.0.1:80"], "doubt begins anew"


@timeless
async def test_a_family_that_is_gone_gives_way_to_the_other() -> None:
    servers = plain(a(1, ttl=10), aaaa(1, ttl=300))
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        servers.says["web.example", "A"] = NO_DATA
        await scene.at(11)
        assert [shown for _, shown in scene.shown] == [["10.0.0.1:80"], ["[fd00::1]:80"]]


# Failures


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.reason)
@timeless
async def test_while_servers_fail_the_last_answer_holds_and_says_since_when(failure: ResolutionError) -> None:
    servers = plain(a(1, ttl=10))
    async with Scene(attrs.evolve(WEB, family="ipv4"), servers) as scene:
        await scene.at(1)
        servers.says["web.example", "A"] = failure
        await scene.at(600)
        assert scene.places == ["10.0.0.1:80"]
        assert scene.error is failure
        assert scene.known.stale_for() == pytest.approx(600, abs=0.01), "it was heard at the start"
        servers.says["web.example", "A"] = a(2)
        await scene.at(631)
        assert scene.places == ["10.0.0.2:80"]
        assert scene.failing() == (None, 0)
        assert (scene.count("dns.failed"), scene.count("dns.recovered")) == (1, 1)


@timeless
async def test_a_server_that_is_back_with_the_same_answer_speaks_again() -> None:
    servers = plain(a(1, ttl=10))
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        servers.says["web.example", "A"] = BROKEN
        await scene.at(12)
        assert scene.error is BROKEN
        servers.says["web.example", "A"] = a(1, ttl=10)
        await scene.at(20)
        assert (scene.failing(), len(scene.shown)) == ((None, 0), 1)


@timeless
async def test_pauses_after_failures_grow_from_one_second_to_thirty() -> None:
    async with Scene(attrs.evolve(WEB, family="ipv4"), plain(BROKEN)) as scene:
        await scene.at(61)
        assert scene.servers.times() == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5, 60.5]


@timeless
async def test_a_failure_at_first_is_not_an_empty_set() -> None:
    servers = plain(BROKEN, BROKEN)
    async with Scene(WEB, servers) as scene:
        await scene.at(20)
        assert (scene.known.synced_at, scene.error) == (None, BROKEN)
        servers.says["web.example", "A"] = a(1)
        await scene.at(60)
        assert (scene.places, scene.error) == (["10.0.0.1:80"], None)


@timeless
async def test_nothing_of_one_family_and_a_failure_of_the_other_is_not_an_empty_set() -> None:
    async with Scene(WEB, plain(NO_DATA, BROKEN)) as scene:
        await scene.at(20)
        assert (scene.known.synced_at, scene.error) == (None, BROKEN)


@timeless
async def test_a_failure_of_the_family_that_is_not_shown_is_no_failure() -> None:
    servers = plain(a(1), aaaa(1, ttl=5))
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        servers.says["web.example", "AAAA"] = BROKEN
        await scene.at(100)
        assert (scene.places, scene.error) == (["10.0.0.1:80"], None)
        assert scene.count("dns.failed") == 0


@timeless
async def test_a_failure_between_two_negative_answers_empties_nothing_by_itself() -> None:
    servers = plain(a(1, ttl=10))
    async with Scene(attrs.evolve(WEB, family="ipv4"), servers) as scene:
        await scene.at(1)
        servers.says["web.example", "A"] = NO_SUCH
        await scene.at(10.1)
        servers.says["web.example", "A"] = BROKEN
        await scene.at(60)
        assert (scene.places, scene.error) == (["10.0.0.1:80"], BROKEN)


@timeless
async def test_a_fault_that_is_not_of_the_dns_is_raised_and_leaves_no_question_behind() -> None:
    async with Scene(WEB, Servers({("web.example", "A"): a(1)})) as scene:
        await asyncio.wait({scene.task})
        raised = scene.task.exception()
        assert isinstance(raised, ExceptionGroup)
        assert isinstance(raised.exceptions[0], KeyError)


# SRV


@timeless
async def test_srv_records_say_port_priority_and_weight_and_the_host() -> None:
    root = srv(host("one", port=81), host("two", priority=1, weight=30, port=82), one=("10.0.0.1",), two=("10.0.0.2",))
    async with Scene(SRV, services(root)) as scene:
        await scene.at(1)
        assert {one.netloc: (one.priority, one.weight, one.hostname) for one in scene.backends} == {
            "10.0.0.1:81": (0, 10.0, "one.example"),
            "10.0.0.2:82": (1, 30.0, "two.example"),
        }
        assert [kind for *_, kind in scene.servers.asked] == ["SRV"], "the addresses were told along with them"


@timeless
async def test_hosts_whose_addresses_were_not_told_are_asked_for_as_they_are() -> None:
    root = srv(host("one"), host("two"), two=("10.0.0.2",))
    async with Scene(SRV, services(root, one=(a(1), NO_DATA))) as scene:
        await scene.at(1)
        assert scene.places == ["10.0.0.1:8080", "10.0.0.2:8080"]
        assert {name for _, name, kind in scene.servers.asked if kind != "SRV"} == {"one.example."}
        assert len(scene.shown) == 1


@pytest.mark.parametrize(
    ("family", "shown"),
    [
        ("prefer-ipv4", ["10.0.0.1:8080", "[fd00::2]:8080"]),
        ("prefer-ipv6", ["[fd00::1]:8080", "[fd00::2]:8080"]),
        ("ipv4", ["10.0.0.1:8080"]),
        ("ipv6", ["[fd00::1]:8080", "[fd00::2]:8080"]),
    ],
)
@timeless
async def test_each_host_counts_once_by_the_family_that_is_wanted(family: Family, shown: list[str]) -> None:
    root = srv(host("one"), host("two"), one=("10.0.0.1", "fd00::1"), two=("fd00::2",))
    async with Scene(attrs.evolve(SRV, family=family), services(root, two=(NO_DATA, aaaa(2)))) as scene:
        await scene.at(1)
        assert scene.places == shown


@timeless
async def test_a_host_that_cannot_be_found_is_passed_over_with_one_event() -> None:
    root = srv(
        host("one"), host("gone"), host("lame"), host("odd", port=0), one=("10.0.0.1",), odd=("10.0.0.4",), ttl=5
    )
    servers = services(root, gone=(NO_SUCH, NO_SUCH), lame=(BROKEN, BROKEN))
    async with Scene(SRV, servers) as scene:
        await scene.at(100)
        assert (scene.places, scene.error) == (["10.0.0.1:8080"], None)
        skipped = [event.data["host"] for event in scene.events if event.name == "dns.skipped"]
        assert sorted(skipped) == ["gone.example", "lame.example", "odd.example"]
        servers.says["lame.example.", "A"] = a(3)
        await scene.at(140)
        assert scene.places == ["10.0.0.1:8080", "10.0.0.3:8080"]


@timeless
async def test_hosts_of_which_none_is_found_are_nothing_and_of_which_none_can_be_asked_for_are_unknown() -> None:
    root = srv(host("one"), ttl=5)
    async with Scene(SRV, services(root, one=(NO_SUCH, NO_SUCH))) as scene:
        await scene.at(1)
        assert (scene.known.synced_at is not None, scene.error) == (True, NO_SUCH)
    async with Scene(SRV, services(root, one=(BROKEN, BROKEN))) as scene:
        await scene.at(5)
        assert (scene.known.synced_at, scene.error) == (None, BROKEN)


@timeless
async def test_a_service_that_is_said_not_to_be_there_is_empty_at_once() -> None:
    servers = services(srv(host("one"), one=("10.0.0.1",), ttl=10))
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        servers.says[SRV.name, "SRV"] = srv(Srv(0, 0, 0, ""), ttl=10)
        await scene.at(10.1)
        assert scene.places == []
        assert isinstance(scene.error, ResolutionError)
        assert scene.error.reason == "no-data"
        assert "no such service" in str(scene.error)


@timeless
async def test_a_host_that_leaves_is_no_longer_asked_for() -> None:
    servers = services(srv(host("one"), host("two"), ttl=10), one=(a(1, ttl=3), NO_DATA), two=(a(2, ttl=3), NO_DATA))
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        assert scene.places == ["10.0.0.1:8080", "10.0.0.2:8080"]
        servers.says[SRV.name, "SRV"] = srv(host("two"), ttl=10)
        await scene.at(11)
        assert scene.places == ["10.0.0.2:8080"]
        before = len(servers.asked)
        await scene.at(30)
        assert {name for _, name, _ in servers.asked[before:]} == {SRV.name, "two.example."}


@timeless
async def test_when_all_hosts_are_new_the_old_ones_hold_until_one_is_found() -> None:
    servers = services(srv(host("one"), ttl=10), one=(a(1), NO_DATA), two=(a(2), NO_DATA), three=(a(3), NO_DATA))
    servers.takes = {("two.example.", "A"): 0.3, ("three.example.", "A"): 0.32}
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        servers.says[SRV.name, "SRV"] = srv(host("two"), host("three"), ttl=10)
        await scene.at(12)
        assert [shown for _, shown in scene.shown] == [["10.0.0.1:8080"], ["10.0.0.2:8080", "10.0.0.3:8080"]]
        assert 10.3 < scene.shown[1][0] < 10.4


@timeless
async def test_hosts_hold_on_while_their_server_fails() -> None:
    servers = services(srv(host("one"), ttl=300), one=(a(1, ttl=5), NO_DATA))
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        servers.says["one.example.", "A"] = BROKEN
        await scene.at(60)
        assert (scene.places, scene.error) == (["10.0.0.1:8080"], BROKEN)
        assert scene.known.stale_for() == pytest.approx(60, abs=0.1)


@timeless
async def test_a_place_that_two_records_name_counts_once_by_the_better_one() -> None:
    both = ("10.0.0.1",)
    root = srv(host("one", priority=1, weight=90), host("two", weight=20), host("three", weight=10), one=both, two=both)
    root = attrs.evolve(root, additional={**root.additional, "three.example": both})
    async with Scene(SRV, services(root)) as scene:
        await scene.at(1)
        (backend,) = scene.backends
        assert (backend.priority, backend.weight, backend.hostname) == (0, 20.0, "two.example")


@timeless
async def test_the_weight_is_the_hosts_and_none_at_all_is_hardly_any() -> None:
    root = srv(host("one", weight=10), host("two", weight=0), one=("10.0.0.1", "10.0.0.2"), two=("10.0.0.3",))
    async with Scene(SRV, services(root)) as scene:
        await scene.at(1)
        assert [(one.address, one.weight) for one in scene.backends] == [
            ("10.0.0.1", 5.0),
            ("10.0.0.2", 5.0),
            ("10.0.0.3", 0.1),
        ]


@timeless
async def test_a_thousand_hosts_are_told_in_few_steps() -> None:
    labels = [f"h{number}" for number in range(1000)]
    hosts = {label: (a(number % 250), NO_DATA) for number, label in enumerate(labels)}
    ports = {label: 1024 + number for number, label in enumerate(labels)}
    servers = services(srv(*(host(label, port=ports[label]) for label in labels)), **hosts)
    servers.takes = {question: random.Random(str(question)).uniform(0, 0.2) for question in servers.says}
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        assert len(scene.backends) == 1000
        assert len(scene.shown) < 10
        for question in servers.says.keys() - {(SRV.name, "SRV")}:
            servers.says[question] = a(251) if question[1] == "A" else NO_DATA
        await scene.at(32)
        assert {one.address for one in scene.backends} == {"10.0.0.251"}
        assert len(scene.shown) < 20


@timeless
async def test_a_host_that_is_late_is_not_passed_over_before_it_is_known() -> None:
    servers = services(srv(host("one"), host("two"), two=("10.0.0.2",)), one=(BROKEN, aaaa(1)))
    servers.takes = {("one.example.", "AAAA"): 0.4}
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        assert scene.places == ["10.0.0.2:8080", "[fd00::1]:8080"]
        assert scene.count("dns.skipped") == 0


@timeless
async def test_a_host_that_comes_is_found_within_30_seconds_whatever_others_have() -> None:
    never = ResolutionError("no", reason="no-such-name", ttl=3600)
    servers = services(srv(host("one"), host("two"), ttl=300), one=(a(1, ttl=300), NO_DATA), two=(never, never))
    async with Scene(SRV, servers) as scene:
        await scene.at(1)
        servers.says["two.example.", "A"] = a(2)
        await scene.at(31)
        assert scene.places == ["10.0.0.1:8080", "10.0.0.2:8080"]


# What else is told


@pytest.mark.parametrize(
    ("name", "addresses", "said"),
    [
        ("web.shop.svc.cluster.local", (1,), 1),
        ("web.shop.svc", (1,), 1),
        ("web.shop.svc.cluster.local.", (1, 2), 0),
        ("web.example", (1,), 0),
    ],
)
@timeless
async def test_one_address_of_a_name_in_a_cluster_is_said_to_be_no_set(
    name: str, addresses: tuple[int, ...], said: int
) -> None:
    servers = Servers({(name, "A"): a(*addresses), (name, "AAAA"): NO_DATA})
    async with Scene(Dns(name, port=80), servers) as scene:
        await scene.at(1)
        assert len(scene.known.remarks) == said
        assert all("endpoints://shop/web:80" in one.text and not one.warning for one in scene.known.remarks)


@timeless
async def test_a_second_run_replaces_what_the_first_one_told() -> None:
    servers = plain(a(1))
    async with Scene(WEB, servers) as scene:
        await scene.at(1)
        scene.task.cancel()
        await asyncio.wait({scene.task})
        servers.says["web.example", "A"] = a(2)
        scene.task = asyncio.create_task(scene._resolver.run(scene.known))
        await scene.at(2)
        assert scene.places == ["10.0.0.2:80"]


@pytest.mark.parametrize("when", [0.0, 0.0005, 0.02, 0.1, 10.0, 10.0005, 10.3])
@timeless
async def test_cancelled_at_any_moment_it_ends_and_leaves_no_question_behind(when: float) -> None:
    servers = plain(a(1, ttl=10), BROKEN)
    async with Scene(WEB, servers) as scene:
        await scene.at(9.5 if when >= 10 else 0)
        servers.says["web.example", "A"] = NO_SUCH if when >= 10 else a(1, ttl=10)
        await scene.at(when)
    assert scene.task.cancelled()
    assert len(asyncio.all_tasks()) == 1


# Laws


outcomes = st.one_of(
    st.builds(a, st.integers(1, 3), ttl=st.floats(0, 1e6)),
    st.sampled_from([NO_SUCH, NO_DATA, *FAILURES]),
)


def after(said: Sequence[Says]) -> Known:
    known = Known()
    for now, outcome in enumerate(said):
        known = step(known, outcome, float(now))
    return known


@given(st.lists(outcomes))
def test_records_last_told_hold_until_a_server_has_said_twice_that_there_are_none(said: list[Says]) -> None:
    records: Answer | None = None
    denials = 0
    for outcome in said:
        if isinstance(outcome, Answer):
            records, denials = outcome, 0
        elif outcome in (NO_SUCH, NO_DATA):
            denials += 1
            records = None if denials == 2 else records
    known = after(said)
    assert known.answer is records
    assert known.answered == any(one not in FAILURES for one in said)


@given(st.lists(outcomes), outcomes)
def test_the_last_lookup_alone_says_whether_there_is_a_failure(said: list[Says], last: Says) -> None:
    known = after([*said, last])
    assert known.error is (last if last in FAILURES else known.error if known.doubted else None)
    assert bool(known.failures) == (last in FAILURES)


@given(st.lists(outcomes, min_size=1), st.floats(0, 1e6), st.integers(), st.booleans(), st.booleans())
def test_a_question_is_asked_again_within_its_ttl_but_for_the_bounds(
    said: list[Says], now: float, seed: int, first: bool, relaxed: bool
) -> None:
    known = after(said)
    seconds = pause(known, now, random.Random(seed), first=first, relaxed=relaxed)
    if known.failures:
        assert 0.5 <= seconds <= 30
    elif known.doubted:
        assert seconds == 0.5
    else:
        told = known.answer or known.nothing
        assert told is not None
        ceiling = 30 if known.answer is None and not relaxed else 300
        least = 0.5 if first else 0.9
        assert max(1, least * min(told.ttl, ceiling)) <= seconds <= max(1, min(told.ttl, ceiling))


names = st.lists(st.tuples(st.sampled_from("pqrs"), st.integers(0, 2), st.integers(0, 3)), max_size=6)


def known_of(hosts: Mapping[str, tuple[Says, Says]]) -> dict[Question, Known]:
    known: dict[Question, Known] = {}
    for label, (first, second) in hosts.items():
        known[Question(f"{label}.example.", "A")] = after([first])
        known[Question(f"{label}.example.", "AAAA")] = after([second])
    return known


@given(names, st.data())
def test_the_order_of_records_and_of_answers_means_nothing(
    records: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    found = [host(label, priority=priority, weight=weight) for label, priority, weight in records]
    hosts: dict[str, tuple[Says, Says]] = {"p": (a(1, 2), aaaa(1)), "q": (a(2), BROKEN), "r": (NO_DATA, aaaa(1))}
    one = known_of(hosts) | {Question(SRV.name, "SRV"): after([srv(*found)])}
    shuffled = data.draw(st.permutations(found))
    other = {Question(SRV.name, "SRV"): after([srv(*shuffled)])} | dict(data.draw(st.permutations(list(one.items()))))
    other[Question(SRV.name, "SRV")] = after([srv(*shuffled)])
    assert compose(SRV, one).backends == compose(SRV, other).backends
    assert set(compose(SRV, one).questions) == set(compose(SRV, other).questions)
