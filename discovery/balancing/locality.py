"""Stay in the client's own zone: it is nearer, and between zones clouds bill each byte. But not at any price.

Only two questions are answered here: how much may stay without overloading the zone's backends, and when a backend
elsewhere is the better one all the same. Who asks them for each pick is the pool.
"""

from collections.abc import Mapping

import attrs

from ..checks import number, text
from .node import Node


@attrs.frozen(kw_only=True)
class LocalityAware:
    """Prefer backends of the client's own zone.

    All requests stay while the zone has its fair share of the usable backends, less of them where it has fewer
    (`local_share`); where it has none, all go elsewhere. A request also leaves when the backend chosen here is much
    busier than one elsewhere (`spill`), which is what happens when clients are not spread over the zones evenly.
    Policies that place requests by a key take no notice of zones: every client must find the same backend.

    Args:
        zone: the client's own; None is what `Discovery` knows. While it is not known, zones are not looked at.
        spill: times that a backend here may be as busy as one elsewhere (in flight + 1, by weight) before the request
            leaves; from 1 on. 4 comes from our simulation (docs, "Balancing, simulated"): with half of all clients in
            one of three zones the p99 stays within 1.4 times that without zones, if a client has a request or more in
            flight on each backend; 75 to 100 % stay at home where clients are spread evenly. Give 1 or 2 where many
            clients with few requests each may crowd in one zone: they see little of the crowd.

    Raises:
        ConfigurationError: an empty zone, or a number below 1.
    """

    zone: str | None = attrs.field(default=None, validator=text(optional=True))
    spill: float = attrs.field(default=4.0, validator=number(least=1))


def local_share(zones: Mapping[str, int], own: str) -> float:
    """The share of requests that stays in the own zone, from 0 to 1.

    Clients are taken to be spread over the zones evenly, as Kubernetes' topology aware routing takes them to be. Then
    each of `Z` zones brings 1/Z of the load, which its backends bear as well as others while they are 1/Z of all. With
    fewer of them less stays: their share of all over 1/Z, which is Envoy's zone aware routing (upstream % / local %).

    Args:
        zones: usable backends of each zone; "" is where the zone is not known.
        own: the client's own zone.
    """
    here = zones.get(own, 0)
    inhabited = sum(count > 0 for count in zones.values())
    total = sum(zones.values())
    return min(1.0, here * inhabited / total) if here > 0 else 0.0


def spills(here: Node, elsewhere: Node, spill: float) -> bool:
    """Whether a request leaves for the one elsewhere: ours is more than `spill` times as busy for its weight."""
    # Where a weight of 0 is picked from at all, all are 0.
    busy = (here.in_flight + 1) * (elsewhere.backend.weight or 1.0)
    return busy > spill * (elsewhere.in_flight + 1) * (here.backend.weight or 1.0)
