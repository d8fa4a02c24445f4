"""The import as a whole: follows Consul, and keeps the namespace as it says.

What is held of Kubernetes is known from our own writes, and read anew from time to time, so that a steady state costs
nothing. Whatever fails leaves things as they are, and is tried again by itself.
"""

import asyncio
import contextlib
import random

import attrs

from ...consul.blocking import pause
from ...errors import AccessDenied, DiscoveryError
from ...events import Event, Hook
from ...kube.access import Access
from ...kube.writes import Conflict, Missing
from ...turns import Turns
from ..leading.session_lock import NotLeading
from .apply import Objects, Outcome, Permit
from .held import Held
from .options import ImportOptions
from .plan import ImportPlan, Unit, Withheld, guarded, units
from .sources import MARGIN, Catalog, Sources


class ConsulImport:
    """Consul services as headless Services of one namespace.

    Args:
        consul: where the services are read.
        access: the way to the API server.
        options: what is imported, and under whose name.
        emit: takes events.
        rng: spreads pauses.
        permit: whether we are the replica that writes, such as a `Leadership`; None is alone. Whoever gives one calls
            `wake()` when it changes.

    Attributes:
        writes: objects written.
        passes: times that all was compared.
        plan: what the last pass made of it; None before the first.
        synced: Consul and the namespace have been read, and a pass has been made of it, or is another replica's.
        last_error: what keeps it from writing; None while nothing does.
    """

    def __init__(
        self,
        consul: Catalog,
        access: Access,
        options: ImportOptions,
        *,
        emit: Hook,
        rng: random.Random,
        permit: Permit | None = None,
    ) -> None:
        self._options = options
        self._emit = emit
        self._rng = rng
        self._permit = permit
        self._objects = Objects(access, options, permit)
        self._sources = Sources(consul, options, emit=emit, rng=rng, changed=self.wake)
        self._woken = asyncio.Event()
        self._held: Held | None = None
        self._read_at = 0.0
        self._approved = False
        self._told: set[Withheld] = set()
        self._failures = 0
        self._resting: frozenset[str] = frozenset()  # Services whose writes failed, until
        self._rested_at: float | None = None
        self.writes = 0
        self.passes = 0
        self.plan: ImportPlan | None = None
        self.synced = False
        self.last_error: DiscoveryError | None = None

    def __repr__(self) -> str:
        held = "nothing read yet" if self._held is None else f"{len(self._held.services)} Services"
        return f"<ConsulImport into {self._options.namespace}: {held}, {self.writes} writes>"

    def wake(self) -> None:
        """Something has changed: compare soon."""
        self._woken.set()

    def approve(self) -> None:
        """Let the next pass delete however many Services it has to."""
        self._approved = True
        self.wake()

    async def once(self, *, dry_run: bool = False, approved: bool = False) -> ImportPlan:
        """Make one pass, and return what was done, or (`dry_run`) would be.

        Where Services may have to go, Consul is asked for a second time after `confirm_after` seconds; not for a dry
        run, which shows them as withheld.

        Raises:
            ConsulError: Consul could not be read.
            DiscoveryError: the API server could not be read or written.
        """
        await self._sources.read()
        self._held = await self._objects.read()
        plan = await self._planned(self._held, approved=approved)
        if not dry_run and any(one.reason == "unconfirmed" for one in plan.withheld):
            await asyncio.sleep(self._options.confirm_after + MARGIN)
            await self._sources.read()
            plan = await self._planned(self._held, approved=approved)
        if not dry_run:
            outcome = await self._objects.apply(plan, self._held)
            self._count(outcome)
            for failure in outcome.failures.values():
                raise failure
        return plan

    async def run(self) -> None:
        """Follow Consul and write until cancelled; nothing else ends it. What is written stays."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sources.run(), name="import sources")
            while True:
                await self._changed()
                await asyncio.sleep(self._options.debounce)
                self._woken.clear()
                await self._pass()

    async def _changed(self) -> None:
        """Wait for news, or for the time to look after our objects."""
        loop = asyncio.get_running_loop()
        due = self._read_at + self._options.repair if self._held is not None else None
        dues = [one for one in (due, self._rested_at) if one is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(dues, default=None)):
                await self._woken.wait()
        now = loop.time()
        if due is not None and now >= due:
            self._held = None
        if self._rested_at is not None and now >= self._rested_at:
            self._resting, self._rested_at = frozenset(), None

    async def _pass(self) -> None:
        """Compare and write, where it is for us to do; a failure is told, and tried again after a pause."""
        if not self._sources.listed:
            return
        if self._permit is not None and not self._permit.leading:
            self._held = None  # by the time that it is for us, others will have written
            self.synced = self._sources.synced
            return
        try:
            outcome = await self._written()
        except NotLeading:
            self._held = None
            return
        except DiscoveryError as error:
            self._held = None  # a write that was not acknowledged may have been made
            await self._failed(error)
            return
        self._count(outcome)
        if outcome.stale:
            self._held = None
        if outcome.failures:
            self._rest(outcome)
        elif not self._resting:
            self._fine()
        self._synced()

    async def _written(self) -> Outcome:
        if self._held is None:
            self._held = await self._objects.read()
            self._read_at = asyncio.get_running_loop().time()
        plan = await self._planned(self._held, approved=self._approved)
        wanted = tuple(unit for unit in plan.units if unit.service not in self._resting)
        outcome = await self._objects.apply(attrs.evolve(plan, units=wanted), self._held)
        self._approved = False
        return outcome

    async def _planned(self, held: Held, *, approved: bool) -> ImportPlan:
        """The plan, made so that others get their turn."""
        found: list[Unit | Withheld | None] = []
        turns = Turns()
        for one in units(dict(self._sources.seen), held, self._options, gone=self._sources.gone):
            found.append(one)
            if turns.due():
                await turns.give()
        self.plan = guarded(found, held, self._options, approved=approved)
        self.passes += 1
        self._tell(self.plan)
        return self.plan

    # What is said

    def _tell(self, plan: ImportPlan) -> None:
        """Each thing that is held back, when it begins to be."""
        withheld = set(plan.withheld)
        for one in sorted(withheld - self._told, key=lambda one: (one.reason, one.consul)):
            if one.reason != "too-many":
                data = {"service": one.service, "consul": one.consul, "reason": one.reason}
                self._emit(Event("import.withheld", self._options.namespace, data))
        many = [one for one in withheld if one.reason == "too-many"]
        if many and not any(one.reason == "too-many" for one in self._told):
            counts = {"reason": "too-many", "deletions": len(many)}
            self._emit(Event("import.withheld", self._options.namespace, counts))
        self._told = withheld

    def _count(self, outcome: Outcome) -> None:
        self.writes += outcome.writes
        if outcome.writes:
            counts = {"created": outcome.created, "replaced": outcome.replaced, "deleted": outcome.deleted}
            self._emit(Event("import.written", self._options.namespace, counts))

    def _fine(self) -> None:
        self._failures = 0
        if self.last_error is not None:
            self.last_error = None
            self._emit(Event("import.recovered", self._options.namespace))

    def _synced(self) -> None:
        if not self.synced and self._sources.synced:
            self.synced = True
            services = 0 if self._held is None else len(self._held.services)
            self._emit(Event("import.synced", self._options.namespace, {"services": services}))

    def _rest(self, outcome: Outcome) -> None:
        """Leave alone for a while the Services that could not be written; the others go on."""
        service, error = next(iter(outcome.failures.items()))
        # To meet somebody else's write once is no failure; to meet it again and again is.
        quiet = isinstance(error, Conflict | Missing) and not self._failures
        delay = self._tell_failed(f"{self._options.namespace}/{service}", error, quiet=quiet)
        self._resting |= outcome.failures.keys()
        self._rested_at = asyncio.get_running_loop().time() + delay

    async def _failed(self, error: DiscoveryError) -> None:
        """Nothing can be written: pause, and try again."""
        await asyncio.sleep(self._tell_failed(self._options.namespace, error))
        self.wake()

    def _tell_failed(self, subject: str, error: DiscoveryError, *, quiet: bool = False) -> float:
        """Say it, loudly once; how many seconds to wait."""
        self._failures += 1
        name = "import.failed" if self.last_error is None and not quiet else "import.retry"
        if not quiet:
            self.last_error = error
        self._emit(Event(name, subject, {"error": str(error), "reason": type(error).__name__}))
        return pause(self._failures, self._rng, "denied" if isinstance(error, AccessDenied) else "")
