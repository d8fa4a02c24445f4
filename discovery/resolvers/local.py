"""Which nodes have a usable endpoint of a Service's port: what kube-proxy serves under the traffic policy Local. Pure.

Usable is what kube-proxy sends to: a ready endpoint, or one that still serves while it terminates, where the node has
no ready one. So a node has a usable endpoint if it has either.
"""

from collections import Counter

from ..kube.objects import SliceBody
from .ports import usable

Spot = tuple[str, str]
"""A node and a family."""


class LocalEndpoints:
    """Counts the usable endpoints of one port, by node and family, from the slices of its Service.

    Attributes:
        changed: nodes that have had their first, or lost their last, since it was last cleared.
    """

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self._port: str | None = None
        self._bodies: dict[str, SliceBody] = {}
        self._by_slice: dict[str, Counter[Spot]] = {}
        self._counts: Counter[Spot] = Counter()
        self._families: Counter[str] = Counter()  # nodes that have one

    def any_of(self, family: str | None) -> bool:
        """Whether there is a usable one of this family anywhere; None is either."""
        return bool(self._families if family is None else self._families[family])

    def at(self, node: str, family: str | None) -> bool:
        """Whether a node has a usable one of this family; None is either."""
        families = ("ipv4", "ipv6") if family is None else (family,)
        return any((node, one) in self._counts for one in families)

    def put(self, name: str, body: SliceBody | None) -> None:
        """Take the slice of this name as it is now; None where it is gone."""
        if body is None:
            self._bodies.pop(name, None)
        else:
            self._bodies[name] = body
        self._count(name)

    def serve(self, port: str | None) -> None:
        """The port that is meant, by its name in the slices; None where there is none."""
        if port != self._port:
            self._port = port
            for name in self._bodies:
                self._count(name)

    def _count(self, name: str) -> None:
        old = self._by_slice.pop(name, Counter())
        new = self._read(self._bodies[name]) if name in self._bodies else Counter()
        if new:
            self._by_slice[name] = new
        for spot in old.keys() | new.keys():
            before = spot in self._counts
            self._counts[spot] += new[spot] - old[spot]
            if not self._counts[spot]:
                del self._counts[spot]
            if before != (spot in self._counts):
                self.changed.add(spot[0])
                self._families[spot[1]] += -1 if before else 1
                if not self._families[spot[1]]:
                    del self._families[spot[1]]

    def _read(self, body: SliceBody) -> Counter[Spot]:
        counts: Counter[Spot] = Counter()
        family = {"IPv4": "ipv4", "IPv6": "ipv6"}.get(body.address_type)
        if self._port is None or family is None or not any((port.name or "") == self._port for port in usable(body)):
            return counts
        for endpoint in body.endpoints or ():
            conditions = endpoint.conditions
            ready = conditions is None or conditions.ready is not False
            stands_in = conditions is not None and conditions.serving is not False and bool(conditions.terminating)
            if endpoint.addresses and (ready or stands_in):
                counts[endpoint.node_name or "", family] += 1
        return counts
