"""What came and went, told to one reader at his own pace."""

from collections.abc import AsyncIterator, Callable

from .membership import Membership
from .model import Backend, BackendId, Change


async def changes(held: Membership, over: Callable[[], bool]) -> AsyncIterator[Change]:
    """First what there is, then what was added, removed and updated since, until it is over.

    Only the names of what changed are kept for a reader: one who is slow gets it all in one change.
    """
    told: dict[BackendId, Backend] = {}
    pending: dict[BackendId, None] = {}
    first = True
    held.listeners.add(pending.setdefault)
    try:
        pending.update(dict.fromkeys(node.backend.id for node in held.nodes))
        while not over():
            if held.synced_at is not None:
                change = _change(held, told, pending)
                if first or change.added or change.removed or change.updated:
                    first = False
                    yield change
                    continue
            await held.turned()
    finally:
        held.listeners.discard(pending.setdefault)


def _change(held: Membership, told: dict[BackendId, Backend], pending: dict[BackendId, None]) -> Change:
    added: list[Backend] = []
    removed: list[Backend] = []
    updated: list[Backend] = []
    for key in pending:
        before, now = told.get(key), held.usable(key)
        if now is None:
            if before is not None:
                removed.append(told.pop(key))
            continue
        told[key] = now
        if before is None:
            added.append(now)
        elif before != now:
            updated.append(now)
    pending.clear()
    return Change(added=tuple(added), removed=tuple(removed), updated=tuple(updated), snapshot=held.snapshot())
