"""Follows a service in Consul's catalog, or a prepared query. Time passes here.

One request is open at a time, so that a target takes one connection. How it is asked is in `consul_asking`; what an
answer comes to is decided in `consul_set`, which is pure.
"""

import asyncio
import random
from collections.abc import Callable, Mapping

from ..consul.blocking import pause
from ..consul.objects import HealthEntry
from ..errors import ConfigurationError, ConsulError, DiscoveryError, ServiceNotFound
from ..events import Event, Hook
from ..model import BackendId
from ..targets import Consul
from ..turns import Turns
from . import Remark, Sink
from .consul_asking import Blocking, Query, Reads
from .consul_set import ConsulSet, Found, Shown, nothing


class ConsulResolver:
    """Follows one service or prepared query. Implements `Resolver`.

    Args:
        target: which one.
        consul: asks; shared with other targets.
        emit: takes events.
        rng: spreads pauses.
    """

    def __init__(self, target: Consul, consul: Reads, emit: Hook, rng: random.Random) -> None:
        self._target = target
        self._consul = consul
        self._emit = emit
        self._rng = rng

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled."""
        now = asyncio.get_running_loop().time
        source = self._source(now)
        teller = _Teller(self._target, sink, self._emit)
        instances, failures = ConsulSet(self._target), 0
        while True:
            try:
                told = await source.ask()
            except (ConsulError, ConfigurationError, ServiceNotFound) as error:
                failures += 1
                teller.failed(error.with_traceback(None))  # its frames hold it: a cycle for each failure
                source.failed()
                await asyncio.sleep(pause(failures, self._rng, getattr(error, "reason", "")))
            else:
                failures = 0
                instances = await self._read(told.entries, instances)
                teller.tell(instances.found(), told.remarks, now())
                await asyncio.sleep(source.delay())

    async def _read(self, entries: tuple[HealthEntry, ...], before: ConsulSet) -> ConsulSet:
        """All of an answer. Thousands of them are read with pauses."""
        instances, turns = ConsulSet(self._target, before), Turns()
        for entry in entries:
            instances.put(entry)
            if turns.due():
                await turns.give()
        return instances

    def _source(self, now: Callable[[], float]) -> Blocking | Query:
        if self._target.prepared:
            return Query(self._target, self._consul, self._rng)
        return Blocking(self._target, self._consul, now)


class _Teller:
    """Tells a sink what is found, as what is different from before."""

    def __init__(self, target: Consul, sink: Sink, emit: Hook) -> None:
        self._name = str(target)
        self._nothing = nothing(target)
        self._sink = sink
        self._emit = emit
        self._told: Mapping[BackendId, Shown] | None = None
        self._unreadable = 0
        self._heard: float | None = None
        self._failing = False

    def tell(self, found: Found, remarks: tuple[Remark, ...], now: float) -> None:
        """All that there is now."""
        self._heard = now
        if self._failing:
            self._failing = False
            self._emit(Event("consul.recovered", self._name))
        if found.unreadable != self._unreadable:
            self._unreadable = found.unreadable
            self._emit(Event("consul.skipped", self._name, {"instances": found.unreadable}))
        self._sink.note(None if found.shown else self._nothing)
        self._sink.remark(remarks)
        self._replace(found.shown)

    def failed(self, error: DiscoveryError) -> None:
        """Nothing can be read now; what was told holds on."""
        if not self._failing:
            self._failing = True
            self._emit(Event("consul.failed", self._name, {"error": str(error)}))
        self._sink.failed(error, self._heard)

    def _replace(self, shown: Mapping[BackendId, Shown]) -> None:
        told, self._told = self._told, shown
        if told is None:  # what an earlier run told may be gone
            self._sink.replace([backend for backend, _ in shown.values()], _withheld(shown))
            return
        changed = {key: one for key, one in shown.items() if told.get(key) != one}
        removed = [key for key in told if key not in shown]
        self._sink.update([backend for backend, _ in changed.values()], removed, _withheld(changed))
        self._sink.synced()


def _withheld(shown: Mapping[BackendId, Shown]) -> Mapping[BackendId, str]:
    return {key: reason for key, (_, reason) in shown.items() if reason is not None}
