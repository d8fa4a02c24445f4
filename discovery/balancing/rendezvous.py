"""Each key at a backend of its own, and only the keys of one that leaves go elsewhere."""

import random
from collections.abc import Sequence
from itertools import repeat
from math import log
from typing import ClassVar

import attrs

from .hashing import Digest, encoded, name, order, weight, xxh64
from .node import Key, Members, Node, Picker
from .random_choice import Random

SLOTS = 1 << 16
"""A key's hash chooses a slot, and backends compete for slots: a pick looks one up, whatever their number.

Shares of keys differ by some sqrt(n / SLOTS) for n backends: 1 % at 10, 4 % at 100, 12 % at 1,000.
"""
MASK = SLOTS - 1
SPAN = 2.0**64


@attrs.frozen(kw_only=True)
class RendezvousHash:
    """The same backend for the same key, in every process, whatever order they are listed in.

    Rendezvous hashing (Thaler and Ravishankar 1998), weighted by -weight / ln(hash) (Schindelhauer and Schomaker 2005),
    over 65,536 slots. When a backend leaves, its keys alone move, in proportion to weights; when one comes, it takes
    its share from all the others. A request without a key goes to a random one.

    The first pick of a slot looks at all backends, some 0.1 us each; for more than a few hundred, take `Maglev`.
    """

    keyed: ClassVar[bool] = True

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """The key's own, at each call."""
        digest = xxh64()
        owners = Owners(members, digest)
        anyone = Random().picker(members, rng)
        owned, seen = owners.owned, owners.seen

        def pick(key: Key) -> Node:
            if key is None:
                return anyone(None)
            if members.version != owners.version:
                owners.follow()
            slot = digest(encoded(key) if isinstance(key, str) else key) & MASK
            if seen[slot] == owners.time:
                return owned[slot]  # type: ignore[return-value]  # whoever was seen at this time is there
            return owners.decide(slot)

        return pick


class Owners:
    """Who owns each slot: decided when it is first asked for, kept, and revised with what has changed since.

    `time` moves with each change. A slot that was `seen` at an earlier time has its owner challenged by those that came
    since; all compete again only if the owner has left meanwhile. The outcome is that of a contest from scratch.
    """

    def __init__(self, members: Members, digest: Digest) -> None:
        self.version = -1
        self.time = 0
        self.owned: list[Node | None] = []  # both are filled at the first `follow`, and changed in place
        self.seen: list[int] = []
        self._members = members
        self._digest = digest
        self._weights: dict[Node, float] = {}
        self._even = True
        self._everybody: tuple[list[Node], list[bytes]] = ([], [])
        self._came: list[Node | None] = []
        self._began = 0  # the time of the first entry of `_came`

    def of(self, slot: int) -> Node:
        """The slot's owner now."""
        if self._members.version != self.version:
            self.follow()
        owner = self.owned[slot]
        return owner if owner is not None and self.seen[slot] == self.time else self.decide(slot)

    def follow(self) -> None:
        """Take note of who came and who left."""
        self.version = self._members.version
        before, self._weights = self._weights, {node: weight(node) for node in self._members.nodes}
        if self._weights == before:
            return
        came = [node for node in self._weights if node not in before]
        nodes = list(self._weights)
        self._everybody = nodes, [name(node) for node in nodes]
        self._even = len(set(self._weights.values())) == 1
        self._came.extend(came or [None])  # time must move when somebody left, too
        if len(self._came) >= len(nodes) or any(before.get(node, one) != one for node, one in self._weights.items()):
            self._forget()
        self.time = self._began + len(self._came)

    def _forget(self) -> None:
        """To catch up is no quicker than to begin anew, or weights have changed: what was decided is void."""
        self._began += len(self._came)
        self._came.clear()
        self.owned[:] = [None] * SLOTS
        self.seen[:] = [-1] * SLOTS

    def decide(self, slot: int) -> Node:
        """Find the owner of a slot that has not been looked at since the last change."""
        owner = self.owned[slot]
        rivals = [] if owner is None else self._came[self.seen[slot] - self._began :]
        if owner is None or owner not in self._weights or owner in rivals:
            owner = self._first(slot, *self._everybody)
        else:
            present = [owner, *(node for node in rivals if node in self._weights)]
            owner = self._first(slot, present, [name(node) for node in present])
        self.owned[slot], self.seen[slot] = owner, self.time
        return owner

    def _first(self, slot: int, nodes: Sequence[Node], names: Sequence[bytes]) -> Node:
        """Who wins the slot: a hash decides how long each takes to reach it, on average 1 / weight."""
        hashes = list(map(self._digest, names, repeat(slot)))
        scores: Sequence[float] = hashes
        if not self._even:
            scores = [log((one + 1) / SPAN) / self._weights[node] for one, node in zip(hashes, nodes, strict=True)]
        best = max(scores)
        if scores.count(best) == 1:
            return nodes[scores.index(best)]
        tied = [node for node, score in zip(nodes, scores, strict=True) if score == best]
        return min(tied, key=lambda node: (-self._digest(name(node), slot), order(node)))
