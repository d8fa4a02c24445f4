"""How the readers of an informer are told: in order, of the newest only when much comes at once, each for itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from discovery import Event
from discovery.kube.cache import Cache
from discovery.kube.objects import Object, decode_slice
from discovery.kube.readers import BURST, Readers
from discovery.kube.store import Changes, Name, Store

from ..virtual import run

WEB, DB = ("default", "web"), ("default", "db")


def made(name: str, version: int) -> Object:
    return Object("default", name, "uid", str(version), "web", b"", decode_slice)


class Noting:
    """A reader that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def changed(self, changes: Changes) -> None:
        self.told.append({name: held and int(held.version) for name, held in changes.items()})

    def synced(self) -> None:
        self.told.append("synced")

    def failed(self, error: Exception, since: float) -> None:
        self.told.append((str(error), since))


class Failing(Noting):
    def changed(self, changes: Changes) -> None:
        raise RuntimeError("a fault of its own")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def readers(events: list[Event]) -> Readers:
    return Readers("slices", events.append)


def test_of_each_object_the_newest_is_told_once(readers: Readers) -> None:
    web = Noting()
    readers.add(WEB, web)
    for version in range(5):
        readers.note(WEB, "a", made("a", version))
    readers.note(WEB, "b", made("b", 7))
    readers.note(WEB, "b", None)
    readers.flush()
    readers.flush()
    assert web.told == [{"a": 4, "b": None}]


def test_a_group_hears_of_its_own_objects_and_no_others(readers: Readers) -> None:
    web, db = Noting(), Noting()
    readers.add(WEB, web)
    readers.add(DB, db)
    readers.note(WEB, "a", made("a", 1))
    readers.flush()
    assert (web.told, db.told) == ([{"a": 1}], [])


def test_whatever_else_is_told_comes_after_what_was_noted(readers: Readers) -> None:
    web = Noting()
    readers.add(WEB, web)
    readers.note(WEB, "a", made("a", 1))
    readers.tell([WEB], lambda one: one.synced())
    readers.note(WEB, "a", None)
    readers.tell([WEB], lambda one: one.failed(OSError("gone"), 3.0))
    assert web.told == [{"a": 1}, "synced", {"a": None}, ("gone", 3.0)]


def test_while_more_is_coming_the_newest_is_told_a_moment_after_the_first() -> None:
    async def storm() -> list[tuple[float, Any]]:
        loop, web = asyncio.get_running_loop(), Noting()
        readers = Readers("slices", lambda _: None)
        readers.add(WEB, web)
        start, seen = loop.time(), []
        for version in range(30):
            readers.note(WEB, "a", made("a", version))
            readers.flush_soon()
            await asyncio.sleep(BURST / 8)
            seen += [(loop.time() - start, change["a"]) for change in web.told]
            web.told.clear()
        return seen

    seen = run(storm())
    assert [version for _, version in seen] == [7, 15, 23]
    assert [at for at, _ in seen] == pytest.approx([BURST, 2 * BURST, 3 * BURST], abs=BURST / 8)


def test_a_reader_that_fails_is_told_of_and_harms_no_other(readers: Readers, events: list[Event]) -> None:
    well = Noting()
    readers.add(WEB, Failing())
    readers.add(WEB, well)
    readers.note(WEB, "a", made("a", 1))
    readers.flush()
    assert well.told == [{"a": 1}]
    assert [(event.name, event.subject) for event in events] == [("reader.failed", "slices")]


def test_who_has_left_hears_nothing_more_and_the_last_ends_its_group(readers: Readers) -> None:
    one, other = Noting(), Noting()
    readers.add(WEB, one)
    readers.add(WEB, other)
    readers.note(WEB, "a", made("a", 1))
    assert readers.remove(WEB, one) is False
    assert readers.remove(WEB, one) is False
    assert readers.remove(WEB, other) is True
    readers.flush()
    assert (one.told, other.told, readers.groups) == ([], [], frozenset())


def test_what_nobody_reads_is_not_kept(readers: Readers) -> None:
    readers.note(WEB, "a", made("a", 1))
    late = Noting()
    readers.add(WEB, late)
    readers.flush()
    assert late.told == []


async def test_once_closed_nothing_is_told_and_no_timer_is_left(readers: Readers) -> None:
    web = Noting()
    readers.add(WEB, web)
    readers.note(WEB, "a", made("a", 1))
    readers.flush_soon()
    timer = readers._timer
    readers.close()
    readers.flush()
    assert web.told == []
    assert timer is not None
    assert timer.cancelled()


class Following:
    """Follows everything, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def changed(self, changes: Mapping[Name, Object | None], *, listed: bool) -> None:
        self.told.append(({name: held and int(held.version) for name, held in changes.items()}, listed))

    def synced(self) -> None:
        self.told.append("synced")

    def failed(self, error: Exception, since: float) -> None:
        self.told.append((str(error), since))


def test_a_follower_hears_of_every_group_though_nobody_reads_it_and_of_each_object_the_newest() -> None:
    readers, following = Readers("slices", lambda event: None), Following()
    readers.follow(following)
    readers.note(WEB, "a", made("a", 1))
    readers.note(WEB, "a", made("a", 2))
    readers.note(("shop", "db"), "a", None)
    readers.flush()
    assert following.told == [({("default", "a"): 2, ("shop", "a"): None}, False)]
    readers.leave(following)
    readers.note(WEB, "a", made("a", 3))
    readers.flush()
    assert len(following.told) == 1


def test_a_follower_is_told_what_was_noted_before_anything_else() -> None:
    readers, following = Readers("slices", lambda event: None), Following()
    readers.follow(following)
    readers.note(WEB, "a", made("a", 1))
    readers.tell_followers(lambda one: one.synced())
    assert following.told == [({("default", "a"): 1}, False), "synced"]


def test_what_a_list_lacks_is_told_apart_from_what_an_event_ended() -> None:
    cache, following = Cache("slices", lambda event: None, everything=True), Following()
    first = Store()
    for name in ("a", "b", "c"):
        first.put(made(name, 1))
    cache.follow(following)
    list(cache.replace(first, frozenset()))
    cache.apply("DELETED", made("a", 2))
    cache.readers.flush()
    second = Store()
    second.put(made("c", 3))
    list(cache.replace(second, frozenset()))
    everything = {("default", name): 1 for name in ("a", "b", "c")}
    assert following.told == [
        (everything, True),
        ({("default", "a"): None}, False),
        ({("default", "b"): None, ("default", "c"): 3}, True),
    ]
    later = Following()
    cache.follow(later)
    assert later.told == [({("default", "c"): 3}, True), "synced"]
