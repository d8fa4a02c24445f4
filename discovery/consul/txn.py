"""A transaction of the catalog: what its operations came to, or why it was refused.

Consul answers with one result for each operation that leaves something behind, in order, and says neither which
operation it belongs to nor, for a service, on which node it is. Here each operation gets its own.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from ..errors import ConsulError, quote
from .failures import is_refusal, missing_rule
from .objects import TxnError

Kind = Literal["Node", "Service", "Check", "KV", ""]

_SILENT = frozenset({"delete", "delete-cas", "delete-tree", "check-not-exists"})
"""Verbs that leave nothing behind."""


class Result(msgspec.Struct, gc=False, frozen=True):
    """What one operation left behind.

    Attributes:
        kind: of what; "" where nothing is left, as after a deletion.
        node: of the catalog; "" for a key.
        id: of the service or check; the name of a node; the key.
        modify_index: to compare with at the next write.
    """

    kind: Kind = ""
    node: str = ""
    id: str = ""
    modify_index: int = 0


NOTHING = Result()


class TxnRefused(ConsulError):
    """Nothing of a transaction was done. `errors` are all the operations at fault, by their place among all.

    The reason is `denied` where every one of them was refused by ACL, else `conflict`.
    """

    def __init__(self, message: str, *, errors: Sequence[TxnError], reason: str, next_step: str = "") -> None:
        self.errors = tuple(errors)
        super().__init__(message, status=409, reason=reason, next_step=next_step)


class _Name(msgspec.Struct, gc=False):
    node: str = msgspec.field(default="", name="Node")
    check: str = msgspec.field(default="", name="CheckID")
    service: str = msgspec.field(default="", name="ID")
    key: str = msgspec.field(default="", name="Key")
    modify_index: int = msgspec.field(default=0, name="ModifyIndex")


class _OfService(msgspec.Struct, gc=False):
    verb: str = msgspec.field(default="", name="Verb")
    node: str = msgspec.field(default="", name="Node")
    service: _Name | None = msgspec.field(default=None, name="Service")


class _Verb(msgspec.Struct, gc=False):
    verb: str = msgspec.field(default="", name="Verb")


class _Operation(msgspec.Struct, gc=False):
    node: _Verb | None = msgspec.field(default=None, name="Node")
    service: _OfService | None = msgspec.field(default=None, name="Service")
    check: _Verb | None = msgspec.field(default=None, name="Check")
    kv: _Verb | None = msgspec.field(default=None, name="KV")


class _Left(msgspec.Struct, gc=False):
    node: _Name | None = msgspec.field(default=None, name="Node")
    service: _Name | None = msgspec.field(default=None, name="Service")
    check: _Name | None = msgspec.field(default=None, name="Check")
    kv: _Name | None = msgspec.field(default=None, name="KV")


class _Answer(msgspec.Struct, gc=False):
    results: tuple[_Left, ...] | None = msgspec.field(default=None, name="Results")
    errors: tuple[TxnError, ...] | None = msgspec.field(default=None, name="Errors")


_answer = msgspec.json.Decoder(_Answer)
_operation = msgspec.json.Decoder(_Operation)


def read_results(operations: Sequence[bytes], body: bytes) -> tuple[Result, ...]:
    """What each operation left behind, in their order.

    Raises:
        ValueError: the body is no answer to these operations.
    """
    left = iter(_answer.decode(body).results or ())
    results = tuple(_results(operations, left))
    if next(left, None) is not None:
        raise ValueError("more results than operations")
    return results


def _results(operations: Sequence[bytes], left: Iterator[_Left]) -> Iterator[Result]:
    for one in operations:
        operation = _operation.decode(one)
        kind = _kind(operation)
        asked = operation.service or operation.node or operation.check or operation.kv
        if asked is None or asked.verb in _SILENT:
            yield NOTHING
            continue
        found = next(left, None)
        if found is None or _kind(found) != kind:
            raise ValueError("results that do not fit the operations")
        yield _result(found, operation.service.node if operation.service else "")


def _kind(of: _Operation | _Left) -> Kind:
    if of.service is not None:
        return "Service"
    if of.check is not None:
        return "Check"
    if of.node is not None:
        return "Node"
    return "" if of.kv is None else "KV"


def _result(left: _Left, node: str) -> Result:
    if left.service is not None:
        return Result("Service", node, left.service.service, left.service.modify_index)
    if left.check is not None:
        return Result("Check", left.check.node, left.check.check, left.check.modify_index)
    if left.node is not None:
        return Result("Node", left.node.node, left.node.node, left.node.modify_index)
    assert left.kv is not None
    return Result("KV", "", left.kv.key, left.kv.modify_index)


def refusal(body: bytes, where: str) -> TxnRefused:
    """The error that the answer 409 stands for.

    Raises:
        ValueError: it names no operation.
    """
    errors = _answer.decode(body).errors
    if not errors:
        raise ValueError("a conflict without an operation")
    denied = [one for one in errors if is_refusal(one.what)]
    worst = denied[0] if len(denied) == len(errors) else next(one for one in errors if one not in denied)
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return TxnRefused(
        f"Consul at {where} refused a transaction: {quote(worst.what)}{more}",
        errors=errors,
        reason="denied" if worst in denied else "conflict",
        next_step=_next_step(worst.what) if worst in denied else "Read the state again: somebody else has changed it",
    )


def _next_step(what: str) -> str:
    rule = missing_rule(what)
    return f"Allow it with an ACL policy that holds {rule}" if rule else "Check the policies that the token carries"
