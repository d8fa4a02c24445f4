"""Each in turn; in proportion to weights where they differ."""

import random

import attrs

from .edf import Schedule
from .node import Key, Members, Node, Picker

SMOOTH = 16
"""Weighted backends up to which the smooth order is used, which looks at all of them; beyond, a schedule."""


@attrs.frozen(kw_only=True)
class RoundRobin:
    """Each backend in turn, from a random one on, so that many clients do not march in step.

    Where weights differ, turns are in proportion to them and well mixed: 5, 1, 1 is a a b a c a a (nginx's smooth
    weighted round robin), above 16 backends by earliest deadline first (Envoy).

    Spreads requests evenly by count; where their costs differ much, `LeastRequest` spreads the load better.
    """

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """The next one, at each call."""
        nodes = members.nodes
        smooth = Smooth(members, rng)
        schedule = Schedule(members, lambda node: 1 / members.weight(node), rng)
        at = rng.randrange(2**32)

        def pick(_key: Key) -> Node:
            nonlocal at
            size = len(nodes)
            if members.weighted and size > 1:
                return smooth.next() if size <= SMOOTH else schedule.next()
            at += 1
            if at >= size:  # a place, not a count of picks: one that comes or goes moves nobody else's turn
                at %= size
            return nodes[at]

        return pick


class Smooth:
    """At each turn all are given credit by their weight, and the one that has most pays for all."""

    def __init__(self, members: Members, rng: random.Random) -> None:
        self._members = members
        self._phase = rng.random
        self._version = -1
        self._credit: dict[Node, float] = {}

    def next(self) -> Node:
        """Take the next turn."""
        if self._members.version != self._version:
            self._follow()
        credit, total = self._credit, 0.0
        for node in credit:
            weight = self._members.weight(node)
            total += weight
            credit[node] += weight
        best = max(credit, key=credit.__getitem__)
        credit[best] -= total
        return best

    def _follow(self) -> None:
        """A newcomer begins at a random place of its first turn's wait."""
        self._version = self._members.version
        before, self._credit = self._credit, {}
        for node in self._members.nodes:
            known = before.get(node)
            self._credit[node] = self._members.weight(node) * (self._phase() - 1) if known is None else known
