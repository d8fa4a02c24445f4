"""What Consul has refused, and when it is tried again: no pass after pass for what will be refused again. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from ..events import Event, Hook
from .plan.changes import Change, Reason
from .records import Instance, Key, ServiceKey
from .registry.outcome import Outcome

REFUSED = {"denied": 30.0, "invalid": 300.0}
"""Seconds after which an instance that Consul refused is tried again."""

TRIES = 3
"""How often in a row a conflict, or a node, is tried again at once; then it rests until all is read anew."""


class Refusals:
    """Remembers what was refused.

    Args:
        emit: takes `bridge.refused`.
        now: the loop's time.
    """

    def __init__(self, emit: Hook, now: Callable[[], float]) -> None:
        self._emit = emit
        self._now = now
        self._refused: dict[Key, tuple[Instance, Reason, float]] = {}
        self._failing: Counter[str | Key] = Counter()  # instances, and nodes by name: how often in a row

    @property
    def next_try(self) -> float | None:
        """When something is to be tried again (the loop's time)."""
        return min((at for _, _, at in self._refused.values()), default=None)

    @property
    def services(self) -> set[ServiceKey]:
        """Services of which something is refused."""
        return {instance.of for instance, _, _ in self._refused.values()}

    @property
    def due(self) -> bool:
        """Whether something is to be tried again now."""
        return (at := self.next_try) is not None and at <= self._now()

    def take(self) -> set[ServiceKey]:
        """Services of which something is tried again from now on."""
        now = self._now()
        again = {key: instance.of for key, (instance, _, at) in self._refused.items() if at <= now}
        for key in again:
            del self._refused[key]
        return {*again.values()}

    def forgive(self) -> None:
        """All has been read anew: everything may be tried again."""
        self._refused.clear()
        self._failing.clear()

    def why(self, change: Change) -> Reason | None:
        """Why not to try this again yet: rights hang on the service's name, all else on the whole of it."""
        if self._failing[change.instance.key] >= TRIES:
            return "conflict"
        found = self._refused.get(change.instance.key)
        if found is None:
            return None
        instance, reason, _ = found
        same = instance.service == change.instance.service if reason == "denied" else instance == change.instance
        return reason if same else None

    def rests(self, node: str) -> bool:
        """Whether a node is left alone for now."""
        return self._failing[node] >= TRIES

    def note(self, outcome: Outcome, known: Collection[ServiceKey]) -> None:
        """What became of a plan; what is refused of a Service in `known` has been told already."""
        self._note_refused(outcome.failed, known)
        for change in outcome.done:
            self._failing.pop(change.instance.key, None)
        self._failing.update(change.instance.key for change, reason in outcome.failed if reason == "conflict")
        for node, reason in outcome.failed_nodes:
            self._failing[node.entry.name] += 1
            if self._failing[node.entry.name] == TRIES:
                self._emit(Event("bridge.refused", node.entry.name, {"node": node.entry.name, "reason": reason}))

    def _note_refused(self, failed: Iterable[tuple[Change, Reason]], known: Collection[ServiceKey]) -> None:
        told = self.services | {*known}
        for change, reason in failed:
            if reason not in REFUSED:
                continue
            self._refused[change.instance.key] = change.instance, reason, self._now() + REFUSED[reason]
            if change.instance.of not in told:
                told.add(change.instance.of)
                data = {"service": change.instance.service, "reason": reason}
                self._emit(Event("bridge.refused", "/".join(change.instance.of), data))
