"""Reads what Consul holds on the nodes that concern a bridge: those it owns, and those it is about to write on.

Two requests a node, a few at a time; no read depends on how many services there are. Nothing is judged here but whether
an answer is whole: one that Consul has filtered, or that came from a server without a leader, proves no absence.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ...consul.api import Consul
from ...consul.reads import Answer, Read
from ...errors import ConsulError
from ..awaiting import all_of
from ..options import BridgeOptions
from ..records import OWNER, Held, HeldNode
from .catalog import read_node

AT_ONCE = 8
"""Requests at a time: quick enough for 100 nodes, and no burden."""


@attrs.frozen
class Found:
    """What was read.

    Attributes:
        nodes: by name; None where Consul has no such node.
        held: our instances, by node.
        whole: nothing was left out for want of rights.
    """

    nodes: Mapping[str, HeldNode | None]
    held: Mapping[str, tuple[Held, ...]]
    whole: bool


class NodeReader:
    """Reads nodes of Consul's catalog.

    Args:
        consul: the client.
        options: of the bridge: the owner id, and how nodes are called.
    """

    def __init__(self, consul: Consul, options: BridgeOptions) -> None:
        self._consul = consul
        self._owner = options.owner
        self._prefix = f"{options.node_prefix}-{options.owner}"

    def is_called_so(self, name: str) -> bool:
        """Whether a node is called as ours are; one whose name had to be cut may not be."""
        return name == self._prefix or name.startswith(f"{self._prefix}--")

    async def named(self) -> tuple[frozenset[str], bool]:
        """The names of all nodes that are ours, or are called so; and whether the answer was whole.

        Raises:
            ConsulError: it cannot be read.
        """
        ours = f'Meta["{OWNER}"] == "{self._owner}" or Node matches "^{self._prefix}(--|$)"'
        answer = await self._consul.nodes(Read(filter=ours))
        _believe(answer)
        return frozenset(node.name for node in answer.value), not answer.filtered

    async def read(self, names: Iterable[str]) -> Found:
        """These nodes, as they are now.

        Raises:
            ConsulError: one of them cannot be read.
        """
        gate = asyncio.Semaphore(AT_ONCE)
        nodes: dict[str, HeldNode | None] = {}
        held: dict[str, tuple[Held, ...]] = {}
        whole = True

        async def read(name: str) -> None:
            nonlocal whole
            async with gate:
                services = await self._consul.node_services(name)
                checks = await self._consul.node_checks(name) if services.value.node is not None else None
            _believe(services)
            if services.value.node is None or checks is None:
                nodes[name] = None  # from which nothing follows: it is created, or that fails
                return
            _believe(checks)
            whole = whole and not services.filtered and not checks.filtered
            nodes[name], held[name] = read_node(services.value, checks.value, self._owner)

        await all_of(read(name) for name in names)
        return Found(nodes, held, whole)


def _believe(answer: Answer[Any]) -> None:
    if not answer.known_leader:
        raise ConsulError("the server of Consul that answered knows of no leader", reason="no-leader")
