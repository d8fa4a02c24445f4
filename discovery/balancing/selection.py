"""Which of the candidates a pool picks from now, and by which picker: priority, locality, ejection, panic, slow start.

Most pools have none of these to mind: then the candidates' own list is what the policy picks from, and a change costs
what changed. Otherwise lists of the pool's own are laid out anew at each change, which costs the number of candidates.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import attrs

from . import Balancer, Key, Node, Picker, is_keyed
from .hashing import encoded, name, xxh64
from .hashing import weight as own_weight
from .locality import LocalityAware, local_share, spills
from .priority import loads
from .slow_start import SlowStart

DRAWS = 4
"""Picks that may fall on a backend that was tried already, before one is chosen among the others alone."""


@attrs.frozen(kw_only=True)
class Shape:
    """What a pool says of how backends are chosen."""

    balancer: Balancer
    locality: LocalityAware | None = None
    slow_start: SlowStart | None = None
    panic_threshold: float = 0.0


@attrs.frozen(kw_only=True)
class Surroundings:
    """What comes from outside: the client's zone ("" where it is not known), chance, the clock, and other threads."""

    zone: Callable[[], str]
    rng: random.Random
    now: Callable[[], float]
    offload: Callable[[Callable[[], None]], None]


class Lane:
    """Nodes that one picker picks from. Implements `Members`."""

    def __init__(self, nodes: list[Node], shape: Shape, around: Surroundings) -> None:
        self.nodes = nodes
        self.version = 0
        self.weighted = False
        self.now = around.now
        self.offload = around.offload
        self._slow = shape.slow_start
        self._uneven = False
        self._ramp_ends = float("-inf")
        self.picker: Picker = shape.balancer.picker(self, around.rng)

    def refresh(self, *, uneven: bool) -> None:
        """The nodes are others now, or their weights."""
        self.version += 1
        self._uneven = uneven
        if self._slow is not None:
            self._ramp_ends = max((node.since for node in self.nodes), default=0.0) + self._slow.window
        self.weighted = uneven or self.now() < self._ramp_ends

    def weight(self, node: Node) -> float:
        """Of a node, now: above 0."""
        weight = own_weight(node)
        if self._slow is None:
            return weight
        now = self.now()
        if now >= self._ramp_ends:
            self.weighted = self._uneven
        return weight * self._slow.factor(now - node.since)

    def lay(self, nodes: Sequence[Node], *, uneven: bool) -> None:
        """These are its nodes now."""
        self.nodes[:] = nodes
        self.refresh(uneven=uneven)


@attrs.define
class _Level:
    """One priority: its lane, and, where requests prefer a zone, that zone's and the others'."""

    share: float
    lane: Lane
    here: Lane | None = None
    elsewhere: Lane | None = None
    stay: float = 1.0


class Selection:
    """The live choice of one pool.

    Args:
        candidates: live list of all usable backends that this client may use.
        shape: what the pool says.
        around: where it is.

    `nodes`: what `picker` may return now. `panic`: so many are out that all are used.
    """

    def __init__(self, candidates: list[Node], shape: Shape, around: Surroundings) -> None:
        self._candidates = candidates
        self._shape = shape
        self._around = around
        self._out: Collection[Node] = ()
        self._whole = Lane(candidates, shape, around)
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._levels: list[_Level] = []
        self._weightless = self._uneven = False
        self._keyed = is_keyed(shape.balancer)
        self.panic = False
        self.version = 0
        self._picked: tuple[int, frozenset[Node]] = (-1, frozenset())
        self.nodes: list[Node] = candidates
        self.picker: Picker = self._whole.picker

    def refresh(self, out: Collection[Node], *, uneven: bool = False, ranked: bool = False) -> None:
        """Something changed: the candidates, what is known of them, or who is `out`.

        Args:
            out: who must not be picked, but in panic.
            uneven: whether weights differ, or may.
            ranked: whether priorities differ, or may.
        """
        self.version += 1
        self._out = out
        weights = {node.backend.weight for node in self._candidates} if uneven else set()
        self._weightless = 0 in weights
        uneven = self._uneven = len(weights - {0}) > 1
        # Who places by a key is always laid out: its table is not made anew when the first one is out.
        if out or ranked or self._weightless or self._keyed or self._is_local():
            self._lay_out(uneven=uneven, ranked=ranked)
        else:
            self.panic = False
            self._levels.clear()
            self._lanes.clear()
            self._whole.refresh(uneven=uneven)
            self.nodes, self.picker = self._candidates, self._whole.picker

    def why_not(self, node: Node) -> str:
        """Why a candidate is not picked, "" where it is."""
        if self._picked[0] != self.version:
            self._picked = self.version, frozenset(self.nodes)
        if node in self._picked[1]:
            return ""
        if self._weightless and not node.backend.weight:
            return "its weight is 0"
        if node in self._out:
            return "out"
        return f"priority {node.backend.priority}: those before it are enough"

    def other(self, tried: Collection[Node], key: Key, *, room: int | None = None) -> Node:
        """One of `nodes` that was not tried, on a machine that was not tried before any other; else any there is.

        Args:
            tried: those that were.
            key: for policies that place by it.
            room: how many requests in flight are too many for one node; None where there is no such limit.
        """
        ids, machines = {node.backend.id for node in tried}, {node.backend.node for node in tried} - {""}
        free = [node for node in self.nodes if room is None or node.in_flight < room]
        others = [node for node in free if node.backend.id not in ids]
        away = [node for node in others if node.backend.node not in machines]
        nodes = away or others or free or self.nodes
        if self._keyed and key is not None:
            return highest(nodes, key)
        return self._drawn(nodes, key) or self._among(nodes, key)

    def _drawn(self, nodes: Collection[Node], key: Key) -> Node | None:
        """One of these as the pool's own picker comes upon it, so that second attempts too are spread evenly."""
        for _ in range(DRAWS):
            node = self.picker(key)
            if node in nodes:
                return node
        return None

    def _among(self, nodes: list[Node], key: Key) -> Node:
        lane = Lane(nodes, self._shape, self._around)
        lane.refresh(uneven=self._uneven)
        return lane.picker(key)

    # Laying out

    def _is_local(self) -> bool:
        return self._shape.locality is not None and not self._keyed and bool(self._own_zone())

    def _own_zone(self) -> str:
        locality = self._shape.locality
        return "" if locality is None else locality.zone or self._around.zone()

    def _lay_out(self, *, uneven: bool, ranked: bool) -> None:
        ranks = self._ranks(ranked=ranked)
        self._lanes = {place: lane for place, lane in self._lanes.items() if place[0] in ranks}
        out = self._out
        usable = [[node for node in nodes if node not in out] if out else nodes for nodes in ranks.values()]
        shares, panics = loads(
            [len(nodes) for nodes in usable],
            [len(nodes) for nodes in ranks.values()],
            panic_threshold=self._shape.panic_threshold,
        )
        self.panic = any(panic and share > 0 for panic, share in zip(panics, shares, strict=True))
        self._levels = []
        for (priority, everybody), few, share, panic in zip(ranks.items(), usable, shares, panics, strict=True):
            nodes = everybody if panic else few
            if share > 0 and nodes:
                self._levels.append(self._level(priority, nodes, share, uneven=uneven))
        lists = [level.lane.nodes for level in self._levels]
        self.nodes = lists[0] if len(lists) == 1 else [node for nodes in lists for node in nodes]
        self.picker = self._picker_of_levels()

    def _ranks(self, *, ranked: bool) -> dict[int, Sequence[Node]]:
        """By priority, the first before the others; those without weight left out, unless none has any."""
        nodes: Sequence[Node] = self._candidates
        if self._weightless:
            nodes = [node for node in nodes if node.backend.weight] or nodes
        if not ranked:
            return {0: nodes}
        ranks: dict[int, list[Node]] = {}
        for node in nodes:
            ranks.setdefault(node.backend.priority, []).append(node)
        return {priority: ranks[priority] for priority in sorted(ranks)}

    def _level(self, priority: int, nodes: Sequence[Node], share: float, *, uneven: bool) -> _Level:
        level = _Level(share, self._lane(priority, "", nodes, uneven=uneven))
        if self._is_local():
            own = self._own_zone()
            zones: dict[str, int] = {}
            for node in nodes:
                zones[node.backend.zone] = zones.get(node.backend.zone, 0) + 1
            level.stay = local_share(zones, own)
            here = [node for node in nodes if node.backend.zone == own]
            elsewhere = [node for node in nodes if node.backend.zone != own]
            if here and elsewhere:
                level.here = self._lane(priority, "here", here, uneven=uneven)
                level.elsewhere = self._lane(priority, "elsewhere", elsewhere, uneven=uneven)
        return level

    def _lane(self, priority: int, part: str, nodes: Sequence[Node], *, uneven: bool) -> Lane:
        """Kept from change to change, as is what its picker keeps."""
        lane = self._lanes.get((priority, part))
        if lane is None:
            lane = self._lanes[priority, part] = Lane([], self._shape, self._around)
        lane.lay(nodes, uneven=uneven)
        return lane

    # Picking

    def _picker_of_levels(self) -> Picker:
        pickers = [self._picker_of(level) for level in self._levels]
        if len(pickers) <= 1:
            return pickers[0] if pickers else self._whole.picker
        ends = list(_sums(level.share for level in self._levels))

        def pick(key: Key) -> Node:
            at = self._chance(key)
            for picker, end in zip(pickers, ends, strict=True):
                if at < end:
                    return picker(key)
            return pickers[-1](key)

        return pick

    def _picker_of(self, level: _Level) -> Picker:
        here, elsewhere, stay = level.here, level.elsewhere, level.stay
        if here is None or elsewhere is None:
            return level.lane.picker
        assert self._shape.locality is not None
        spill, draw = self._shape.locality.spill, self._around.rng.random

        def pick(key: Key) -> Node:
            if stay < 1 and draw() >= stay:
                return elsewhere.picker(key)
            near = here.picker(key)
            if near.in_flight:
                far = elsewhere.picker(key)
                if spills(near, far, spill):
                    return far
            return near

        return pick

    def _chance(self, key: Key) -> float:
        """In [0, 1): the same for a key in every process, where requests are placed by it."""
        if key is None or not self._keyed:
            return self._around.rng.random()
        return xxh64()(encoded(key) if isinstance(key, str) else key, 1) / 2**64


def highest(nodes: Sequence[Node], key: bytes | str) -> Node:
    """The node that a key falls to among these: the highest random weight (Thaler and Ravishankar 1998)."""
    digest = xxh64()
    seed = digest(encoded(key) if isinstance(key, str) else key)
    return max(nodes, key=lambda node: digest(name(node), seed))


def _sums(shares: Iterable[float]) -> Iterator[float]:
    total = 0.0
    for share in shares:
        total += share
        yield total
