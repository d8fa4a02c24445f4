"""Each in turn."""

import random

import attrs

from .node import Key, Members, Node, Picker


@attrs.frozen(kw_only=True)
class RoundRobin:
    """Each backend in turn, from a random one on, so that many clients do not march in step.

    Spreads requests evenly by count; where their costs differ much, `LeastRequest` spreads the load better.
    """

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """The next one, at each call."""
        nodes = members.nodes
        at = rng.randrange(2**32)

        def pick(_key: Key) -> Node:
            nonlocal at
            at += 1
            return nodes[at % len(nodes)]

        return pick
