"""The one with the fewest requests in flight."""

import random

import attrs

from .edf import Schedule
from .node import Key, Members, Node, Picker

SCAN = 16
"""Backends up to which all are looked at; beyond, two are drawn.

Two random choices leave the most loaded backend within O(log log n) of the mean (Mitzenmacher 2001), and cost the same
for any number; a whole scan is better still where it is as cheap.
"""


@attrs.frozen(kw_only=True)
class LeastRequest:
    """The backend with the fewest requests in flight from this process: the default.

    Up to 16 backends all are compared, from a place that moves on with each pick, so equals take turns. Beyond, the
    better of two distinct random ones is taken (Envoy's default: choice_count 2).

    Where weights differ, backends take turns at intervals of (requests in flight + 1) / weight (Envoy, with an
    active_request_bias of 1): in proportion to weights while all are idle, and less often the more a backend is behind.
    """

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """The least loaded at each call."""
        nodes = members.nodes
        schedule = Schedule(members, lambda node: (node.in_flight + 1) / members.weight(node), rng)
        draw = rng.random
        at = rng.randrange(2**32)

        def pick(_key: Key) -> Node:
            nonlocal at
            size = len(nodes)
            if members.weighted and size > 1:
                return schedule.next()
            if size > SCAN:
                one = int(draw() * size)
                two = int(draw() * (size - 1))
                first, second = nodes[one], nodes[two + (two >= one)]
                return first if first.in_flight <= second.in_flight else second
            at += 1
            start = at % size
            best = nodes[start]
            fewest = best.in_flight
            if fewest:
                for node in nodes[start + 1 :] + nodes[:start]:
                    if node.in_flight < fewest:
                        best, fewest = node, node.in_flight
                        if not fewest:
                            break
            return best

        return pick
