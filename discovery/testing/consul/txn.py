"""Transactions of the simulated server: all of the operations or none, and every reason why not."""

from collections.abc import Callable, Sequence

from . import bodies, rows
from .acl import Access
from .bodies import CheckOperation, KeyOperation, NodeOperation, Operation, ServiceOperation
from .catalog import Catalog, may_drop, may_set
from .refusals import Refused, quoted
from .sessions import Sessions, drop_key, lock_key, put_key, unlock_key
from .tables import Json, State

OPERATIONS = 128
"""How many one transaction may have."""

_CATALOG_VERBS = ("get", "set", "cas", "delete", "delete-cas")
_KEY_READS = ("get", "get-or-empty", "get-tree", "check-index", "check-session", "check-not-exists")
_KEY_WRITES = ("set", "cas", "lock", "unlock", "delete", "delete-cas", "delete-tree")


class Failed(Exception):
    """A transaction that was not applied. `errors` has one entry for each operation that could not be."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__(errors)
        self.errors = errors


class Transactions:
    """Applies transactions to a state."""

    def __init__(self, state: State, catalog: Catalog, sessions: Sessions, datacenter: str) -> None:
        self._state = state
        self._catalog = catalog
        self._sessions = sessions
        self._datacenter = datacenter

    def apply(self, operations: Sequence[Operation], access: Access) -> list[Json]:
        """Do all of it; gives the results of the operations that have one, in their order.

        Raises:
            Failed: none of it was done.
            Refused: it is no transaction at all (400).
        """
        operations = [operation for operation in operations if not _is_empty(operation)]
        _check_times(operations)
        self._each(operations, lambda operation: self._check(operation, access))
        if not any(map(is_write, operations)):
            return self._each(operations, lambda operation: self._run(self._state.index, operation))
        with self._state.write() as at:
            return self._each(operations, lambda operation: self._run(at, operation))

    def _each(self, operations: Sequence[Operation], do: Callable[[Operation], list[Json]]) -> list[Json]:
        """All of them, even after one has failed: what comes later may then fail for that reason."""
        results: list[Json] = []
        errors: list[Json] = []
        for index, operation in enumerate(operations):
            try:
                results += do(operation)
            except Refused as refused:
                errors.append({"OpIndex": index, "What": refused.what})
        if errors:
            raise Failed(errors)
        return results

    # What is refused before anything is done

    def _check(self, operation: Operation, access: Access) -> list[Json]:
        if operation.kv is not None:
            self._check_key(operation.kv, access)
        elif operation.node is not None:
            _known(operation.node.verb, "node")
            if operation.node.verb != "get":
                _check_node(operation.node, access)
        elif operation.service is not None:
            _known(operation.service.verb, "service")
            if operation.service.verb != "get":
                check_service(operation.service.service, access)
        else:
            assert operation.check is not None
            _known(operation.check.verb, "check")
            check = operation.check.check
            if operation.check.verb != "get" and check.service_id:
                access.demand("service", check.service_name or "", "write")
            elif operation.check.verb != "get":
                access.demand("node", check.node or "", "write")
        return []

    def _check_key(self, operation: KeyOperation, access: Access) -> None:
        key, verb = operation.key or "", operation.verb
        if not key and verb != "delete-tree":
            raise Refused("Must provide key")
        if verb in ("check-index", "check-session"):
            access.demand("key", key, "read")
        elif verb in _KEY_WRITES or verb == "check-not-exists":
            access.demand("key", key, "write")
        elif verb not in _KEY_READS:
            raise Refused(f"unknown KV operation: {verb}")
        if verb == "lock" and self._sessions.delayed(key):
            raise Refused(f"failed to lock key {quoted(key)} due to lock delay")

    # What is done

    def _run(self, at: int, operation: Operation) -> list[Json]:
        if operation.kv is not None:
            return [{"KV": row} for row in self._key(at, operation.kv)]
        if operation.node is not None:
            found, kind = self._node(at, operation.node), "Node"
        elif operation.service is not None:
            found, kind = self._service(at, operation.service), "Service"
        else:
            assert operation.check is not None
            found, kind = self._check_operation(at, operation.check), "Check"
        return [] if found is None else [{kind: found}]

    def _node(self, at: int, operation: NodeOperation) -> Json | None:
        name, index = operation.node.node or "", operation.node.modify_index
        stored = self._state.nodes.get(name.lower())
        if operation.verb == "get":
            if stored is None:
                raise Refused(f"node {quoted(name)} doesn't exist")
            return stored
        _guard(operation.verb, stored, index, f"node {quoted(name)}")
        if operation.verb in ("set", "cas"):
            return self._catalog.put_node(at, rows.node_row(operation.node, self._datacenter))
        self._catalog.drop_node(at, name)
        return None

    def _service(self, at: int, operation: ServiceOperation) -> Json | None:
        node, row = operation.node or "", rows.service_row(operation.service, in_transaction=True)
        service_id = operation.service.id or "" if operation.verb == "get" else row["ID"]
        stored = self._state.services.get((node.lower(), service_id.lower()))
        what = f"service {quoted(service_id)} on node {quoted(node)}"
        if operation.verb == "get":
            if stored is None:
                raise Refused(f"{what} doesn't exist")
            return stored
        _guard(operation.verb, stored, operation.service.modify_index, what)
        if operation.verb in ("set", "cas"):
            return self._catalog.put_service(at, node, row)
        self._catalog.drop_service(at, node, service_id)
        return None

    def _check_operation(self, at: int, operation: CheckOperation) -> Json | None:
        row = rows.check_row(operation.check, "", in_transaction=True)
        node, check_id = row["Node"], row["CheckID"]
        stored = self._state.checks.get((node.lower(), check_id.lower()))
        what = f"check {quoted(check_id)} on node {quoted(node)}"
        if operation.verb == "get":
            if stored is None:
                raise Refused(f"{what} doesn't exist")
            return stored
        _guard(operation.verb, stored, operation.check.modify_index, what)
        if operation.verb in ("set", "cas"):
            return self._catalog.put_check(at, row)
        self._catalog.drop_check(at, node, check_id)
        return None

    # Keys

    def _key(self, at: int, operation: KeyOperation) -> list[Json]:
        state, key = self._state, operation.key or ""
        if operation.verb in _KEY_READS:
            return self._read_key(operation, key)
        if operation.verb == "delete-tree":
            for name in [name for name in state.keys.rows if name.startswith(key)]:
                drop_key(state, at, name)
            return []
        if operation.verb in ("delete", "delete-cas"):
            stored = state.keys.get(key)
            if operation.verb == "delete-cas" and stored and stored["ModifyIndex"] != operation.index:
                raise Refused(f"failed to delete key {quoted(key)}, index is stale")
            drop_key(state, at, key)
            return []
        return [{**self._write_key(at, operation, key), "Value": None}]

    def _write_key(self, at: int, operation: KeyOperation, key: str) -> Json:
        state, session = self._state, operation.session or ""
        row = {"Key": key, "Flags": operation.flags, "Value": operation.value or None}
        written: Json | None
        if operation.verb == "lock":
            written = lock_key(state, at, row, session)
            if written is None:
                raise Refused(f"failed to lock key {quoted(key)}, lock is already held")
        elif operation.verb == "unlock":
            written = unlock_key(state, at, row, session)
            if written is None:
                reason = "lock isn't held, or is held by another session"
                raise Refused(f"failed to unlock key {quoted(key)}, {reason}")
        else:
            if operation.verb == "cas" and not may_set(state.keys.get(key), operation.index):
                raise Refused(f"failed to set key {quoted(key)}, index is stale")
            written = put_key(state, at, row)
        return written

    def _read_key(self, operation: KeyOperation, key: str) -> list[Json]:
        verb, stored = operation.verb, self._state.keys.get(key)
        if verb == "get-tree":
            return [row for row in self._state.keys.all() if row["Key"].startswith(key)]
        if verb == "check-not-exists":
            if stored is not None:
                raise Refused(f"key {quoted(key)} exists")
            return []
        if stored is None:
            if verb == "get-or-empty":
                return [{"LockIndex": 0, "Key": key, "Flags": 0, "Value": None, "CreateIndex": 0, "ModifyIndex": 0}]
            doing = {"check-session": "failed to check session, ", "check-index": "failed to check index, "}
            raise Refused(f"{doing.get(verb, '')}key {quoted(key)} doesn't exist")
        if verb in ("get", "get-or-empty"):
            return [stored]
        _check_holder(operation, key, stored)
        return [{**stored, "Value": None}]


def _is_empty(operation: Operation) -> bool:
    """One that says nothing is left out, and is not counted in what is told of the others."""
    return not (operation.kv or operation.node or operation.service or operation.check)


def _check_times(operations: Sequence[Operation]) -> None:
    """Durations are read with the body: one that is none refuses all of it."""
    for operation in operations:
        if operation.check is not None:
            try:
                rows.check_row(operation.check.check, "", in_transaction=True)
            except Refused as refused:
                raise Refused(f"Failed to parse body: {refused.what}", refused.code) from None


def is_write(operation: Operation) -> bool:
    """Whether an operation changes something, if it is applied."""
    if operation.kv is not None:
        return operation.kv.verb in _KEY_WRITES
    rest = operation.node or operation.service or operation.check
    return rest is not None and rest.verb != "get"


def check_service(service: bodies.Service, access: Access) -> None:
    """What is asked of an instance before it is written, or deleted."""
    if service.id and not service.service:
        raise Refused("Must provide service name (Service.Service) when service ID is provided")
    if service.address in ("0.0.0.0", "::", "[::]"):  # noqa: S104 - refused
        raise Refused("Invalid service address")
    if service.service != "consul":
        access.demand("service", service.service or "", "write")


def _check_node(operation: NodeOperation, access: Access) -> None:
    if not operation.node.node:
        raise Refused("Must provide node")
    if operation.node.id and len(operation.node.id) != 36:
        raise Refused("Bad node ID: uuid string is wrong length")
    access.demand("node", operation.node.node, "write")


def _known(verb: str, kind: str) -> None:
    if verb not in _CATALOG_VERBS:
        raise Refused(f"unknown {kind} operation: {verb}")


def _guard(verb: str, stored: Json | None, index: int, what: str) -> None:
    if verb == "cas" and not may_set(stored, index):
        raise Refused(f"failed to set {what}, index is stale")
    if verb == "delete-cas" and not may_drop(stored, index):
        raise Refused(f"failed to delete {what}, index is stale")


def _check_holder(operation: KeyOperation, key: str, stored: Json) -> None:
    holder, session = stored.get("Session", ""), operation.session or ""
    if operation.verb == "check-session" and holder != session:
        text = f"current session {quoted(holder)} != {quoted(session)}"
        raise Refused(f"failed session check for key {quoted(key)}, {text}")
    if operation.verb == "check-index" and stored["ModifyIndex"] != operation.index:
        text = f"current modify index {stored['ModifyIndex']} != {operation.index}"
        raise Refused(f"failed index check for key {quoted(key)}, {text}")
