"""One pass, and no more: for `--once`, and for a look at what would be done."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from ..errors import AccessDenied, ConfigurationError, ConsulError, DiscoveryError, NotReady, Unauthenticated, quote
from .judging import Evidence
from .leading.term import NotLeading
from .options import BridgeOptions
from .plan.changes import Change, Plan, Reason, Withheld
from .records import Key
from .running import Running

ROUNDS = 3
"""Passes in a row, where Consul held something else than had been read a moment before."""

FINAL = (AccessDenied, Unauthenticated, ConfigurationError)
"""What no waiting helps against; a refusal of Consul's is another."""


class Nobody:
    """Who only looks: leads nothing, and lets nothing be written. Implements `Leadership`."""

    leading = known = False
    holder = ""
    error = fence = None

    def check(self) -> None:
        """Nothing may be written.

        Raises:
            NotLeading: always.
        """
        raise NotLeading("this is only a look at what would be done")

    async def run(self, changed: Callable[[], None]) -> None:
        """Stand for nothing."""


class Single:
    """Makes one pass of a bridge.

    Args:
        running: the bridge's parts.
        options: of the bridge.
    """

    def __init__(self, running: Running, options: BridgeOptions) -> None:
        self._running = running
        self._options = options

    async def run(self, *, dry_run: bool, timeout: float | None) -> Plan:
        """Wait until all is known and (unless nothing is to be written) we lead; then make the pass.

        Raises:
            DiscoveryError: see `ConsulBridge.once`.
        """
        async with self._running.opened():
            try:
                async with asyncio.timeout(timeout):
                    await self._known(dry_run=dry_run)
            except TimeoutError:
                raise self._why_not() from None
            return await (self._look() if dry_run else self._write())

    async def _known(self, *, dry_run: bool) -> None:
        running = self._running
        while not running.sources.synced or not (dry_run or running.leadership.leading):
            await running.woken()
            await running.take_up()
            failed = running.sources.error
            for error in (None if failed is None else failed[0], running.leadership.error):
                if error is not None and _is_final(error):
                    raise error

    async def _look(self) -> Plan:
        """What would be done, if a second list agrees: it is read at once."""
        await self._running.syncing.load()
        await self._running.confirming.now()
        return await self._running.syncing.plan(None, Evidence(confirmed=True))

    async def _write(self) -> Plan:
        syncing = self._running.syncing
        await syncing.load()
        plan = await syncing.plan(None, Evidence())
        evidence = Evidence()
        if any(one.reason == "unconfirmed" for one in plan.withheld):
            await asyncio.sleep(self._options.confirm_after)
            await self._running.confirming.now()
            evidence = Evidence(confirmed=True, approved=await self._running.approval.given())
            plan = await syncing.plan(None, evidence)
        return await self._apply(plan, evidence)

    async def _apply(self, plan: Plan, evidence: Evidence) -> Plan:
        """Write it; what another has changed meanwhile is read again, and what is left of the plan made anew."""
        syncing, done = self._running.syncing, Plan()
        for _ in range(ROUNDS):
            outcome = await syncing.apply(plan)
            if outcome.deposed:
                raise self._deposed() from outcome.error
            if outcome.error is not None:
                raise outcome.error
            if evidence.approved:
                await self._running.approval.used()
                evidence = Evidence(confirmed=True)
            refused = {change.instance.key: reason for change, reason in outcome.failed}
            done = _together(done, plan, refused)
            if not outcome.lost:
                break
            await syncing.reread()
            plan = await syncing.plan(None, evidence)
        return done

    def _deposed(self) -> DiscoveryError:
        holder = self._running.leadership.holder
        return ConsulError(
            f"the lock of the owner id {self._options.owner} was lost in the middle"
            + (f"; it is held by {quote(holder)} now" if holder else ""),
            reason="conflict",
            next_step="What was written stays; make the pass again for the rest, unless another bridge runs",
        )

    def _why_not(self) -> DiscoveryError:
        running = self._running
        failed = running.sources.error
        if not running.sources.synced:
            if failed is not None and isinstance(failed[0], DiscoveryError):
                return failed[0]
            return NotReady("the Services, EndpointSlices and nodes of the cluster did not come in time")
        holder, error = running.leadership.holder, running.leadership.error
        if isinstance(error, DiscoveryError) and not holder:
            return error
        if holder:
            return NotReady(
                f"another bridge with the owner id {self._options.owner} leads: {holder}",
                next_step="It does this work; after a crash its lock ends within twice the session's TTL",
            )
        return NotReady(
            f"the lock of the owner id {self._options.owner} could not be had in time",
            next_step="Wait longer with timeout: a session that has just ended may hold it for another while",
        )


def _is_final(error: Exception) -> bool:
    return isinstance(error, FINAL) or (isinstance(error, ConsulError) and error.reason == "denied")


def _together(done: Plan, plan: Plan, refused: Mapping[Key, Reason]) -> Plan:
    """What both did; what was refused is among the withheld."""

    def taken(changes: Iterable[Change]) -> tuple[Change, ...]:
        return tuple(change for change in changes if change.instance.key not in refused)

    withheld = [Withheld(one, refused[one.instance.key]) for one in plan.changes if one.instance.key in refused]
    return Plan(
        register=done.register + taken(plan.register),
        update=done.update + taken(plan.update),
        deregister=done.deregister + taken(plan.deregister),
        withheld=(*plan.withheld, *withheld),
        nodes=done.nodes + plan.nodes,
    )
