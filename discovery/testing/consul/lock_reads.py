"""Reads of keys and sessions of the simulated server: what is waited for where a lock is."""

from typing import Any

import attrs

from .acl import Access
from .blocking import Found, Query
from .narrowing import found, seen
from .tables import State


class LockReads:
    """The reads of one state's keys and sessions."""

    def __init__(self, state: State) -> None:
        self._state = state

    def key(self, key: str, access: Access) -> Query:
        """`/kv/KEY`.

        Raises:
            Refused: this one may not be read.
        """
        access.demand("key", key, "read")
        state = self._state

        def query() -> Found:
            row = state.keys.get(key)
            index = state.latest("kvs", "tombstones") if row is None else row["ModifyIndex"]
            value = None if row is None else [row]
            return found(index, lambda _: (value, False), ("keys", key), missing=row is None)

        return query

    def keys(self, prefix: str) -> Query:
        """`/kv/PREFIX?recurse`."""
        state = self._state

        def query() -> Found:
            under = [row for row in state.keys.all() if row["Key"].startswith(prefix)]
            graves = [at for key, at in state.graves.rows.items() if key.startswith(prefix)]
            own = max([*(row["ModifyIndex"] for row in under), *graves], default=0) if prefix else 0

            def rows(access: Access) -> tuple[Any, bool]:
                shown, filtered = seen(under, lambda row: access.allows("key", row["Key"], "read"))
                return shown or None, filtered

            return found(own or state.latest("kvs", "tombstones"), rows, ("keys", None))

        return query

    def key_names(self, prefix: str) -> Query:
        """`/kv/PREFIX?keys`."""
        query = self.keys(prefix)

        def names() -> Found:
            answer = query()

            def rows(access: Access) -> tuple[Any, bool]:
                shown, filtered = answer.render(access)
                return ([row["Key"] for row in shown or ()] or ([] if not prefix else None)), filtered

            return attrs.evolve(answer, render=rows)

        return names

    def session(self, session_id: str) -> Query:
        """`/session/info/ID`."""
        state = self._state

        def rows(access: Access) -> tuple[Any, bool]:
            row = state.sessions.get(session_id)
            return seen([row] if row else [], lambda row: access.allows("session", row["Node"], "read"))

        return lambda: found(state.latest("sessions"), rows, ("sessions", session_id))

    def sessions(self) -> Query:
        """`/session/list`."""
        state = self._state

        def rows(access: Access) -> tuple[Any, bool]:
            return seen(state.sessions.all(), lambda row: access.allows("session", row["Node"], "read"))

        return lambda: found(state.latest("sessions"), rows, ("sessions", None))
