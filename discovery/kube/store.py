"""The objects of one list and watch, by group. Pure.

A group is what one reader wants: the slices of one service, one Service by its name. A list is gathered aside and
swapped in whole, so that readers see the set before it or the set after it, and are told only what differs.
"""

from collections.abc import Iterable, Iterator, Mapping

from .objects import Object

Group = tuple[str, str]
"""A namespace and a name."""

Name = tuple[str, str]

Changes = Mapping[str, Object | None]
"""By name, what came or changed, or None for what went."""


class Store:
    """Objects by name and by group."""

    def __init__(self) -> None:
        self._objects: dict[Name, Object] = {}
        self._groups: dict[Group, dict[str, Object]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def group(self, group: Group) -> Mapping[str, Object]:
        """The objects of one group, by name."""
        return self._groups.get(group, {})

    @property
    def everything(self) -> Mapping[Name, Object]:
        """All objects, by namespace and name."""
        return self._objects

    def get(self, name: Name) -> Object | None:
        """The object of this name."""
        return self._objects.get(name)

    def put(self, held: Object) -> Object | None:
        """Keep this one; returns the one of its name that was in another group, and has left it."""
        key = held.namespace, held.name
        before = self._objects.get(key)
        moved = before if before is not None and before.group != held.group else None
        if moved is not None:
            self.drop(key)
        self._objects[key] = held
        self._groups.setdefault((held.namespace, held.group), {})[held.name] = held
        return moved

    def drop(self, name: Name) -> Object | None:
        """Let the one of this name go, and return it."""
        held = self._objects.pop(name, None)
        if held is not None:
            place = held.namespace, held.group
            del self._groups[place][held.name]
            if not self._groups[place]:
                del self._groups[place]
        return held

    def forget(self, group: Group) -> None:
        """Let a whole group go."""
        for held in self._groups.pop(group, {}).values():
            del self._objects[held.namespace, held.name]

    def difference(self, newer: "Store") -> dict[Name, Object | None]:
        """What would change of all there is if `newer` took the place of this store."""
        old, new = self._objects, newer.everything
        changes: dict[Name, Object | None] = {name: None for name in old if name not in new}
        changes.update((name, held) for name, held in new.items() if not same(old.get(name), held))
        return changes

    def differences(self, newer: "Store", groups: Iterable[Group]) -> Iterator[tuple[Group, Changes]]:
        """What each of these groups would see change if `newer` took the place of this store."""
        for group in groups:
            old, new = self.group(group), newer.group(group)
            changes: dict[str, Object | None] = {name: None for name in old if name not in new}
            changes.update((name, held) for name, held in new.items() if not same(old.get(name), held))
            if changes:
                yield group, changes


def same(one: Object | None, other: Object) -> bool:
    """Whether both are the same object at the same version."""
    return one is not None and one.version == other.version and one.uid == other.uid
