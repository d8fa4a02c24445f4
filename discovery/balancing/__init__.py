"""Which backend next: one file a policy; no I/O, no clock.

A policy is a frozen specification. `picker` turns it into a function over the members of a pool; the function may keep
state of its own (a position, a table), the specification never does.
"""

import random
from typing import Protocol, runtime_checkable

from .least_request import LeastRequest
from .node import Key, Members, Node, Picker
from .round_robin import RoundRobin


@runtime_checkable
class Balancer(Protocol):
    """A policy. Equal policies share a pool, so it must be hashable and must not change."""

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """A function that returns one of `members.nodes`, which is not empty when it is called."""


__all__ = ["Balancer", "Key", "LeastRequest", "Members", "Node", "Picker", "RoundRobin"]
