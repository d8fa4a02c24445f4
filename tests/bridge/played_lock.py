"""Consul's sessions and keys in virtual time: the simulated server's own tables, without a socket between."""

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, cast

from discovery.consul.api import ONCE, Answer, Consul, Read
from discovery.consul.objects import KvEntry
from discovery.errors import ConsulError
from discovery.testing.consul.sessions import Sessions, drop_key, lock_key, unlock_key
from discovery.testing.consul.tables import State
from discovery.testing.consul.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

UNREACHABLE = ConsulError("consul cannot be reached", reason="unreachable")
DENIED = ConsulError("consul denies it", status=403, reason="denied")


class PlayedConsul:
    """What a lock needs of a `Consul`. `error` is raised instead of whatever is asked; `silent` answers nothing.

    `asked` has what was asked for and when; `wrong`, if it is set, says which of that goes wrong.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.state = State()
        self.state.nodes.put("server", {"Node": "server"})
        self.sessions = Sessions(self.state, loop.time, 10.0)
        self.timers = Timers(self.state, self.sessions)
        self.asked: list[tuple[str, float]] = []
        self.error: ConsulError | None = None
        self.silent = False
        self.wrong: Callable[[str], bool] = lambda _: True
        self.delay = 0.0
        self.where = "consul:8500"
        self._stirred = asyncio.Event()
        self.state.listeners.add(lambda _: self.stir())

    @property
    def client(self) -> Consul:
        """As what takes a client knows it."""
        return cast("Consul", self)

    def stir(self) -> None:
        """Have every blocking query look, and see what is wrong."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    def fail(self, error: ConsulError | None) -> None:
        """Refuse everything from now on, blocking queries too."""
        self.error = error
        self.stir()

    def count(self, what: str) -> int:
        return sum(one == what for one, _ in self.asked)

    def holder(self, key: str) -> str:
        """The session that holds it, "" where none does."""
        row = self.state.keys.get(key)
        return "" if row is None else str(row.get("Session", ""))

    def value(self, key: str) -> Any:
        row = self.state.keys.rows[key]
        return json.loads(base64.b64decode(row["Value"]))

    def end(self, session: str) -> None:
        self.timers.end(session)

    def delete(self, key: str) -> None:
        with self.state.write() as at:
            drop_key(self.state, at, key)

    def take(self, key: str, value: bytes = b"", *, delay: float = 0.0) -> str:
        """Somebody else has the lock from now on, by a session that does not end by itself."""
        with self.state.write() as at:
            row = {"Behavior": "release", "TTL": "", "NodeChecks": [], "Node": "server", "LockDelay": delay * 1e9}
            session = str(self.sessions.begin(at, row)["ID"])
            for held in self.state.keys.keys_by("session", self.holder(key)):
                unlock_key(self.state, at, {"Key": held, "Value": ""}, self.holder(key))
            assert lock_key(self.state, at, {"Key": key, "Value": base64.b64encode(value).decode()}, session)
        return session

    # As the client has it

    async def key(self, key: str, read: Read = ONCE) -> Answer[KvEntry | None]:
        await self._go("read" if read.index == 0 else "block")
        over = self.clock() + read.wait
        while read.index and self._index(key) <= read.index and self.clock() < over:
            stirred = self._stirred
            try:
                async with asyncio.timeout_at(over):
                    await stirred.wait()
            except TimeoutError:
                break
            await self._checked("block")
        row = self.state.keys.get(key)
        return Answer(None if row is None else _entry(row), index=self._index(key))

    async def create_session(self, *, name: str, ttl: float, lock_delay: float = 0.0) -> str:
        await self._go("create")
        with self.state.write() as at:
            row = self.sessions.begin(
                at,
                {
                    "Name": name,
                    "TTL": f"{ttl:g}s",
                    "LockDelay": lock_delay * 1e9,
                    "Behavior": "release",
                    "NodeChecks": [],
                    "Node": "server",
                },
            )
        self.timers.start(row)
        return str(row["ID"])

    async def renew_session(self, session: str) -> bool:
        await self._go("renew")
        row = self.state.sessions.get(session)
        if row is None:
            return False
        self.timers.start(row)
        return True

    async def destroy_session(self, session: str) -> None:
        await self._go("destroy")
        self.end(session)

    async def acquire(self, key: str, value: bytes, session: str) -> bool:
        await self._go("acquire")
        if self.sessions.delayed(key):
            return False
        if self.state.sessions.get(session) is None:
            raise ConsulError("invalid session", status=500)
        with self.state.write() as at:
            row = {"Key": key, "Value": base64.b64encode(value).decode()}
            return lock_key(self.state, at, row, session) is not None

    async def release(self, key: str, session: str) -> bool:
        await self._go("release")
        with self.state.write() as at:
            return unlock_key(self.state, at, {"Key": key, "Value": ""}, session) is not None

    async def _go(self, what: str) -> None:
        self.asked.append((what, self.clock()))
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._checked(what)

    async def _checked(self, what: str) -> None:
        if self.silent and self.wrong(what):
            await asyncio.Event().wait()
        if self.error is not None and self.wrong(what):
            raise self.error

    def _index(self, key: str) -> int:
        row = self.state.keys.get(key)
        return int(row["ModifyIndex"]) if row is not None else max(1, self.state.graves.get(key) or 0)


def _entry(row: dict[str, Any]) -> KvEntry:
    return KvEntry(
        key=row["Key"],
        value=row["Value"],
        session=row.get("Session", ""),
        lock_index=row["LockIndex"],
        modify_index=row["ModifyIndex"],
    )
