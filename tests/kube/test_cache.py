"""What an informer holds: whole groups, for those who read them, however lists and watches fall together."""

from hypothesis import given
from hypothesis import strategies as st

from discovery.kube.cache import Cache
from discovery.kube.objects import Object, decode_slice
from discovery.kube.store import Changes, Group, Store

WEB, DB = ("default", "web"), ("default", "db")


def made(name: str, version: int, group: str = "web") -> Object:
    return Object("default", name, "uid", str(version), group, b"", decode_slice)


def listed(*objects: Object) -> Store:
    store = Store()
    for one in objects:
        store.put(one)
    return store


class Mirror:
    """A reader that keeps what it is told, and notes each version of each object."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.versions: dict[str, list[int]] = {}
        self.syncs = 0

    def changed(self, changes: Changes) -> None:
        for name, held in changes.items():
            if held is None:
                self.held.pop(name, None)
            else:
                self.held[name] = int(held.version)
                self.versions.setdefault(name, []).append(int(held.version))

    def synced(self) -> None:
        self.syncs += 1

    def failed(self, error: Exception, since: float) -> None:
        raise AssertionError


def cache_of(*, everything: bool = False) -> Cache:
    return Cache("slices", lambda _: None, everything=everything)


def replace(cache: Cache, newer: Store, groups: frozenset[Group]) -> None:
    for _ in cache.replace(newer, groups):
        pass


def told(cache: Cache, kind: str, held: Object) -> None:
    cache.apply(kind, held)
    cache.readers.flush()


def test_a_group_is_missing_until_a_list_has_brought_it() -> None:
    cache, web, db = cache_of(), Mirror(), Mirror()
    cache.add(WEB, web)
    assert (cache.holds(WEB), cache.missing) == (False, frozenset())
    replace(cache, listed(made("a", 1)), frozenset({WEB}))
    cache.add(DB, db)
    assert (web.held, cache.missing, db.syncs) == ({"a": 1}, frozenset({DB}), 0)
    cache.fill(listed(made("b", 2, "db")), frozenset({DB}), "3")
    cache.part("1")
    assert (db.held, db.syncs, cache.missing) == ({"b": 2}, 1, frozenset())


def test_who_comes_later_is_told_what_is_held_at_once() -> None:
    cache, late = cache_of(), Mirror()
    cache.add(WEB, Mirror())
    replace(cache, listed(made("a", 1)), frozenset({WEB}))
    cache.add(WEB, late)
    assert (late.held, late.syncs) == ({"a": 1}, 1)


def test_what_comes_for_a_group_that_nobody_reads_any_more_is_passed_over() -> None:
    cache, web = cache_of(), Mirror()
    cache.add(WEB, web)
    replace(cache, listed(made("a", 1)), frozenset({WEB}))
    cache.remove(WEB, web)
    told(cache, "MODIFIED", made("a", 2))
    assert (len(cache), web.held) == (0, {"a": 1})


def test_a_list_for_a_group_whose_last_reader_has_left_meanwhile_is_not_kept() -> None:
    cache, db = cache_of(), Mirror()
    cache.add(WEB, Mirror())
    replace(cache, listed(), frozenset({WEB}))
    cache.add(DB, db)
    cache.remove(DB, db)
    cache.fill(listed(made("b", 2, "db")), frozenset({DB}), "3")
    cache.part("1")
    assert (len(cache), cache.holds(DB)) == (0, False)


def test_everything_means_groups_that_nobody_reads_too() -> None:
    cache, web = cache_of(everything=True), Mirror()
    replace(cache, listed(made("a", 1)), frozenset())
    told(cache, "ADDED", made("b", 2))
    cache.add(WEB, web)
    assert (web.held, cache.missing) == ({"a": 1, "b": 2}, frozenset())
    cache.remove(WEB, web)
    assert len(cache) == 2


Happening = tuple[str, str | None]
"""An object's name, and the group that it is in from then on; None where it is deleted."""

HISTORY = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["web", "db", None])), max_size=14)


def state(history: list[Happening], version: int) -> dict[str, tuple[str, int]]:
    """By name, the group and version of each object as of a version; the first happening is version 1."""
    found: dict[str, tuple[str, int]] = {}
    for at, (name, group) in enumerate(history[:version], 1):
        found.pop(name, None)
        if group is not None:
            found[name] = group, at
    return found


def snapshot(history: list[Happening], version: int, groups: set[str]) -> Store:
    return listed(*(made(n, at, group) for n, (group, at) in state(history, version).items() if group in groups))


def watch(history: list[Happening], since: int, until: int, groups: set[str]) -> list[tuple[str, Object]]:
    """What a server tells a watch that selects these groups: leaving them is DELETED, in the group that was left."""
    events = []
    for at in range(since + 1, until + 1):
        name, group = history[at - 1]
        before = state(history, at - 1).get(name, (None, 0))[0]
        if group in groups and group is not None:
            events.append(("MODIFIED" if before in groups else "ADDED", made(name, at, group)))
        elif before in groups and before is not None:
            events.append(("DELETED", made(name, at, before)))
    return events


@given(HISTORY, st.tuples(*[st.integers(0, 14)] * 3))
def test_a_group_that_is_added_ends_as_it_is_and_nobody_goes_back_in_time(
    history: list[Happening], places: tuple[int, int, int]
) -> None:
    """The watch stands at `base` when a group is added, and at `old` when its list has come, which is of `new`."""
    base, *later = sorted(min(place, len(history)) for place in places)
    for old, new in (later, reversed(later)):
        cache, web, db = cache_of(), Mirror(), Mirror()
        cache.add(WEB, web)
        replace(cache, snapshot(history, 0, {"web"}), frozenset({WEB}))
        for event in watch(history, 0, base, {"web"}):
            told(cache, *event)
        cache.add(DB, db)
        between = (base + old) // 2
        for event in watch(history, base, between, {"web"}):
            told(cache, *event)
        cache.fill(snapshot(history, new, {"db"}), frozenset({DB}), str(new))
        for event in watch(history, between, old, {"web"}):
            told(cache, *event)
        cache.part(str(old))
        for event in watch(history, base, len(history), {"web", "db"}):
            told(cache, *event)
        truth = state(history, len(history))
        for mirror, group in ((web, "web"), (db, "db")):
            assert mirror.held == {name: at for name, (where, at) in truth.items() if where == group}
            assert all(sorted(set(seen)) == seen for seen in mirror.versions.values())


def test_an_end_that_is_told_at_the_version_of_the_last_change_is_an_end() -> None:
    """As some servers that are no kube-apiserver do."""
    cache, web = cache_of(), Mirror()
    cache.add(WEB, web)
    replace(cache, listed(made("a", 5)), frozenset({WEB}))
    told(cache, "DELETED", made("a", 5))
    assert web.held == {}


def test_versions_that_are_no_numbers_are_all_taken() -> None:
    cache, web = cache_of(), Mirror()
    cache.add(WEB, web)
    replace(cache, listed(), frozenset({WEB}))
    cache.add(DB, Mirror())
    cache.fill(listed(), frozenset({DB}), "x5")
    cache.part("x9")
    cache.apply("ADDED", Object("default", "a", "uid", "x7", "web", b"", decode_slice))
    assert len(cache) == 1


def test_a_group_is_a_namespace_and_a_name() -> None:
    cache, here, there = cache_of(), Mirror(), Mirror()
    elsewhere: Group = ("other", "web")
    cache.add(WEB, here)
    cache.add(elsewhere, there)
    replace(cache, listed(made("a", 1)), frozenset({WEB, elsewhere}))
    assert (here.held, there.held) == ({"a": 1}, {})
