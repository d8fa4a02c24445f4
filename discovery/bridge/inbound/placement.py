"""Which slice an endpoint goes into. Pure.

Slices hold 100 endpoints, as those of Kubernetes' own controller do. An endpoint stays where it is, and a new one goes
where there is room: so one change rewrites one slice, and the watchers of a large service are sent little.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping

MOST = 100
"""Endpoints of a slice (endpointslice-controller: --max-endpoints-per-slice)."""


def place(
    wanted: Collection[str],
    held: Mapping[str, Collection[str]],
    name: Callable[[int], str],
    taken: Collection[str] = (),
) -> dict[str, list[str]]:
    """The addresses of each slice of one group; a slice that would be empty is not among them.

    Args:
        wanted: the addresses there should be.
        held: those of the slices there are, by name.
        name: that of the slice with a number, from 0 on.
        taken: names of slices besides these that there are.
    """
    needed = -(-len(wanted) // MOST)
    used = sorted(held)
    if len(used) > 2 * needed:  # mostly air: what is in the others moves together
        used = used[:needed]
    placed: dict[str, list[str]] = {}
    left = set(wanted)
    for one in used:
        placed[one] = sorted(address for address in set(held[one]) if address in left)[:MOST]
        left -= set(placed[one])
    for address, slice_ in zip(sorted(left), _room(placed, {*held, *taken}, name), strict=False):
        placed.setdefault(slice_, []).append(address)
    return {one: sorted(addresses) for one, addresses in placed.items() if addresses}


def _room(placed: Mapping[str, list[str]], taken: Collection[str], name: Callable[[int], str]) -> Iterator[str]:
    """A slice for each further address: those that have room, then new ones."""
    for one, free in [(one, MOST - len(addresses)) for one, addresses in sorted(placed.items())]:
        yield from itertools.repeat(one, free)
    for number in itertools.count():
        one = name(number)
        if one not in taken:
            yield from itertools.repeat(one, MOST)
