"""Who reads which group of an informer, and how they are told.

What a watch brings is held back while more of it is waiting to be read, for a moment at most: then of each object only
the newest is told. Whatever else is told comes after it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from ..events import Event, Hook
from .objects import Object
from .store import Changes, Group, Name

BURST = 0.025
"""Seconds for which changes are held back at most."""


class Reader(Protocol):
    """Hears of one group. Called from the informer's task: it must only take note."""

    def changed(self, changes: Changes) -> None:
        """By name, what came or changed, or None for what went."""

    def synced(self) -> None:
        """All there is has been told, and the watch speaks."""

    def failed(self, error: Exception, since: float) -> None:
        """The watch is broken, and last spoke at `since` (the loop's time)."""


class Follower(Protocol):
    """Hears of every object there is. Called from the informer's task: it must only take note."""

    def changed(self, changes: Mapping[Name, Object | None], *, listed: bool) -> None:
        """By namespace and name, what came or changed, or None for what went.

        `listed`: a list differs from what was held, and what went is only missing there. Else an event has told it.
        """

    def synced(self) -> None:
        """As `Reader.synced`."""

    def failed(self, error: Exception, since: float) -> None:
        """As `Reader.failed`."""


L = TypeVar("L", Reader, Follower)


class Readers:
    """The readers of one informer, by group, and those who follow all of it.

    `name` is the informer's, for what is said of a reader that fails.
    """

    def __init__(self, name: str, emit: Hook) -> None:
        self._name = name
        self._emit = emit
        self._readers: dict[Group, list[Reader]] = {}
        self._held: dict[Group, dict[str, Object | None]] = {}
        self._followers: list[Follower] = []
        self._noted: dict[Name, Object | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def groups(self) -> frozenset[Group]:
        """Those that somebody reads."""
        return frozenset(self._readers)

    def add(self, group: Group, reader: Reader) -> None:
        """One more reader of a group."""
        self._readers.setdefault(group, []).append(reader)

    def remove(self, group: Group, reader: Reader) -> bool:
        """One less, if it is there; returns whether it was the last of its group."""
        readers = self._readers.get(group, [])
        if reader not in readers:
            return False
        readers.remove(reader)
        if not readers:
            del self._readers[group]
            self._held.pop(group, None)
        return not readers

    def follow(self, follower: Follower) -> None:
        """One more who follows all of it."""
        self._followers.append(follower)

    def leave(self, follower: Follower) -> None:
        """One less, if it is there."""
        if follower in self._followers:
            self._followers.remove(follower)

    @property
    def followed(self) -> bool:
        """Whether somebody follows all of it."""
        return bool(self._followers)

    def note(self, group: Group, name: str, held: Object | None) -> None:
        """An object of a group came, changed or (None) went. To be followed by `flush` or `flush_soon`."""
        if group in self._readers:
            self._held.setdefault(group, {})[name] = held
        if self._followers:
            self._noted[group[0], name] = held

    def flush_soon(self) -> None:
        """More is coming: tell what was noted a moment later."""
        if (self._held or self._noted) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BURST, self.flush)

    def flush(self) -> None:
        """Tell what was noted."""
        self._stop()
        held, self._held = self._held, {}
        for group, changes in held.items():
            self._tell(self._readers.get(group, ()), lambda one, changes=changes: one.changed(changes))  # type: ignore[misc]
        noted, self._noted = self._noted, {}
        if noted:
            self._tell(self._followers, lambda one: one.changed(noted, listed=False))

    def tell_followers(self, call: Callable[[Follower], None]) -> None:
        """Tell those who follow all of it something else, after what was noted."""
        self.flush()
        self._tell(self._followers, call)

    def tell(self, groups: Iterable[Group], call: Callable[[Reader], None]) -> None:
        """Tell the readers of these groups something else, after what was noted."""
        self.flush()
        for group in groups:
            self._tell(self._readers.get(group, ()), call)

    def close(self) -> None:
        """Tell nothing more."""
        self._stop()
        self._held.clear()
        self._noted.clear()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, readers: Iterable[L], call: Callable[[L], None]) -> None:
        for reader in tuple(readers):
            try:
                call(reader)
            except Exception as error:  # noqa: BLE001 - one reader's fault is not the others'
                self._emit(Event("reader.failed", self._name, {"error": repr(error)}))
