"""What a write to the simulated catalog does: nodes, service instances and checks, and the indexes that it moves."""

import re

from .refusals import Refused
from .sessions import Sessions
from .tables import INDEXES, Json, State

MISSING_NODE = "Missing node registration"
MISSING_SERVICE = "Missing service registration"

_META_KEY = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_RAFT = frozenset(INDEXES)
_DERIVED = _RAFT | {"Type", "Interval", "Timeout", "ExposedPort"}


class Catalog:
    """Nodes, instances and checks of one state.

    What is given is a row as `rows` makes it, what is stored is returned. A write of what is already there changes
    nothing, no index either.
    """

    def __init__(self, state: State, sessions: Sessions) -> None:
        self._state = state
        self._sessions = sessions

    # Nodes

    def put_node(self, at: int, node: Json) -> Json:
        """Insert or change a node. One with the id of another renames that: everything on it goes."""
        state, name = self._state, node["Node"].lower()
        found = self._of_id(node["ID"]) if node["ID"] else None
        if found is not None and found["Node"].lower() != name:
            self.drop_node(at, found["Node"])
        stored = found or state.nodes.get(name)
        if stored is not None and same({**node, "Node": name}, {**stored, "Node": stored["Node"].lower()}, _RAFT):
            return stored
        row = {**node, "CreateIndex": stored["CreateIndex"] if stored else at, "ModifyIndex": at}
        state.nodes.put(name, row)
        state.bump(at, "nodes", f"node.{name}", *self._services_on(name))
        return row

    def drop_node(self, at: int, name: str) -> None:
        """Remove a node with all that is on it, and the sessions that it holds."""
        state, key = self._state, name.lower()
        stored = state.nodes.get(key)
        if stored is None:
            return
        for place in state.services.keys_by("node", key):
            self.drop_service(at, *place)
        for place in state.checks.keys_by("node", key):
            self.drop_check(at, *place)
        state.nodes.drop(key)
        state.bump(at, "nodes", "node_extinction")
        state.indexes.drop(f"node.{key}")
        for session in state.sessions.by("node", key):
            self._sessions.end(at, session["ID"])

    def _of_id(self, node_id: str) -> Json | None:
        return next((row for row in self._state.nodes.rows.values() if row["ID"] == node_id), None)

    def _services_on(self, node: str) -> set[str]:
        return {f"service.{row['Service'].lower()}" for row in self._state.services.by("node", node)}

    # Instances

    def put_service(self, at: int, node: str, service: Json) -> Json:
        """Insert or change an instance; its id says which."""
        state, key = self._state, (node.lower(), service["ID"].lower())
        _check_meta(node, service)
        if state.nodes.get(key[0]) is None:
            raise Refused(MISSING_NODE)
        stored = state.services.get(key)
        if stored is not None and same(service, stored, _RAFT):
            return stored
        row = {**service, "CreateIndex": stored["CreateIndex"] if stored else at, "ModifyIndex": at}
        state.services.put(key, row)
        state.bump(at, "services", f"service.{row['Service'].lower()}", "nodes", f"node.{key[0]}")
        return row

    def drop_service(self, at: int, node: str, service_id: str) -> None:
        """Remove an instance and its checks."""
        state, key = self._state, (node.lower(), service_id.lower())
        stored = state.services.get(key)
        if stored is None:
            return
        for place in state.checks.keys_by("instance", key):
            self.drop_check(at, *place)
        state.services.drop(key)
        state.bump(at, "checks", "services", "nodes", f"node.{key[0]}")
        name = stored["Service"].lower()
        if state.services.keys_by("service", name):
            state.bump(at, f"service.{name}")
        else:
            state.indexes.drop(f"service.{name}")
            state.bump(at, "service_extinction")

    # Checks

    def put_check(self, at: int, check: Json) -> Json:
        """Insert or change a check, of a node or of one of its instances."""
        state, key = self._state, (check["Node"].lower(), check["CheckID"].lower())
        if not key[1]:
            raise Refused("failed health check lookup: index error: object is missing a value for this index")
        check = {**check, "Status": check["Status"] or "critical"}
        if state.nodes.get(key[0]) is None:
            raise Refused(MISSING_NODE)
        touched = self._services_on(key[0])
        if check["ServiceID"]:
            service = state.services.get((key[0], check["ServiceID"].lower()))
            if service is None:
                raise Refused(MISSING_SERVICE)
            check |= {"ServiceName": service["Service"], "ServiceTags": service["Tags"]}
            touched = {f"service.{service['Service'].lower()}"}
        stored = state.checks.get(key)
        if check["Status"] == "critical":
            self._sessions.end_with(at, key)
        if stored is not None and same(check, stored, _DERIVED):
            return stored
        row = {**check, "CreateIndex": stored["CreateIndex"] if stored else at, "ModifyIndex": at}
        state.checks.put(key, row)
        state.bump(at, "checks", *touched)
        return row

    def drop_check(self, at: int, node: str, check_id: str) -> None:
        """Remove a check."""
        state, key = self._state, (node.lower(), check_id.lower())
        stored = state.checks.get(key)
        if stored is None:
            return
        state.checks.drop(key)
        if stored["ServiceID"]:
            state.bump(at, "checks", f"service.{stored['ServiceName'].lower()}")
        else:
            state.bump(at, "checks", "services", *self._services_on(key[0]))
        self._sessions.end_with(at, key)


def same(row: Json, other: Json, ignored: frozenset[str]) -> bool:
    """Whether two rows say the same, these fields aside."""
    return all(row.get(name) == other.get(name) for name in row.keys() | other.keys() if name not in ignored)


def may_set(stored: Json | None, index: int) -> bool:
    """Whether a `cas` with this ModifyIndex goes through; 0 means that there must be nothing."""
    return stored is None if index == 0 else stored is not None and stored["ModifyIndex"] == index


def may_drop(stored: Json | None, index: int) -> bool:
    """Whether a `delete-cas` with this ModifyIndex goes through: of what is not there it never does."""
    return stored is not None and stored["ModifyIndex"] == index


def _check_meta(node: str, service: Json) -> None:
    meta: dict[str, str] = service["Meta"] or {}
    where = f"Invalid Service Meta for node {node} and serviceID {service['ID']}: "
    if len(meta) > 64:
        raise Refused(where + "Node metadata cannot contain more than 64 key/value pairs")
    for key, value in meta.items():
        if reason := _bad_pair(key, value):
            raise Refused(f"{where}Couldn't load metadata pair ('{key}', '{value}'): {reason}")


def _bad_pair(key: str, value: str) -> str:
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > 128:
        return "Key is too long (limit: 128 characters)"
    if key.startswith("consul-"):
        return "Key prefix 'consul-' is reserved for internal use"
    return "Value is too long (limit: 512 characters)" if len(value.encode()) > 512 else ""
