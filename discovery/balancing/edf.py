"""Earliest deadline first: turns in proportion to weights, for any number of backends, in O(log n) a turn.

Virtual time, not seconds: a node's next turn is due one period after its last, and the clock stands at the turn that
was taken last. What a period is, the policy says; it is asked at each turn, so weights and loads may move.
"""

import random
from collections.abc import Callable
from heapq import heapify, heappush, heapreplace
from itertools import count

from .node import Members, Node


class Schedule:
    """Who is next, by deadlines (Envoy's EdfScheduler; equal ones first come, first served).

    The first turn of a node is due at a random moment of its first period: many clients do not march in step, and a
    new backend neither waits for all the others nor is everybody's next.
    """

    def __init__(self, members: Members, period: Callable[[Node], float], rng: random.Random) -> None:
        self._members = members
        self._period = period
        self._phase = rng.random
        self._version = -1
        self._now = 0.0
        self._order = count()
        self._turns: list[tuple[float, int, Node]] = []

    def next(self) -> Node:
        """Take the next turn."""
        if self._members.version != self._version:
            self._follow()
        turns = self._turns
        self._now, _, node = turns[0]
        heapreplace(turns, (self._now + self._period(node), next(self._order), node))
        return node

    def _follow(self) -> None:
        """Those that left lose their turn, those that stay keep it."""
        self._version = self._members.version
        nodes = self._members.nodes
        present = set(nodes)
        self._turns = [turn for turn in self._turns if turn[2] in present]
        heapify(self._turns)
        present.difference_update([node for _, _, node in self._turns])
        for node in nodes if present else ():
            if node in present:
                due = self._now + self._period(node) * self._phase()
                heappush(self._turns, (due, next(self._order), node))
