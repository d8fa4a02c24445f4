"""Following Consul costs little, hides nothing, and never storms: in virtual time."""

import asyncio
import random
from collections.abc import Callable, Sequence

import attrs

from discovery.bridge.inbound.options import ImportOptions
from discovery.bridge.inbound.sources import Sources
from discovery.consul.objects import HealthEntry
from discovery.consul.reads import ONCE, Answer, Read
from discovery.errors import ConsulError
from discovery.events import Event
from tests.virtual import run

from .scene import OPTIONS, entry


@attrs.define
class Catalog:
    """Answers as it is told to, and blocks as Consul does. `at` is when each query came, and what it asked."""

    names: dict[str, tuple[str, ...]] = attrs.field(factory=lambda: {"consul": (), "db": ()})
    index: int = 7
    blocks: bool = True
    error: ConsulError | None = None
    filtered: bool = False
    known_leader: bool = True
    at: list[tuple[float, str, Read]] = attrs.field(factory=list)
    news: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def services(self, read: Read = ONCE) -> Answer[dict[str, tuple[str, ...]]]:
        await self._asked("", read)
        return Answer(dict(self.names), self.index, known_leader=self.known_leader, filtered=self.filtered)

    async def health(
        self, service: str, read: Read = ONCE, *, tags: Sequence[str] = ()
    ) -> Answer[tuple[HealthEntry, ...]]:
        await self._asked(service, read)
        found = (entry(name=service),) if service in self.names else ()
        return Answer(found, self.index, known_leader=self.known_leader, filtered=self.filtered)

    def changes(self, *names: str) -> None:
        self.names = dict.fromkeys(names, ())
        self.index += 1
        self.news.set()

    async def _asked(self, what: str, read: Read) -> None:
        self.at.append((asyncio.get_running_loop().time(), what, read))
        if self.error is not None:
            raise self.error
        if read.index and self.blocks and read.index >= self.index:
            try:
                async with asyncio.timeout(read.wait):
                    await self.news.wait()
                    self.news.clear()
            except TimeoutError:
                pass

    def asked(self, what: str) -> list[float]:
        return [when for when, asked, _ in self.at if asked == what]


def followed(
    catalog: Catalog, seconds: float, then: Callable[[Sources], None] = lambda _: None, options: ImportOptions = OPTIONS
) -> tuple[Sources, list[Event], int]:
    """Follow it for so long; what came of it, and how often something was new."""
    events: list[Event] = []
    news: list[None] = []

    async def go() -> Sources:
        made = Sources(catalog, options, emit=events.append, rng=random.Random(1), changed=lambda: news.append(None))
        running = asyncio.create_task(made.run())
        await asyncio.sleep(seconds)
        then(made)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return made

    return run(go()), events, len(news)


def test_in_a_steady_state_each_query_is_asked_every_five_minutes_and_nothing_is_new() -> None:
    catalog = Catalog()
    _, events, news = followed(catalog, 3600.0)
    assert len(catalog.asked("")) <= 3600 / 300 + 3
    assert len(catalog.asked("db")) <= 3600 / 300 + 2
    assert events == []
    assert news <= 4


def test_the_first_list_is_asked_for_a_second_time_as_soon_as_that_confirms_it() -> None:
    catalog = Catalog()
    found: list[bool] = []
    followed(catalog, 11.0, lambda sources: found.append(sources.gone("old")))
    assert found == [True]
    first, second, *_ = (read for _, what, read in catalog.at if what == "")
    assert (first.index, second.index) == (0, 7)
    assert OPTIONS.confirm_after <= second.wait < OPTIONS.confirm_after + 1


def test_a_consul_that_never_blocks_is_asked_once_a_second() -> None:
    catalog = Catalog(blocks=False)
    followed(catalog, 100.0)
    assert 90 <= len(catalog.asked("db")) <= 103
    assert 90 <= len(catalog.asked("")) <= 103


def test_a_refusal_is_repeated_at_most_every_half_minute_and_said_once() -> None:
    catalog = Catalog(error=ConsulError("no", status=403, reason="denied"))
    _, events, _ = followed(catalog, 600.0)
    assert len(catalog.asked("")) <= 600 / 30 + 1
    assert [event.name for event in events].count("import.failed") == 1
    assert {event.data["reason"] for event in events} == {"denied"}


def test_after_a_failure_it_is_asked_without_an_index_because_whoever_answers_may_not_have_come_so_far() -> None:
    catalog = Catalog()

    async def go() -> None:
        sources = Sources(catalog, OPTIONS, emit=lambda _: None, rng=random.Random(1), changed=lambda: None)
        running = asyncio.create_task(sources.run())
        await asyncio.sleep(20)
        catalog.error = ConsulError("gone", reason="unreachable")
        catalog.index += 1
        catalog.news.set()
        await asyncio.sleep(400)
        catalog.error = None
        catalog.index, catalog.names = 3, {"consul": (), "web": ()}  # an older state of it
        await asyncio.sleep(60)
        last = [read for _, what, read in catalog.at if what == ""]
        assert 0 in [read.index for read in last[-5:]]
        assert list(sources.seen) == ["web"]
        assert sources.gone("db")  # by now it has been said twice
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(go())


def test_a_name_that_comes_is_followed_and_one_that_goes_is_not() -> None:
    catalog = Catalog()

    async def go() -> None:
        sources = Sources(catalog, OPTIONS, emit=lambda _: None, rng=random.Random(1), changed=lambda: None)
        running = asyncio.create_task(sources.run())
        await asyncio.sleep(20)
        catalog.blocks = False
        catalog.changes("consul", "web")
        await asyncio.sleep(1000)
        assert list(sources.seen) == ["web"]
        assert sources.synced
        assert sources.gone("db")
        assert max(catalog.asked("db")) < max(catalog.asked("web")) - 300
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(go())


def test_what_an_incomplete_list_lacks_stays_known() -> None:
    for hidden in (Catalog(filtered=True, blocks=False), Catalog(known_leader=False, blocks=False)):

        async def go(catalog: Catalog = hidden) -> None:
            sources = Sources(catalog, OPTIONS, emit=lambda _: None, rng=random.Random(1), changed=lambda: None)
            running = asyncio.create_task(sources.run())
            await asyncio.sleep(20)
            catalog.changes("consul", "web")
            await asyncio.sleep(100)
            assert list(sources.seen) == ["db", "web"]
            assert not sources.gone("db")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        run(go())


def test_one_service_that_cannot_be_read_holds_up_no_other() -> None:
    catalog = Catalog()
    plain = catalog.health

    class Partly(Catalog):
        async def health(
            self, service: str, read: Read = ONCE, *, tags: Sequence[str] = ()
        ) -> Answer[tuple[HealthEntry, ...]]:
            if service == "db":
                raise ConsulError("no", status=403, reason="denied")
            return await plain(service, read)

    partly = Partly({"db": (), "web": ()})
    catalog.names = partly.names
    sources, _, _ = followed(partly, 5.0)
    assert sources.seen["db"] is None
    assert sources.seen["web"] is not None
    assert sources.synced


def test_it_ends_without_a_task_left() -> None:
    async def go() -> None:
        catalog = Catalog({f"db-{n}": () for n in range(20)})
        sources = Sources(catalog, OPTIONS, emit=lambda _: None, rng=random.Random(1), changed=lambda: None)
        running = asyncio.create_task(sources.run())
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(go())
