"""What one informer holds, and for whom: objects by group, kept for the groups that are read. No I/O.

A group is held once a list has brought it. When a watch is widened, the new one begins where the old one stood, and
tells some things again: each group is known up to a version, and what is no newer is passed over. So versions of one
collection are compared as numbers, as the API has it since 1.35 and servers had it before (KEP-5504); where one is no
number nothing is passed over, and what is told twice ends as it was.
"""

import math
from collections.abc import Iterator

from ..events import Hook
from .objects import Object
from .readers import Follower, Reader, Readers
from .store import Group, Store

AT_ONCE = 16
"""Groups whose readers are told in one turn of the loop: each of them has work to do then."""


class Cache:
    """The objects of one list and watch. `name` is the informer's; `everything`: also of groups that nobody reads.

    Attributes:
        readers: who is told.
        synced: whether a list has been whole.
        listed: the groups that are held; with `everything`, those that were read when the list was.
    """

    def __init__(self, name: str, emit: Hook, *, everything: bool) -> None:
        self.readers = Readers(name, emit)
        self.synced = False
        self.listed: frozenset[Group] = frozenset()
        self._everything = everything
        self._store = Store()
        self._known: dict[Group, int] = {}  # the first version that is not known
        self._until = 0.0  # the first that is known of no group
        self._filled: frozenset[Group] = frozenset()

    def __len__(self) -> int:
        return len(self._store)

    def holds(self, group: Group) -> bool:
        """Whether all there is of a group is here."""
        return self.synced and (self._everything or group in self.listed)

    @property
    def missing(self) -> frozenset[Group]:
        """Groups that are read and not held, once there has been a list."""
        return frozenset() if self._everything or not self.synced else self.readers.groups - self.listed

    def names(self, group: Group) -> frozenset[str]:
        """Of the objects of a group that are held."""
        return frozenset(self._store.group(group))

    def add(self, group: Group, reader: Reader) -> None:
        """Tell this reader of a group from now on, what is held first."""
        self.readers.add(group, reader)
        if self.holds(group):
            held = self._store.group(group)
            if held:
                reader.changed(dict(held))
            reader.synced()

    def remove(self, group: Group, reader: Reader) -> None:
        """Tell it no more. What comes for a group that nobody reads is passed over."""
        if self.readers.remove(group, reader) and not self._everything:
            self._store.forget(group)
            self._known.pop(group, None)
            self.listed -= {group}

    def follow(self, follower: Follower) -> None:
        """Tell this one of all that is here from now on, what is held first. For caches of everything."""
        self.readers.follow(follower)
        if self.synced:
            follower.changed(dict(self._store.everything), listed=True)
            follower.synced()

    # What the server says

    def replace(self, newer: Store, groups: frozenset[Group]) -> Iterator[None]:
        """Put a list, whole, in the place of what is held.

        Returns:
            What tells the readers that it differs, and what: some of them at each step, so that others get their turn.
        """
        old = self._store
        if not self._everything:
            for group in groups - self.readers.groups:  # given up while the list was read
                newer.forget(group)
            groups &= self.readers.groups
        self.readers.flush()
        self._store, self.listed, self.synced = newer, groups, True
        self._known.clear()
        return self._differences(old, newer)

    def _differences(self, old: Store, newer: Store) -> Iterator[None]:
        if self.readers.followed and (different := old.difference(newer)):
            self.readers.tell_followers(lambda one: one.changed(different, listed=True))
        for number, group in enumerate(self.readers.groups):
            for _, changes in old.differences(newer, (group,)):
                self.readers.tell((group,), lambda one, changes=changes: one.changed(changes))  # type: ignore[misc]
            if self.holds(group):
                self.readers.tell((group,), lambda one: one.synced())
            if number % AT_ONCE == AT_ONCE - 1:
                yield

    def fill(self, more: Store, groups: frozenset[Group], version: str) -> None:
        """Take in a list of groups that were missing, at its version. To be followed by `part`."""
        groups &= self.readers.groups
        self._known |= dict.fromkeys(groups, _number(version) + 1)
        self._until = math.inf  # the old watch goes on
        self._filled |= groups
        self.listed |= groups
        for group in groups:
            found = {name: held for name, held in more.group(group).items() if not self._is_old("LISTED", held)}
            for held in found.values():
                self._put(held)
            if found:
                self.readers.tell((group,), lambda one, found=found: one.changed(found))  # type: ignore[misc]
            self.readers.tell((group,), lambda one: one.synced())

    def part(self, told: str) -> None:
        """The watch that has come as far as `told` gives way to a wider one, from before that."""
        self._known |= dict.fromkeys(self.listed - self._filled, _number(told) + 1)
        self._until = max(self._known.values(), default=0)
        self._filled = frozenset()

    def apply(self, kind: str, held: Object) -> None:
        """Take in an event: ADDED, MODIFIED or DELETED. To be followed by a flush of `readers`."""
        if self._known and self._is_repeated(kind, held):
            return
        group = held.namespace, held.group
        if kind != "DELETED" and self.holds(group):
            self._put(held)
            self.readers.note(group, held.name, held)
        else:
            self._drop(held)

    def _is_repeated(self, kind: str, held: Object) -> bool:
        """Whether it was known before the watch was widened. What is known of its own group may be news to another."""
        number = _number(held.version)
        if number >= self._until:
            self._known.clear()  # events come in order: none from here on is known
            return False
        if self._is_old(kind, held):
            return True
        if number not in range(self._known.get((held.namespace, held.group), 0)):
            return False
        there = self._store.get(held.key)
        if there is not None and there.group != held.group:
            self._drop(held)
        return True

    def _drop(self, held: Object) -> None:
        gone = self._store.drop(held.key)
        if gone is not None:
            self.readers.note((gone.namespace, gone.group), gone.name, None)
        elif self._everything:  # a list lacked it wrongly: who follows may know of it all the same
            self.readers.note((held.namespace, held.group), held.name, None)

    def _is_old(self, kind: str, held: Object) -> bool:
        """Whether this is no news of what is held. A server may tell an end at the version of the last change."""
        there = self._store.get(held.key)
        if there is None:
            return False
        told, known = _number(held.version), _number(there.version)
        ends = kind == "DELETED" and held.group == there.group
        return 0 <= told < known or (told == known >= 0 and not ends)

    def _put(self, held: Object) -> None:
        """Keep it; the group that it was in before hears that it has left."""
        if moved := self._store.put(held):
            self.readers.note((moved.namespace, moved.group), moved.name, None)


def _number(version: str) -> int:
    """-1 where it is none."""
    return int(version) if version.isascii() and version.isdigit() else -1
