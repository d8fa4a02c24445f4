"""Which rows a read gives, and to whom."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from .acl import Access
from .blocking import Found
from .filters import Predicate
from .tables import Json, Topic

Pairs = Sequence[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Narrowing:
    """What is left of the rows: those that the expression holds for, on nodes with such metadata, with all tags."""

    predicate: Predicate = lambda _: True
    node_meta: Pairs = ()
    tags: tuple[str, ...] = ()
    passing: bool = False

    def on(self, node: Json) -> bool:
        """Whether the node has the metadata."""
        meta: Mapping[str, str] = node["Meta"] or {}
        return all(meta.get(key) == value for key, value in self.node_meta)

    def tagged(self, tags: Sequence[str] | None) -> bool:
        """Whether all the tags are there, in whatever case."""
        has = {tag.lower() for tag in tags or ()}
        return all(tag.lower() in has for tag in self.tags)


def found(index: int, render: Callable[[Access], tuple[Any, bool]], *topics: Topic, missing: bool = False) -> Found:
    """What a read came to, to be rendered for whoever asks."""
    return Found(index=index, topics=frozenset(topics), render=render, missing=missing)


def seen(rows: list[Json], may_see: Callable[[Json], bool]) -> tuple[list[Json], bool]:
    """The rows that one may see, and whether there are others."""
    seen = [row for row in rows if may_see(row)]
    return seen, len(seen) < len(rows)


def visible(access: Access, node: str, service: str) -> Callable[[Json], bool]:
    """Whether one may see a row that names its node and its service ("" is none) in these fields."""

    def may_see(row: Json) -> bool:
        return access.allows("node", row[node], "read") and (
            not row[service] or access.allows("service", row[service], "read")
        )

    return may_see


def visible_entry(access: Access) -> Callable[[Json], bool]:
    """Whether one may see an instance with its node and checks."""

    def may_see(entry: Json) -> bool:
        return access.allows("node", entry["Node"]["Node"], "read") and access.allows(
            "service", entry["Service"]["Service"], "read"
        )

    return may_see
