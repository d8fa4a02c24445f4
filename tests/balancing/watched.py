"""Backends that a test fails and heals at will, a clock that it moves, and the detector that watches them."""

import random
from collections.abc import Iterable

from discovery.balancing.node import Node
from discovery.balancing.outlier import Detector, OutlierDetection, Probe
from discovery.model import Backend


class Watched:
    """What `due` promises is kept: time passes from one step to the next, and each is taken."""

    def __init__(self, count: int, spec: OutlierDetection | None = None, *, seed: int = 7) -> None:
        self.now = 1000.0
        self.changes = 0
        self.nodes: list[Node] = []
        self.detector = Detector(
            spec or OutlierDetection(),
            nodes=self.nodes,
            now=lambda: self.now,
            rng=random.Random(seed),
            changed=self._changed,
        )
        self.armed: float | None = None
        for _ in range(count):
            self.add()

    def __getitem__(self, index: int) -> Node:
        return self.nodes[index]

    @property
    def out(self) -> list[int]:
        """Places of those that are out."""
        return [index for index, node in enumerate(self.nodes) if node in self.detector.out]

    @property
    def usable(self) -> list[Node]:
        return [node for node in self.nodes if node not in self.detector.out]

    def add(self) -> Node:
        node = Node(Backend(address=f"10.0.0.{len(self.nodes) + 1}", port=80), [self.detector])
        self.nodes.append(node)
        return node

    def remove(self, nodes: Iterable[Node]) -> None:
        left = list(nodes)
        for node in left:
            self.nodes.remove(node)
        self.detector.left(left)

    def rest(self, seconds: float) -> None:
        """Time passes; the timer fires when it was last asked to, and never otherwise."""
        end = self.now + seconds
        while self.armed is not None and self.armed <= end:
            self.now = max(self.now, self.armed)
            self.armed = None
            self.detector.step()
            self.armed = self.detector.due()
        self.now = end

    def _changed(self) -> None:
        self.changes += 1
        self.armed = self.detector.due()


def fail(node: Node, times: int = 1, *, throttled: bool = False) -> None:
    """Whole exchanges that fail, as a lease tells of them."""
    for _ in range(times):
        node.in_flight += 1
        node.fail(throttled=throttled)
        node.in_flight -= 1


def succeed(node: Node, times: int = 1) -> None:
    for _ in range(times):
        node.in_flight += 1
        node.successes += 1
        if node.consecutive_failures:
            node.recover()
        node.in_flight -= 1


def cancel(node: Node) -> None:
    node.in_flight += 1
    node.in_flight -= 1


def sent(watched: Watched) -> Probe:
    """The probe that is wanted now."""
    probe = watched.detector.probe()
    assert probe is not None
    return probe
