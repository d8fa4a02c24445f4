"""Drives a reflector: does the lists and watches that it asks for, and shares what they bring among many readers.

One informer is one watch. Readers ask for groups (a service's slices); the watch selects what they ask for and no
more. When a group is added while the watch is open, its objects are listed while the old watch goes on, and a wider
watch is opened from where the old one stood: what the list and the old watch have brought since is known by version and
not taken twice. Nobody misses an event, and nobody goes back in time.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from functools import partial

import aiohttp
import attrs

from ..errors import AccessDenied, ApiUnavailable, DiscoveryError
from ..events import Event, Hook
from ..network import NETWORK_ERRORS
from ..turns import Turns
from . import reflector
from .access import Access
from .cache import Cache
from .failures import failure_of, status_error, unreachable, unreadable
from .kinds import Kind
from .lines import Lines
from .listing import Listing
from .objects import DECODE_ERRORS, Object, decode_error, decode_event
from .readers import Follower, Reader
from .reflector import LATEST, Ended, Failed, Listed, Outcome, State, Watch
from .store import Group, Name

IDLE = 90.0
"""Seconds without a byte after which a watch is taken for dead: one and a half times the usual minute of bookmarks."""

MORE = 2**16
"""Bytes that came in one piece, from which on it is likely that more are waiting."""


@attrs.define
class _Stream:
    """A watch: the newest version it has told, whether it told anything, and when it was opened (None: not yet)."""

    version: str
    opened: float | None = None
    heard: bool = False

    def lasted(self, now: float) -> float:
        """Seconds it has been open."""
        return 0.0 if self.opened is None else now - self.opened


class Informer:
    """One list and watch of a kind, in a namespace or (None) in all.

    Args:
        access: the way to the server.
        kind: what is watched.
        namespace: None for all.
        everything: hold every group there is, not only those that are read.
        emit: takes events.
        rng: spreads pauses and the lengths of watches.
        reconcile: seconds after which a list is read anyway, None for never.
        denied: asked what to do where we may not read this; True if its readers have been taken elsewhere.
    """

    def __init__(
        self,
        access: Access,
        kind: Kind,
        namespace: str | None,
        *,
        everything: bool,
        emit: Hook,
        rng: random.Random,
        reconcile: float | None = None,
        denied: Callable[[AccessDenied], bool] | None = None,
    ) -> None:
        self._access = access
        self._listing = Listing(access, kind, namespace, emit)
        self._kind = kind
        self._namespace = namespace
        self._everything = everything
        self._emit = emit
        self._rng = rng
        self._reconcile = reconcile
        self._denied = denied
        self._cache = Cache(self._name(), emit, everything=everything)
        self._error: tuple[Exception, float] | None = None
        self._failing = False  # and it has been said
        self._widened = asyncio.Event()
        self._settled = asyncio.Event()
        self._heard_at = 0.0
        self._listed_at = 0.0

    def __repr__(self) -> str:
        where = self._namespace or "all namespaces"
        return f"<Informer {self._kind.full_name} in {where}: {len(self._cache)} held, {len(self._cache.readers)} read>"

    # Readers

    def add(self, group: Group, reader: Reader) -> Callable[[], None]:
        """Tell this reader of a group from now on, what is held first; returns what ends it."""
        self._cache.add(group, reader)
        if not self._cache.holds(group):
            self._widened.set()
        if self._error is not None:
            reader.failed(*self._error)
        return partial(self._cache.remove, group, reader)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Tell this one of every object from now on, what is held first; returns what ends it."""
        self._cache.follow(follower)
        if self._error is not None:
            follower.failed(*self._error)
        return partial(self._cache.readers.leave, follower)

    async def listed_anew(self) -> Mapping[Name, Object]:
        """All objects there are, by a list of its own, of the latest version: what is held is not changed.

        Raises:
            DiscoveryError: it failed.
        """
        try:
            found, _ = await self._listing.read(None, LATEST)
        except NETWORK_ERRORS as error:
            raise self._typed(error) from error
        return found.everything

    def names(self, group: Group) -> frozenset[str]:
        """Of the objects of a group that are held."""
        return self._cache.names(group)

    @property
    def synced(self) -> bool:
        """Whether a list has been whole."""
        return self._cache.synced

    async def settled(self) -> None:
        """Wait for the first list; raises the error of the first try where that failed."""
        await self._settled.wait()
        if not self._cache.synced:
            raise self._error[0] if self._error is not None else ApiUnavailable(f"{self._name()} was closed")

    # The loop

    async def run(self) -> None:
        """List and watch until cancelled; nothing else ends it."""
        state = State()
        effect = reflector.start(state, self._rng)
        try:
            while True:
                if effect.delay:
                    await asyncio.sleep(effect.delay)
                state, effect = reflector.step(state, await self._do(effect), self._rng)
        finally:
            self._settled.set()
            self._cache.readers.close()

    async def _do(self, effect: reflector.Effect) -> Outcome:
        loop = asyncio.get_running_loop()
        stream = _Stream(effect.version)
        try:
            if isinstance(effect, Watch):
                return await self._watch(effect, stream)
            version = await self._list(effect.version)
            self._heard_at = self._listed_at = loop.time()
            return Listed(version)
        except Exception as error:  # noqa: BLE001 - nothing may end the loop: whatever it is, it is told and tried again
            return self._failed(error, stream)

    def _failed(self, error: Exception, stream: _Stream) -> Outcome:
        now = asyncio.get_running_loop().time()
        lasted = stream.lasted(now)
        silent = isinstance(error, TimeoutError) and lasted >= IDLE - 1.0  # aiohttp began to count a moment before
        if not isinstance(error, DiscoveryError):
            error = self._typed(error)
        if silent:  # not yet worth a word: some servers send no bookmarks
            self._tell_failed(error, now)
            return self._ended(stream)
        failure = failure_of(error)
        if failure == "expired":
            self._emit(Event("watch.expired", self._name(), {"error": str(error)}))
        else:
            name = "watch.retry" if self._failing else "watch.failed"
            self._failing = True
            self._emit(Event(name, self._name(), {"error": str(error), "kind": type(error).__name__}))
            self._settled.set()
            if not self._taken_elsewhere(error):
                self._tell_failed(error, now)
        retry_after = error.retry_after if isinstance(error, ApiUnavailable) else None
        return Failed(failure, stream.version, lasted, retry_after)

    def _taken_elsewhere(self, error: DiscoveryError) -> bool:
        return isinstance(error, AccessDenied) and self._denied is not None and self._denied(error)

    def _tell_failed(self, error: DiscoveryError, now: float) -> None:
        self._error = error, self._heard_at or now
        since, readers = self._error[1], self._cache.readers
        readers.tell(readers.groups, lambda one: one.failed(error, since))
        readers.tell_followers(lambda one: one.failed(error, since))

    def _typed(self, error: Exception) -> DiscoveryError:
        if isinstance(error, NETWORK_ERRORS):
            return unreachable("the API server", error)
        return unreadable(self._name(), error)

    def _speaks(self) -> None:
        """The watch is open, or a list is whole: what was wrong is over."""
        self._heard_at = asyncio.get_running_loop().time()
        self._error = None
        if self._failing:
            self._failing = False
            self._emit(Event("watch.recovered", self._name()))
        readers = self._cache.readers
        readers.tell(filter(self._cache.holds, readers.groups), lambda one: one.synced())
        if self._cache.synced:
            readers.tell_followers(lambda one: one.synced())

    # Lists

    async def _list(self, version: str) -> str:
        """Read everything that is asked for and put it in the place of what is held."""
        wanted = self._cache.readers.groups
        newer, found = await self._listing.read(self._selected(wanted), version)
        for _ in self._cache.replace(newer, wanted):
            await asyncio.sleep(0)
        self._settled.set()
        self._speaks()
        return found

    # Watches

    async def _watch(self, effect: Watch, stream: _Stream) -> Outcome:
        """Watch to the end of the stream, and widen it as often as a group is added."""
        while True:
            while self._cache.missing and not self._cache.listed:  # there is nothing to watch yet
                await self._fill(stream.version)
                self._cache.part(stream.version)
            following = asyncio.create_task(self._follow(effect.seconds, stream))
            try:
                if not await self._until_widened(following):
                    following.result()  # raises what ended it
                    return self._ended(stream)
                await asyncio.sleep(0)  # those who are added together are asked for together
                base = await self._widen(stream, following)
                if base is None:
                    following.result()
                    return self._ended(stream)
                self._cache.part(stream.version)
                stream.version = base
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _widen(self, stream: _Stream, following: "asyncio.Task[None]") -> str | None:
        """List what is missing beside the watch, as often as it takes; None where the watch ends before."""
        failures = 0
        while True:
            base = stream.version
            filling = asyncio.create_task(self._fill(base))
            try:
                await asyncio.wait({following, filling}, return_when=asyncio.FIRST_COMPLETED)
                if not filling.done():
                    return None
                error = filling.exception()
            finally:
                filling.cancel()
                await asyncio.gather(filling, return_exceptions=True)
            if error is None:
                return base
            if not isinstance(error, Exception):
                raise error
            problem = error if isinstance(error, DiscoveryError) else self._typed(error)
            if failure_of(problem) == "expired":
                raise problem
            failures += 1
            await self._wait_for(following, problem, failures)
            if following.done():
                return None

    async def _wait_for(self, following: "asyncio.Task[None]", problem: DiscoveryError, failures: int) -> None:
        """Tell those whose list failed, and pause, but no longer than the watch lasts."""
        now = asyncio.get_running_loop().time()
        if not self._taken_elsewhere(problem):
            self._cache.readers.tell(self._cache.missing, lambda one: one.failed(problem, now))
        asked = problem.retry_after if isinstance(problem, ApiUnavailable) else None
        await asyncio.wait({following}, timeout=reflector.REFUSED.pause(failures, asked, self._rng))

    async def _until_widened(self, following: "asyncio.Task[None]") -> bool:
        """Wait until the stream is over (False) or a group is missing (True)."""
        while not self._cache.missing:
            self._widened.clear()
            widened = asyncio.create_task(self._widened.wait())
            try:
                await asyncio.wait({following, widened}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                widened.cancel()
            if following.done():
                return False
        return True

    def _ended(self, stream: _Stream) -> Outcome:
        now = asyncio.get_running_loop().time()
        due = self._reconcile is not None and now - self._listed_at >= self._reconcile
        return Ended(stream.version, stream.lasted(now), heard=stream.heard, due=due)

    async def _fill(self, version: str) -> None:
        """Take in the objects of groups that the list did not have, as they are at `version` or later."""
        groups = self._cache.missing
        if groups:
            more, found = await self._listing.read(self._selected(groups), version)
            self._cache.fill(more, groups, found)

    async def _follow(self, seconds: int, stream: _Stream) -> None:
        """Take in what one stream brings, until it ends."""
        if self._reconcile is not None:
            left = self._listed_at + self._reconcile - asyncio.get_running_loop().time()
            seconds = max(2, min(seconds, math.ceil(left)))
        query = {
            **self._kind.select(self._selected(self._cache.listed)),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": stream.version,
            "timeoutSeconds": str(seconds),
        }
        opening = self._access.open(
            self._kind.path(self._namespace),
            query,
            verb="watch",
            resource=self._kind.full_name,
            namespace=self._namespace,
            timeout=IDLE,
        )
        async with opening as response:
            if stream.opened is None:
                stream.opened = asyncio.get_running_loop().time()
            self._speaks()
            try:
                await self._read(response.content, stream)
            finally:
                self._cache.readers.flush()

    async def _read(self, content: aiohttp.StreamReader, stream: _Stream) -> None:
        lines, turns, loop = Lines(), Turns(), asyncio.get_running_loop()
        async for chunk in content.iter_any():
            turns.start()
            self._heard_at = loop.time()
            for line in lines.feed(chunk):
                self._take(line, stream)
                if turns.due():
                    await turns.give()
            if len(chunk) < MORE:
                self._cache.readers.flush()
            else:
                self._cache.readers.flush_soon()
        for line in lines.finish():
            self._take(line, stream)

    def _take(self, line: bytes, stream: _Stream) -> None:
        """One line of a watch."""
        try:
            event = decode_event(line)
        except DECODE_ERRORS as error:
            self._skip("undecodable", repr(error)[:200])
            return
        if event.type == "ERROR":
            self._refuse(line)
        meta = event.object.metadata
        if event.type != "BOOKMARK" and not (event.object.kind == self._kind.name and meta.name):
            self._skip("wrong kind", event.object.kind[:80])
            return
        if event.type in ("ADDED", "MODIFIED", "DELETED"):
            self._cache.apply(event.type, self._kind.from_line(meta, line))
        elif event.type != "BOOKMARK":
            self._skip("unknown type", event.type[:80])
            return
        stream.heard = True
        if meta.resourceVersion:
            stream.version = meta.resourceVersion

    def _refuse(self, line: bytes) -> None:
        """An error within a stream that began well."""
        status = decode_error(line).object
        what = f"watch {self._name()}"
        wait = status.details.retry_after_seconds if status.details else None
        raise status_error(
            status.code or 500, status, what, "watch", self._kind.full_name, self._namespace, "the API server", wait
        )

    def _skip(self, reason: str, detail: str) -> None:
        self._emit(Event("watch.skipped", self._name(), {"reason": reason, "detail": detail}))

    # Requests

    def _selected(self, groups: frozenset[Group]) -> frozenset[str] | None:
        return None if self._everything else frozenset(name for _, name in groups)

    def _name(self) -> str:
        return f"{self._kind.full_name} in {self._namespace or 'all namespaces'}"
