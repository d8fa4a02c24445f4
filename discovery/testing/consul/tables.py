"""The simulated server's state: tables that a transaction changes as a whole or not at all.

Every change is journaled, so a transaction that fails half-way is undone, and one that is applied tells what it
touched: blocking queries wake up for that and nothing else, as Consul's do.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Generic, TypeVar

Json = dict[str, Any]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

Topic = tuple[str, Hashable]
"""A place that a change touches: a table and a key of it, None for any; or `table.index` and a value of that index."""

Change = tuple["Table[Any, Any]", Any, Any]


class Table(Generic[K, R]):
    """Rows by key, and by the values of its indexes. A row is replaced, never changed.

    Args:
        name: what its topics begin with.
        journal: gets the table, the key and the row that was there before (None: none) with each change.
        indexes: by name, what a row is to be found by besides its key.
    """

    def __init__(self, name: str, journal: list[Change], **indexes: Callable[[K, R], Hashable]) -> None:
        self.name = name
        self.rows: dict[K, R] = {}
        self._journal = journal
        self._indexes = indexes
        self._by: dict[tuple[str, Hashable], set[K]] = {}

    def get(self, key: K) -> R | None:
        """The row, if there is one."""
        return self.rows.get(key)

    def put(self, key: K, row: R) -> None:
        """Insert or replace a row."""
        self._journal.append((self, key, self.rows.get(key)))
        self.set(key, row)

    def drop(self, key: K) -> None:
        """Remove a row, if there is one."""
        if key in self.rows:
            self._journal.append((self, key, self.rows[key]))
            self.set(key, None)

    def keys_by(self, index: str, value: Hashable) -> list[K]:
        """The keys of the rows that have this value, in their order."""
        return sorted(self._by.get((index, value), ()))  # type: ignore[type-var]

    def by(self, index: str, value: Hashable) -> list[R]:
        """The rows that have this value, in the order of their keys."""
        return [self.rows[key] for key in self.keys_by(index, value)]

    def all(self) -> list[R]:
        """Every row, in the order of the keys."""
        return [self.rows[key] for key in sorted(self.rows)]  # type: ignore[type-var]

    def set(self, key: K, row: R | None) -> None:
        """Change a row past the journal (None: there is to be none)."""
        before = self.rows.pop(key, None)
        if before is not None:
            for place in self._places(key, before):
                self._by[place].discard(key)
                if not self._by[place]:
                    del self._by[place]
        if row is not None:
            self.rows[key] = row
            for place in self._places(key, row):
                self._by.setdefault(place, set()).add(key)

    def replace(self, rows: Mapping[K, R]) -> None:
        """Be these rows and no others, past the journal."""
        for key in tuple(self.rows):
            self.set(key, None)
        for key, row in rows.items():
            self.set(key, row)

    def topics(self, key: K, row: R | None) -> Iterator[Topic]:
        """Where a row of this key and content is found."""
        yield self.name, None
        yield self.name, key
        if row is not None:
            for index, value in self._places(key, row):
                yield f"{self.name}.{index}", value

    def _places(self, key: K, row: R) -> Iterator[tuple[str, Hashable]]:
        for index, value_of in self._indexes.items():
            yield index, value_of(key, row)


NodeKey = str
RowKey = tuple[str, str]
"""A node and the id of something on it, both in lower case: so does Consul compare them."""

Listener = Callable[[frozenset[Topic] | None], None]
"""Called with what a change touched, after it; with None before all of the state is replaced by another."""

Snapshot = dict[str, dict[Any, Any]]


class State:
    """Everything that Consul's servers agree on.

    Attributes:
        index: of the newest entry of the log.
        listeners: called after each change.
    """

    def __init__(self) -> None:
        self._journal: list[Change] = []
        self.index = 10
        self.listeners: set[Listener] = set()
        self.nodes: Table[NodeKey, Json] = Table("nodes", self._journal)
        self.services: Table[RowKey, Json] = Table(
            "services",
            self._journal,
            node=lambda key, _: key[0],
            service=lambda _, row: row["Service"].lower(),
        )
        self.checks: Table[RowKey, Json] = Table(
            "checks",
            self._journal,
            node=lambda key, _: key[0],
            instance=lambda key, row: (key[0], row["ServiceID"].lower()),
            service=lambda _, row: row["ServiceName"].lower(),
        )
        self.keys: Table[str, Json] = Table("keys", self._journal, session=lambda _, row: row.get("Session", ""))
        self.graves: Table[str, int] = Table("graves", self._journal)
        self.sessions: Table[str, Json] = Table("sessions", self._journal, node=lambda _, row: row["Node"].lower())
        self.queries: Table[str, Json] = Table("queries", self._journal)
        self.indexes: Table[str, int] = Table("indexes", self._journal)

    @property
    def _tables(self) -> "list[Table[Any, Any]]":
        return [
            self.nodes,
            self.services,
            self.checks,
            self.keys,
            self.graves,
            self.sessions,
            self.queries,
            self.indexes,
        ]

    @contextlib.contextmanager
    def write(self) -> Iterator[int]:
        """One entry of the log: all that is done inside, or nothing where it raises. Gives its index."""
        self.index += 1
        try:
            yield self.index
        except BaseException:
            for table, key, row in reversed(self._journal):
                table.set(key, row)
            self._journal.clear()
            raise
        touched = self._touched()
        self._journal.clear()
        if touched:
            self._tell(touched)

    def _touched(self) -> frozenset[Topic]:
        found: set[Topic] = set()
        for table, key, before in self._journal:
            found.update(table.topics(key, before))
            found.update(table.topics(key, table.get(key)))
        return frozenset(found)

    def _tell(self, touched: frozenset[Topic] | None) -> None:
        for listener in tuple(self.listeners):
            listener(touched)

    def bump(self, at: int, *names: str) -> None:
        """These indexes are at least so high."""
        for name in names:
            if self.indexes.get(name) != at:
                self.indexes.put(name, at)

    def latest(self, *names: str) -> int:
        """The highest of these indexes; 0 where there is none of them."""
        return max((self.indexes.get(name) or 0 for name in names), default=0)

    # Snapshots

    def snapshot(self) -> Snapshot:
        """What is stored, to be restored later."""
        return {table.name: dict(table.rows) for table in self._tables}

    def restore(self, snapshot: Snapshot) -> None:
        """Be as then: every index goes back too, while the log goes on. Blocking queries end."""
        self._tell(None)
        for table in self._tables:
            table.replace(snapshot[table.name])
        self.index += 1

    def renumber(self) -> None:
        """Have the same content under small new indexes, in the same order: what a rebuilt server has."""
        was = self.snapshot()
        seen = sorted({index for rows in was.values() for row in rows.values() for index in _indexes(row)})
        new = {index: at for at, index in enumerate(seen, start=2)} | {0: 0}
        self.restore({name: {key: _renumbered(row, new) for key, row in rows.items()} for name, rows in was.items()})
        self.index = len(seen) + 2


INDEXES = ("CreateIndex", "ModifyIndex")


def _indexes(row: Json | int) -> list[int]:
    return [row] if isinstance(row, int) else [row[name] for name in INDEXES if name in row]


def _renumbered(row: Json | int, new: Mapping[int, int]) -> Json | int:
    if isinstance(row, int):
        return new[row]
    return {**row, **{name: new[row[name]] for name in INDEXES if name in row}}
