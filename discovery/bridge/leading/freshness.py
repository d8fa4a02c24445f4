"""What is registered is not believed for ever: it is marked when no bridge has been able to read the cluster for long.

Nothing in Consul's catalog ends by itself, so what a dead bridge has registered passes its checks until somebody looks.
With `expire_after`, the node check `discovery:alive` of every owned node becomes critical when

- nobody leads, for so long: a bridge that stands by marks them. It cannot lead, since it cannot read the cluster
  itself; so it takes the lock for this one write, which is fenced by it as all others are. A leader that comes back
  meanwhile waits for the lock, and undoes the marks when it has read the cluster;
- somebody leads, but its own watches have been silent for so long: it marks them itself.

A leader that can read the cluster sets them passing again. While all is well nothing is written, and a node that was
never marked has no such check. A critical node check makes everything on that node critical for readers of Consul's
health and DNS, and nothing is removed: when it was only the bridges that were cut off, the entries are still there.

A Lease of Kubernetes cannot serve for this: it cannot be seen while the cluster cannot be read. A leader by a Lease
only undoes what others have marked.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import attrs
import msgspec

from ...consul.api import Consul, Read, TxnRefused
from ...errors import DiscoveryError
from ...events import Event, Hook
from ..awaiting import all_of
from ..options import BridgeOptions
from ..plan.operations import ALIVE
from ..records import MANAGED_BY, OWNER, US
from .session_lock import Leadership, SessionLock

NAME = "A bridge reads the cluster"

MOST = 127
"""Marks in one transaction: Consul takes 128 operations, and the fence is one."""

AT_ONCE = 8
"""Nodes whose checks are read at a time."""

LOOKS = 10
"""How often it is looked whether marks are due, within `expire_after`. A look asks nobody."""

SHORTEST, LONGEST = 0.1, 10.0
"""Seconds between two looks, at least and at most."""

RETRY = 30.0
"""Seconds after a failure, until it is tried again."""

Verdict = Literal["passing", "critical"]


@attrs.frozen
class Mark:
    """The node check of one owned node: its status, "" where there is none, and its ModifyIndex."""

    node: str
    status: str = ""
    index: int = 0


def verdict(*, leading: bool, silent_for: float, free_for: float | None, expire_after: float) -> Verdict | None:
    """What the marks should say; None where that is not for us to say.

    Args:
        leading: we lead.
        silent_for: seconds since all that we read of the cluster was current; 0 while it is.
        free_for: seconds for which nobody was seen to lead, None where somebody does or it is not known.
        expire_after: seconds that either may last.
    """
    if leading:
        return "critical" if silent_for >= expire_after else "passing" if silent_for <= 0 else None
    if free_for is not None and min(free_for, silent_for) >= expire_after:
        return "critical"
    return None


def due(marks: Iterable[Mark], wanted: Verdict) -> list[Mark]:
    """Those that say something else. One that was never made says what "passing" does."""
    return [mark for mark in marks if (mark.status or "passing") != wanted]


def operation(mark: Mark, wanted: Verdict, expire_after: float) -> bytes:
    """Write one mark, if nobody else has since it was read."""
    said = "" if wanted == "passing" else f"no bridge has been able to read the cluster for {expire_after:g} s"
    check = {
        "Node": mark.node,
        "CheckID": ALIVE,
        "Name": NAME,
        "Status": wanted,
        "Output": said,
        "ModifyIndex": mark.index,
    }
    return msgspec.json.encode({"Check": {"Verb": "cas", "Check": check}})


class Freshness:
    """Marks what is owned, and unmarks it.

    Args:
        consul: the client.
        lock: who leads.
        options: `owner` and `expire_after`; without it nothing is ever marked, and what was is unmarked.
        silent_for: seconds since all that is read of the cluster was current; 0 while it is. Before the first sync it
            counts from the start.
        emit: takes `freshness.expired`, `freshness.restored` and, with `expire_after`, `freshness.failed`.
    """

    def __init__(
        self, consul: Consul, lock: Leadership, options: BridgeOptions, *, silent_for: Callable[[], float], emit: Hook
    ) -> None:
        self._after = options.expire_after or math.inf
        self._owner = options.owner
        self._consul = consul
        self._lock = lock
        self._silent_for = silent_for
        self._emit = emit
        self._done: tuple[bytes | None, Verdict] | None = None

    async def run(self) -> None:
        """Look, and mark what is due, until cancelled. Failures are tried again, and told where marks are wanted."""
        pause = min(LONGEST, max(SHORTEST, self._after / LOOKS))
        while True:
            try:
                await self.look()
            except DiscoveryError as error:
                if self._after < math.inf:
                    self._emit(Event("freshness.failed", self._owner, {"error": str(error)}))
                await asyncio.sleep(RETRY)
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Mark what is due now; nothing is asked for where that has been done.

        Raises:
            ConsulError: it cannot be read, or not all could be written.
            NotLeading: somebody else leads by now.
        """
        leading, fence = self._lock.leading, self._lock.fence
        free_for = self._lock.free_for if isinstance(self._lock, SessionLock) else None
        wanted = verdict(leading=leading, silent_for=self._silent_for(), free_for=free_for, expire_after=self._after)
        if wanted is None:
            self._done = self._done if leading else None  # after another's time marks may be due anew
            return
        done = (fence if leading else None, wanted)
        if self._done == done:
            return
        self._done = None
        marks = due(await self._marks(), wanted)
        if marks and not await self._write(marks, wanted, leading=leading):
            return
        if marks:
            name = "freshness.expired" if wanted == "critical" else "freshness.restored"
            self._emit(Event(name, self._owner, {"nodes": len(marks)}))
        self._done = done

    async def _marks(self) -> list[Mark]:
        """As they are, of every owned node."""
        answer = await self._consul.nodes(Read(filter=f'Meta["{OWNER}"] == "{self._owner}"'))
        gate = asyncio.Semaphore(AT_ONCE)
        ours = (node.name for node in answer.value if (node.meta or {}).get(MANAGED_BY) == US)
        return await all_of(self._mark(name, gate) for name in ours)

    async def _mark(self, node: str, gate: asyncio.Semaphore) -> Mark:
        async with gate:
            checks = (await self._consul.node_checks(node)).value
        for check in checks:
            if check.check_id == ALIVE and not check.service_id:
                return Mark(node, check.status, check.modify_index)
        return Mark(node)

    async def _write(self, marks: Sequence[Mark], wanted: Verdict, *, leading: bool) -> bool:
        """Whether it was for us to write them, and they are written."""
        operations = [operation(mark, wanted, self._after) for mark in marks]
        if leading:
            self._lock.check()
            await self._send(operations, self._lock.fence)
            return True
        assert isinstance(self._lock, SessionLock)  # nobody else is seen not to lead
        async with self._lock.borrowed() as fence:
            if fence is not None:
                await self._send(operations, fence)
        return fence is not None

    async def _send(self, operations: Sequence[bytes], fence: bytes | None) -> None:
        """All of them, but those that Consul refuses; that some were refused is raised at the end."""
        refused: TxnRefused | None = None
        first = [] if fence is None else [fence]
        for start in range(0, len(operations), MOST):
            part = list(operations[start : start + MOST])
            while part:
                try:
                    await self._consul.transact([*first, *part])
                    break
                except TxnRefused as error:
                    at_fault = {one.op_index - len(first) for one in error.errors}
                    if -1 in at_fault or not at_fault:
                        raise
                    refused, part = error, [one for number, one in enumerate(part) if number not in at_fault]
        if refused is not None:
            raise refused
