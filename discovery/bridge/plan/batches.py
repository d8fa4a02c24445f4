"""A plan cut into transactions: as few as the limits allow, in the order that nobody is ever left with nothing. Pure.

Three phases follow each other: nodes, what gives clients something, what takes something away. The transactions of
one phase may go in any order, and at once. A transaction that ends one phase is filled up from the next.

Batches are made as they are asked for: to encode 15,000 instances takes a third of a second, which is not taken at
once.
"""

from collections.abc import Iterable, Iterator

import attrs

from ..options import BridgeOptions
from .changes import Change, NodeChange, Plan
from .units import Unit, unit_of

MOST_OPERATIONS = 128
"""Of a transaction, since Consul 1.14; 64 before."""

LONGEST_BODY = 400 * 1024
"""Bytes of a transaction; Consul takes 512 KiB where it is not told otherwise."""

NODES, GIVES, TAKES = range(3)


@attrs.frozen
class Batch:
    """One transaction, without its fence.

    Attributes:
        units: in their order.
        after: everything before it must have been answered before it is sent.
    """

    units: tuple[Unit, ...]
    after: bool = False

    @property
    def operations(self) -> list[bytes]:
        """Of all units, in their order."""
        return [operation for unit in self.units for operation in unit.operations]


def batches(
    plan: Plan,
    options: BridgeOptions,
    *,
    fence: bytes | None = None,
    most: int = MOST_OPERATIONS,
    longest: int = LONGEST_BODY,
) -> Iterator[Batch]:
    """The transactions of a plan, in order, each made when it is asked for.

    The deletion of nodes is not among them: what is on a node is looked at once more, right before.

    Args:
        plan: what to do.
        options: of the bridge.
        fence: the operation that will begin each of them: there is room left for it.
        most: operations of each, with the fence.
        longest: bytes of each, with the fence; a unit that is longer has a batch of its own.
    """
    probed = options.probe is not None
    phases: list[int] = []

    def units() -> Iterator[Unit]:
        for phase, change in in_order(plan):
            phases.append(phase)
            yield unit_of(change, probed)

    earlier = TAKES
    for group in packed(units(), fence=fence, most=most, longest=longest):
        lowest, highest = phases[0], phases[len(group) - 1]
        yield Batch(group, after=earlier < highest)
        del phases[: len(group)]
        earlier = lowest


def in_order(plan: Plan) -> Iterator[tuple[int, Change | NodeChange]]:
    """Every change and its phase, phase after phase, and in each node after node."""
    for node in plan.nodes:
        if node.action != "delete":
            yield NODES, node
    gives = [change for change in (*plan.register, *plan.update) if not change.withdraws]
    takes = [change for change in plan.update if change.withdraws]
    for change in sorted(gives, key=_place):
        yield GIVES, change
    for change in (*sorted(takes, key=_place), *sorted(plan.deregister, key=_place)):
        yield TAKES, change


def _place(change: Change) -> str:
    return change.instance.node


def packed(
    units: Iterable[Unit], *, fence: bytes | None = None, most: int = MOST_OPERATIONS, longest: int = LONGEST_BODY
) -> Iterator[tuple[Unit, ...]]:
    """The units in groups that fit into a transaction, in the order they come, none of them parted.

    Args:
        units: at least one operation each.
        fence: the operation that will begin each transaction.
        most: operations of a transaction, with the fence.
        longest: bytes of a transaction, with the fence.
    """
    room, space = (most, longest - 2) if fence is None else (most - 1, longest - 3 - len(fence))
    group: list[Unit] = []
    count = size = 0
    for unit in units:
        if group and (count + len(unit.operations) > room or size + unit.size > space):
            yield tuple(group)
            group, count, size = [], 0, 0
        group.append(unit)
        count += len(unit.operations)
        size += unit.size
    if group:
        yield tuple(group)
