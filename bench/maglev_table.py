"""Maglev: how even a table is, and what moves in it when one backend leaves. There is no chance in it.

It should move only what it had; the paper trades a little more for evenness (Eisenbud et al. 2016, section 5.3).
"""

import statistics
import time
from collections import Counter
from collections.abc import Iterator

from discovery import Backend
from discovery.balancing import Node
from discovery.balancing.hashing import xxh64
from discovery.balancing.maglev import Build

from .figures import Figure, amount

BACKENDS = 100
SLOTS = 10_007
MILLISECOND = 1e-3


def measure(runs: int) -> Iterator[Figure]:
    nodes = [Node(Backend(address=f"10.0.0.{number}", port=80)) for number in range(1, BACKENDS + 1)]
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        table = _table(nodes)
        took.append(time.perf_counter() - start)
    moved = [_moved(table, _table([one for one in nodes if one is not left]), left) for left in nodes]
    shares = Counter(table).values()
    yield Figure(
        name="maglev_moves",
        what=f"entries of a Maglev table that move for no need when one of {BACKENDS} backends leaves",
        unit="%",
        runs=(100 * statistics.mean(moved),),
        at_most=2,
        ours=f"at most {amount([100 * max(moved)], '%')}, whichever leaves; {SLOTS:,} slots",
        anchor="Envoy's construction: 1.7 %",
    )
    yield Figure(
        name="maglev_share",
        what="the largest share in it beside the mean",
        unit="x",
        runs=(max(shares) / (SLOTS / BACKENDS),),
        at_most=1.02,
        ours=f"built in {amount(took, 'ms', 1 / MILLISECOND)}",
    )


def _table(nodes: list[Node]) -> list[Node]:
    build = Build(dict.fromkeys(nodes, 1.0), SLOTS, xxh64())
    build.run()
    return list(build.table)


def _moved(before: list[Node], after: list[Node], left: Node) -> float:
    """The share of entries that are somebody else's now although whose they were is still there."""
    return sum(old is not left and old is not new for old, new in zip(before, after, strict=True)) / len(before)
