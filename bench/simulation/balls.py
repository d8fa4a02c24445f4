"""Requests that never end: as many as there are backends, each held by one client. The simplest test of a choice."""

import random
from collections.abc import Sequence

from discovery.balancing import Balancer, Node
from discovery.balancing.selection import Selection, Shape, Surroundings
from discovery.model import Backend


def hold(balancer: Balancer, backends: int, requests: int, seed: int) -> Sequence[int]:
    """In flight on each backend after so many picks."""
    nodes = [Node(Backend(address=f"10.0.{number >> 8}.{number & 255}", port=80)) for number in range(backends)]
    around = Surroundings(zone=str, rng=random.Random(seed), now=float, offload=lambda work: work())
    selection = Selection(nodes, Shape(balancer=balancer), around)
    selection.refresh(())
    for _ in range(requests):
        selection.picker(None).in_flight += 1
    return [node.in_flight for node in nodes]
