"""Makes a plan so: its transactions in their order, several at a time where the order allows, and empty nodes last."""

import asyncio
from collections.abc import Iterator

from ...consul.api import Read
from ...errors import DiscoveryError
from ...turns import Turns
from ..options import BridgeOptions
from ..plan.batches import Batch, batches
from ..plan.changes import NodeChange, Plan
from ..plan.guard import deletable
from ..plan.units import unit_of
from .catalog import Catalog, read_node
from .limits import Limits
from .outcome import Outcome, Tally
from .sending import Leading, Registry, Sender

__all__ = ["Applier", "Leading", "Outcome", "Registry"]

EXACT = Read(consistency="consistent")


class Applier:
    """Applies plans, one at a time. Keeps the catalog current by what Consul answers, and remembers its limits.

    Args:
        consul: where to write.
        catalog: what it holds; changed with every answer.
        options: of the bridge.
        leading: who may write.
        limits: what is known of how much Consul takes at a time; None begins anew.
    """

    def __init__(
        self,
        consul: Registry,
        catalog: Catalog,
        options: BridgeOptions,
        leading: Leading,
        limits: Limits | None = None,
    ) -> None:
        self.limits = Limits(options.in_flight) if limits is None else limits
        self._consul = consul
        self._catalog = catalog
        self._options = options
        self._leading = leading

    async def apply(self, plan: Plan) -> Outcome:
        """Make it so: nodes first, then what gives clients something, then what takes it away, then empty nodes.

        Raises no `DiscoveryError`: it is in the outcome. Cancelled, what is under way is given up, and its nodes are
        doubtful in the catalog. One fence serves the whole pass: a leadership that was lost and won again in between
        does not go on with what was planned before.
        """
        tally = Tally(plan, self._catalog)
        probed = self._options.probe is not None
        sender = Sender(self._consul, self._catalog, self.limits, self._leading, tally, probed=probed)
        limits = self.limits
        made = batches(plan, self._options, fence=sender.fence, most=limits.operations, longest=limits.body)
        await self._send(made, sender, tally)
        await self._vacate([node for node in plan.nodes if node.action == "delete"], sender, tally)
        return tally.outcome()

    async def _send(self, made: Iterator[Batch], sender: Sender, tally: Tally) -> None:
        """Each batch as soon as it may go, and no further one once the pass is over."""
        turns = Turns()
        async with asyncio.TaskGroup() as group:
            under_way: set[asyncio.Task[None]] = set()
            for batch in made:
                while under_way and (batch.after or len(under_way) >= self.limits.in_flight):
                    _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    turns.start()
                if turns.due():
                    await turns.give()
                if tally.over:
                    return
                under_way.add(group.create_task(sender.send(batch.units)))

    async def _vacate(self, nodes: list[NodeChange], sender: Sender, tally: Tally) -> None:
        """Delete nodes that nothing is on: each by itself, so that no time passes after the last look at it."""

        async def one_by_one() -> None:
            while nodes and not tally.over:
                name = nodes.pop().entry.name
                if not self._catalog.on(name):
                    await self._delete(name, sender, tally)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.limits.in_flight, len(nodes))):
                group.create_task(one_by_one())

    async def _delete(self, name: str, sender: Sender, tally: Tally) -> None:
        try:
            unused = await self._unused(name)
        except DiscoveryError as error:
            tally.stop(error)
            return
        if unused is not None:
            await sender.send((unit_of(unused, probed=False),))

    async def _unused(self, name: str) -> NodeChange | None:
        """The deletion of a node, if nothing is on it right now.

        Consul deletes a node with all that is on it, and compares only the node's own index, which what is registered
        on it does not move. So it is read once more, immediately before.
        """
        services = await self._consul.node_services(name, EXACT)
        checks = await self._consul.node_checks(name, EXACT)
        if services.filtered or checks.filtered:
            return None
        if services.value.node is None:
            self._catalog.drop_node(name)
            return None
        node, held = read_node(services.value, checks.value, self._options.owner)
        if held:
            self._catalog.doubt((name,))
            return None
        self._catalog.put_node(node)
        return NodeChange("delete", node.entry, node) if deletable(node) else None
