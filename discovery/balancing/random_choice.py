"""Any of them, by chance."""

import random
from bisect import bisect
from itertools import accumulate

import attrs

from .hashing import weight as own_weight
from .node import Key, Members, Node, Picker

DRAWS = 16
"""Draws that may be rejected before the weights of all are summed up as they are now."""


@attrs.frozen(kw_only=True)
class Random:
    """A backend at random, in proportion to weights where they differ.

    Needs no state and no memory of what was picked before, so it has no preference for the neighbour of a backend that
    has just left. The spread is that of balls thrown into bins: with few requests under way, some backends have several
    and others none.
    """

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """One of them, at each call."""
        nodes = members.nodes
        draw = rng.random
        weighted = Weighted(members, rng)

        def pick(_key: Key) -> Node:
            size = len(nodes)
            if size == 1:
                return nodes[0]
            if members.weighted:
                return weighted.draw()
            return nodes[int(draw() * size)]

        return pick


class Weighted:
    """Draws by weight, in O(log n): by sums of the backends' weights, made once for each version of the members.

    While some start slowly, a draw is kept with the chance that their factors leave it, else drawn again.
    """

    def __init__(self, members: Members, rng: random.Random) -> None:
        self._members = members
        self._rng = rng
        self._version = -1
        self._sums: list[float] = []
        self._most = 0.0

    def draw(self) -> Node:
        """One of them."""
        members, chance = self._members, self._rng.random
        if members.version != self._version:
            self._version = members.version
            self._sums = list(accumulate(own_weight(node) for node in members.nodes))
            self._most = max(map(self._factor, members.nodes))
        for _ in range(DRAWS):
            node = members.nodes[bisect(self._sums, chance() * self._sums[-1], hi=len(self._sums) - 1)]
            factor = self._factor(node)
            self._most = max(self._most, factor)  # factors grow with no change of version
            if chance() * self._most < factor:
                return node
        return self._rng.choices(members.nodes, [members.weight(node) for node in members.nodes])[0]

    def _factor(self, node: Node) -> float:
        return self._members.weight(node) / own_weight(node)
