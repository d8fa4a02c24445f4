"""What must happen together: one change, as the operations that make it and what they leave behind. Pure."""

from collections.abc import Iterator, Mapping

import attrs

from ..records import Held, HeldNode, Instance
from .changes import Change, NodeChange, probe_differs, readiness_differs, same_service
from .operations import (
    node_cas,
    node_delete,
    probe_cas,
    probe_definition,
    probe_delete,
    probe_id,
    readiness_cas,
    readiness_id,
    service_cas,
    service_delete,
)

Wrote = tuple[str, str, str]
"""What an operation was about: its kind, the node, and the id (for a node, its name)."""

Step = tuple[bytes, Wrote | None]
"""An operation, and what it leaves behind: nothing where it deletes."""


@attrs.frozen
class Unit:
    """A change, and the operations that make it. They are never parted.

    Attributes:
        change: which.
        operations: in the order that Consul needs them: a service before its checks.
        wrote: what they leave behind.
        size: their bytes in the body of a transaction, with a comma each.
    """

    change: Change | NodeChange
    operations: tuple[bytes, ...]
    wrote: tuple[Wrote, ...]
    size: int

    @property
    def node(self) -> str:
        """The node of the catalog that is written on."""
        change = self.change
        return change.instance.node if isinstance(change, Change) else change.entry.name


def unit_of(change: Change | NodeChange, probed: bool) -> Unit:
    """The operations of a change.

    Args:
        change: which.
        probed: whether each instance has a check for consul-esm.
    """
    steps = tuple(_of_node(change) if isinstance(change, NodeChange) else _of_instance(change, probed))
    operations = tuple(operation for operation, _ in steps)
    wrote = tuple(what for _, what in steps if what is not None)
    return Unit(change, operations, wrote, sum(map(len, operations)) + len(operations))


def _of_node(change: NodeChange) -> Iterator[Step]:
    name, index = change.entry.name, change.held.index if change.held else 0
    if change.action == "delete":
        yield node_delete(name, index), None
    else:
        yield node_cas(change.entry, index), ("Node", name, name)


def _of_instance(change: Change, probed: bool) -> Iterator[Step]:
    instance, node, held = change.instance, change.instance.node, change.held
    if held is None:
        yield from _new(instance, probed)
        return
    if change.action == "deregister":
        yield service_delete(held.instance, held.index), None
        return
    if held.index and held.instance.service != instance.service:
        # Whoever waits for the old name would not be woken by a change: Consul moves the index of the new one only.
        yield service_delete(held.instance, held.index), None
        yield from _new(instance, probed)
        return
    if held.index == 0 or not same_service(held.instance, instance):
        yield service_cas(instance, held.index), ("Service", node, instance.id)
    if readiness_differs(held, instance):
        yield readiness_cas(instance, held.check_index), ("Check", node, readiness_id(instance.id))
    if probe_differs(held, instance, probed):
        if probed:
            yield probe_cas(instance, held.probe_index), ("Check", node, probe_id(instance.id))
        else:
            yield probe_delete(held.instance, held.probe_index), None


def _new(instance: Instance, probed: bool) -> Iterator[Step]:
    node = instance.node
    yield service_cas(instance, 0), ("Service", node, instance.id)
    yield readiness_cas(instance, 0), ("Check", node, readiness_id(instance.id))
    if probed:
        yield probe_cas(instance, 0), ("Check", node, probe_id(instance.id))


def held_after(change: Change, probed: bool, indexes: Mapping[Wrote, int]) -> Held:
    """An instance as Consul holds it once its unit has been taken.

    Args:
        change: no deregistration.
        probed: whether it has a check for consul-esm.
        indexes: the new ModifyIndex of what was written.
    """
    instance, node, held = change.instance, change.instance.node, change.held
    index, check, probe = (held.index, held.check_index, held.probe_index) if held is not None else (0, 0, 0)
    return Held(
        instance=instance,
        index=indexes.get(("Service", node, instance.id), index),
        check_index=indexes.get(("Check", node, readiness_id(instance.id)), check),
        probe=probe_definition(instance) if probed else None,
        probe_index=indexes.get(("Check", node, probe_id(instance.id)), probe) if probed else 0,
    )


def node_after(change: NodeChange, known: HeldNode | None, indexes: Mapping[Wrote, int]) -> HeldNode:
    """A node as Consul holds it once it has been created or changed.

    Args:
        change: no deletion.
        known: as it was known until now.
        indexes: the new ModifyIndex of what was written.
    """
    name = change.entry.name
    index = indexes.get(("Node", name, name), known.index if known else 0)
    if known is None:
        return HeldNode(entry=change.entry, index=index, owned=True)
    return attrs.evolve(known, entry=change.entry, index=index)
