"""What the simulated API server stores: objects, their versions, and all that happened since the last compaction.

Pure: no sockets, no HTTP. Versions are one counter for all, as in etcd.
"""

import copy
import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Literal

import attrs

Json = dict[str, Any]
Key = tuple[str, str, str]
"""Resource, namespace ("" where it has none) and name."""

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


@attrs.frozen
class Kind:
    """A resource that is served."""

    resource: str
    kind: str
    group: str
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As errors write it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


KINDS = (
    Kind("endpointslices", "EndpointSlice", "discovery.k8s.io"),
    Kind("services", "Service", ""),
    Kind("pods", "Pod", ""),
    Kind("endpoints", "Endpoints", ""),
    Kind("configmaps", "ConfigMap", ""),
    Kind("nodes", "Node", "", namespaced=False),
    Kind("namespaces", "Namespace", "", namespaced=False),
)


@attrs.frozen
class Happening:
    """One write: the object after it (for DELETED, the last there was, at the version of its end) and before it."""

    version: int
    type: EventType
    key: Key
    now: Json
    before: Json | None


class Gone(Exception):
    """A version from before the last compaction was asked for."""


class Objects:
    """Every object, and the history. `listeners` are called after each write."""

    def __init__(self) -> None:
        self.version = 1
        self.oldest = 1
        self.listeners: set[Callable[[], None]] = set()
        self._objects: dict[Key, Json] = {}
        self._history: list[Happening] = []

    def get(self, key: Key) -> Json | None:
        """The object as it is now; not to be changed."""
        return self._objects.get(key)

    def put(self, kind: Kind, body: Json) -> Json:
        """Create or replace. Returns the object as stored, with uid, version and generation."""
        meta = body["metadata"]
        key = kind.resource, meta.get("namespace", "") if kind.namespaced else "", meta["name"]
        before = self._objects.get(key)
        self.version += 1
        stored = copy.deepcopy(body)
        stored |= {"kind": kind.kind, "apiVersion": kind.api_version}
        old = before["metadata"] if before else {}
        same = before is not None and _content(before) == _content(stored)
        stored["metadata"] |= {
            "uid": old.get("uid") or stored["metadata"].get("uid") or str(uuid.uuid4()),
            "creationTimestamp": old.get("creationTimestamp") or _now(),
            "generation": old.get("generation", 0) + (not same),
            "resourceVersion": str(self.version),
        }
        self._objects[key] = stored
        self._happened(Happening(self.version, "MODIFIED" if before else "ADDED", key, stored, before))
        return stored

    def remove(self, key: Key) -> Json:
        """Delete; KeyError where there is no such object."""
        before = self._objects.pop(key)
        self.version += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.version)
        self._happened(Happening(self.version, "DELETED", key, last, before))
        return last

    def at(self, version: int, resource: str, namespace: str | None) -> list[Json]:
        """The objects of a resource as of a version, by namespace and name; None is every namespace.

        Raises:
            Gone: that is compacted away.
        """
        if version < self.oldest:
            raise Gone(version)
        found = dict(self._objects)
        for happening in reversed(self._history):
            if happening.version <= version:
                break
            if happening.before is None:
                del found[happening.key]
            else:
                found[happening.key] = happening.before
        wanted = (key for key in found if key[0] == resource and namespace in (None, key[1]))
        return [found[key] for key in sorted(wanted)]

    def since(self, version: int) -> Iterator[Happening]:
        """What happened after a version.

        Raises:
            Gone: not all of it is known any more.
        """
        if version < self.oldest:
            raise Gone(version)
        start = len(self._history)
        while start and self._history[start - 1].version > version:
            start -= 1
        return iter(self._history[start:])

    def compact(self) -> None:
        """Forget every version before the present one."""
        self._history.clear()
        self.oldest = self.version

    def _happened(self, happening: Happening) -> None:
        self._history.append(happening)
        for listener in tuple(self.listeners):
            listener()


def _content(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in ("metadata", "status", "kind", "apiVersion")}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
