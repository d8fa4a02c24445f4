"""Sessions and the key-value store with its locks, as the simulated server keeps them."""

import uuid
from collections.abc import Callable

from . import durations
from .refusals import Refused, quoted
from .tables import Json, RowKey, State

TTL_MAX = 86400.0
LOCK_DELAY_MAX = 60.0


class Sessions:
    """The sessions of one state: what they hold is released, or deleted, with them.

    Args:
        state: where they are.
        clock: the time in seconds, for lock delays.
        ttl_min: the shortest time to live, in seconds (Consul's `session_ttl_min`).
    """

    def __init__(self, state: State, clock: Callable[[], float], ttl_min: float) -> None:
        self._state = state
        self._clock = clock
        self._ttl_min = ttl_min
        self._delays: dict[str, float] = {}

    def begin(self, at: int, session: Json) -> Json:
        """Store a new session; gives it its id."""
        state = self._state
        if session["Behavior"] not in ("release", "delete"):
            raise Refused(f"Invalid Behavior setting '{session['Behavior']}'")
        self._check_ttl(session["TTL"])
        node = session["Node"].lower()
        if state.nodes.get(node) is None:
            raise Refused("apply failed: Missing node registration")
        for check_id in session["NodeChecks"]:
            check = state.checks.get((node, check_id.lower()))
            if check is None:
                raise Refused(f"apply failed: Missing check '{check_id}' registration")
            if check["Status"] == "critical":
                raise Refused(f"apply failed: Check '{check_id}' is in critical state")
        row = {**session, "ID": str(uuid.uuid4()), "CreateIndex": at, "ModifyIndex": at}
        state.sessions.put(row["ID"], row)
        state.bump(at, "sessions")
        return row

    def _check_ttl(self, text: str) -> None:
        ttl = durations.seconds(text)
        if ttl is None:
            raise Refused(f"Session TTL '{text}' invalid: time: invalid duration {quoted(text)}")
        if ttl and not self._ttl_min <= ttl <= TTL_MAX:
            between = f"[{durations.written(self._ttl_min)}={durations.written(TTL_MAX)}]"
            raise Refused(f"Invalid Session TTL '{round(ttl * 1e9)}', must be between {between}")

    def end(self, at: int, session_id: str) -> None:
        """Invalidate a session: its locks become free after its lock delay, or their keys go."""
        state = self._state
        session = state.sessions.get(session_id)
        if session is None:
            return
        state.sessions.drop(session_id)
        state.bump(at, "sessions")
        delay = min(session["LockDelay"] / 1e9, LOCK_DELAY_MAX)
        for key in state.keys.keys_by("session", session_id):
            if session["Behavior"] == "delete":
                drop_key(state, at, key)
            else:
                row = {name: value for name, value in state.keys.rows[key].items() if name != "Session"}
                state.keys.put(key, {**row, "ModifyIndex": at})
                state.bump(at, "kvs")
            if delay:
                self._delays[key] = self._clock() + delay

    def end_with(self, at: int, check: RowKey) -> None:
        """Invalidate the sessions that depend on a check of a node."""
        for session in self._state.sessions.by("node", check[0]):
            if check[1] in (name.lower() for name in session["NodeChecks"]):
                self.end(at, session["ID"])

    def delayed(self, key: str) -> bool:
        """Whether nobody may lock this key yet."""
        return self._clock() < self._delays.get(key, float("-inf"))


# Keys


def put_key(state: State, at: int, row: Json, *, session: str | None = None) -> Json:
    """Insert or change a key. Who holds it stays as it is, unless `session` ("" is nobody) says otherwise."""
    key, stored = row["Key"], state.keys.get(row["Key"])
    holder = stored.get("Session", "") if stored and session is None else session or ""
    row = {"LockIndex": 0, **row}
    row.pop("Session", None)
    row |= {"Session": holder} if holder else {}
    if (
        stored is not None
        and {**row, "CreateIndex": stored["CreateIndex"], "ModifyIndex": stored["ModifyIndex"]} == stored
    ):
        return stored
    row |= {"CreateIndex": stored["CreateIndex"] if stored else at, "ModifyIndex": at}
    state.keys.put(key, row)
    state.bump(at, "kvs")
    return row


def drop_key(state: State, at: int, key: str) -> None:
    """Remove a key, if there is one; a tombstone remains."""
    if state.keys.get(key) is not None:
        state.keys.drop(key)
        state.graves.put(key, at)
        state.bump(at, "kvs", "tombstones")


def lock_key(state: State, at: int, row: Json, session: str) -> Json | None:
    """Have a session hold a key with a new value; None where another does."""
    if not session:
        raise Refused("missing session")
    if state.sessions.get(session) is None:
        raise Refused(f"invalid session {quoted(session)}")
    stored = state.keys.get(row["Key"])
    holder, count = (stored.get("Session", ""), stored["LockIndex"]) if stored else ("", 0)
    if holder not in ("", session):
        return None
    return put_key(state, at, {**row, "LockIndex": count + (holder != session)}, session=session)


def unlock_key(state: State, at: int, row: Json, session: str) -> Json | None:
    """Have nobody hold a key, with a new value; None where this session does not hold it."""
    if not session:
        raise Refused("missing session")
    stored = state.keys.get(row["Key"])
    if stored is None or stored.get("Session", "") != session:
        return None
    return put_key(state, at, {**row, "LockIndex": stored["LockIndex"]}, session="")
