"""Runs checks: all at once but for those that need another one to have gone well, and each within a limit.

None hides another: what fails is a finding, and what needed it is told as skipped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs

from ..errors import DiscoveryError, NotReady
from .finding import Finding, failed, skipped


@attrs.frozen(kw_only=True)
class Check:
    """One thing to look at.

    Args:
        name: unique among those that run together.
        run: looks. A `DiscoveryError` that it raises is a failure.
        after: names of checks before this one, without which it makes no sense.
        mild: nothing depends on it here, so what would be a failure is a warning.
        limit: seconds for it, where it has its own; None is as for the others.
    """

    name: str
    run: Callable[[], Awaitable[Finding]]
    after: tuple[str, ...] = ()
    mild: bool = False
    limit: float | None = None


async def examine(checks: Sequence[Check], limit: float) -> list[Finding]:
    """What all of them find, in their order.

    Args:
        checks: each behind those that it needs.
        limit: seconds for each, not counting the wait for others.
    """
    tasks: dict[str, asyncio.Task[Finding]] = {}
    async with asyncio.TaskGroup() as group:
        for check in checks:
            before = [tasks[name] for name in check.after]
            tasks[check.name] = group.create_task(_made(check, before, limit), name=f"check: {check.name}")
    return [task.result() for task in tasks.values()]


async def _made(check: Check, before: Iterable[asyncio.Task[Finding]], limit: float) -> Finding:
    for task in before:
        await asyncio.wait([task])
    found = _hindered(task.result() for task in before) or await _run(check, check.limit or limit)
    return attrs.evolve(found, name=check.name)


def _hindered(before: Iterable[Finding]) -> Finding | None:
    for one in before:
        if one.state in ("failed", "skipped"):
            return skipped(f"not looked at, because {one.name} {'failed' if one.state == 'failed' else 'was not'}")
    return None


async def _run(check: Check, limit: float) -> Finding:
    try:
        async with asyncio.timeout(limit) as bound:
            found = await check.run()
    except DiscoveryError as error:
        found = failed(error)
    except TimeoutError:
        if not bound.expired():
            raise
        step = (
            "Look for what drops packets on the way, such as a firewall or a NetworkPolicy; or wait longer (--timeout)"
        )
        found = failed(NotReady(f"no answer within {limit:g} s", next_step=step))
    if check.mild and found.state == "failed":
        return attrs.evolve(found, state="warning", error=None)
    return found
