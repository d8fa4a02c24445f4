"""The events of a watch, as the simulated API server sends them. Pure but for the waiting, which is the caller's."""

from collections.abc import Iterator

from . import statuses
from .lists import Options
from .objects import Gone, Happening, Json, Kind, Objects

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watcher:
    """One watch: `pending()` gives what is to be sent now, from where the last call ended.

    An object that ceases to match the selectors is DELETED for this watch, and one that begins to is ADDED.
    """

    def __init__(self, objects: Objects, kind: Kind, namespace: str | None, options: Options) -> None:
        self._objects = objects
        self._kind = kind
        self._namespace = namespace
        self._options = options
        self._at = objects.version if not options.version or options.initial else options.version
        self._initial = not options.version or bool(options.initial)

    def pending(self) -> Iterator[Json]:
        """The events since the last call.

        Raises:
            Refused: 410, the version is gone.
        """
        if self._initial:
            self._initial = False
            yield from self._state()
        try:
            happenings = self._objects.since(self._at)
        except Gone:
            raise statuses.expired(self._at, self._objects.oldest) from None
        for happening in happenings:
            self._at = happening.version
            event = self._event(happening)
            if event is not None:
                yield event

    def bookmark(self, *, initial: bool = False) -> Json:
        """How far this watch has come."""
        meta: Json = {"resourceVersion": str(self._at)}
        if initial:
            meta["annotations"] = {INITIAL_EVENTS_END: "true"}
        body = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": meta}
        return {"type": "BOOKMARK", "object": body}

    def _state(self) -> Iterator[Json]:
        for body in self._objects.at(self._at, self._kind.resource, self._namespace):
            if self._options.selected(body):
                yield {"type": "ADDED", "object": body}
        if self._options.initial and self._options.bookmarks:
            yield self.bookmark(initial=True)

    def _event(self, happening: Happening) -> Json | None:
        resource, namespace, _ = happening.key
        if resource != self._kind.resource or self._namespace not in (None, namespace):
            return None
        selected = self._options.selected
        was = happening.before is not None and selected(happening.before)
        is_ = happening.type != "DELETED" and selected(happening.now)
        if is_:
            return {"type": "MODIFIED" if was else "ADDED", "object": happening.now}
        if not was or happening.before is None:
            return None
        last = {**happening.before, "metadata": {**happening.before["metadata"]}}
        last["metadata"]["resourceVersion"] = str(happening.version)
        return {"type": "DELETED", "object": last}
