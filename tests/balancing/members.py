"""Members that a test changes as a pool would, and backends to make them of."""

import random
from collections.abc import Callable, Iterable

import attrs

from discovery.balancing import Node
from discovery.model import Backend


@attrs.define
class Some:
    """Changed in place. `slow`: weights of those that start slowly; `time`: the clock; `work`: what was offloaded."""

    nodes: list[Node]
    version: int = 0
    slow: dict[Node, float] = attrs.field(factory=dict)
    time: float = 0.0
    work: list[Callable[[], None]] = attrs.field(factory=list)

    @property
    def weighted(self) -> bool:
        return len({self.weight(node) for node in self.nodes}) > 1

    def weight(self, node: Node) -> float:
        return self.slow.get(node, node.backend.weight or 1.0)

    def now(self) -> float:
        return self.time

    def offload(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def become(self, nodes: Iterable[Node]) -> None:
        """Those are there now."""
        self.nodes[:] = nodes
        self.version += 1

    def weigh(self, *weights: float) -> None:
        """Of the nodes in their order."""
        for node, weight in zip(self.nodes, weights, strict=True):
            node.backend = attrs.evolve(node.backend, weight=weight)
        self.version += 1

    def work_off(self) -> None:
        """What was offloaded is done now."""
        while self.work:
            self.work.pop(0)()


def members(count: int) -> Some:
    """So many backends of weight 1."""
    return Some([node(f"10.0.{number >> 8}.{number & 255}") for number in range(count)])


def node(address: str, port: int = 80, weight: float = 1.0) -> Node:
    """A record of a backend."""
    return Node(Backend(address=address, port=port, weight=weight))


class FromTheStart(random.Random):
    """Every first turn is due after a whole period, as in nginx and in Envoy's tests."""

    def random(self) -> float:
        return 1.0

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return 0
