"""Which backend next: one file a policy; no I/O, no clock.

A policy is a frozen specification. `picker` turns it into a function over the members of a pool; the function may keep
state of its own (a position, a table), the specification never does.
"""

import random
from typing import Protocol, runtime_checkable

from .least_request import LeastRequest
from .maglev import Maglev
from .node import Key, Members, Node, Picker, Watcher
from .peak_ewma import PeakEwma
from .random_choice import Random
from .rendezvous import RendezvousHash
from .round_robin import RoundRobin


@runtime_checkable
class Balancer(Protocol):
    """A policy. Equal policies share a pool, so it must be hashable and must not change."""

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """A function that returns one of `members.nodes`, which is not empty when it is called."""


@runtime_checkable
class Learner(Protocol):
    """A policy that also learns from each exchange; a `Balancer` may be one."""

    def observe(self, node: Node, seconds: float, now: float, *, failed: bool, retry_after: float | None) -> None:
        """An exchange with the node took so long, and failed or not.

        What is ignored (cancelled, the caller's own error) is not told. `retry_after`: seconds that a failed backend
        asked for. What is learnt goes into `node.latency` and `node.measured`, which all pools of the target share.
        """


def is_keyed(balancer: Balancer) -> bool:
    """Whether it places requests by their key: a class attribute `keyed = True` says so.

    Such a policy is given all backends and not this client's subset, so that every client finds the same one.
    """
    return bool(getattr(balancer, "keyed", False))


__all__ = [
    "Balancer",
    "Key",
    "Learner",
    "LeastRequest",
    "Maglev",
    "Members",
    "Node",
    "PeakEwma",
    "Picker",
    "Random",
    "RendezvousHash",
    "RoundRobin",
    "Watcher",
    "is_keyed",
]
