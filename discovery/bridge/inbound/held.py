"""What the namespace holds, and how ours is told from everybody else's. Pure.

Ours is what carries both of our labels, with our owner id; nothing else is ever changed. Bodies are kept whole, so that
what others added to them goes back as it came.
"""

from collections.abc import Collection, Iterable, Mapping

import attrs

from ...kube.objects import SERVICE_NAME
from ..records import US
from .instances import Spot
from .objects import CONSUL_SERVICE, MANAGED_BY, OWNER, PORT_NAME, SLICE_MANAGED_BY, Group, Json, name_of


def labels_of(body: Json) -> dict[str, str]:
    """Its labels."""
    return (body.get("metadata") or {}).get("labels") or {}


def consul_of(body: Json) -> str:
    """The Consul service that an object of ours stands for; "" where somebody took the annotation off."""
    return str(((body.get("metadata") or {}).get("annotations") or {}).get(CONSUL_SERVICE) or "")


def is_ours(body: Json, owner: str) -> bool:
    """Whether an object carries our labels and this owner id, and is still of the kind that we make.

    A Service that has got an address of its own is somebody's work: that cannot come of a change to one of ours.
    """
    labels = labels_of(body)
    if labels.get(MANAGED_BY) != US or labels.get(OWNER) != owner:
        return False
    if body.get("kind") == "EndpointSlice":
        return labels.get(SLICE_MANAGED_BY) == US
    return (body.get("spec") or {}).get("clusterIP") == "None"


def port_of(service: Json) -> int:
    """The number of a Service's first port; 0 where it has none."""
    ports = (service.get("spec") or {}).get("ports") or [{}]
    return int(ports[0].get("port") or 0)


def group_held(body: Json) -> Group | None:
    """The group of a slice of ours, None where somebody has made something else of it."""
    ports = body.get("ports") or []
    if len(ports) != 1 or ports[0].get("name") != PORT_NAME or (ports[0].get("protocol") or "TCP") != "TCP":
        return None
    return int(ports[0].get("port") or 0), str(body.get("addressType") or "")


def endpoints_held(body: Json) -> dict[str, bool]:
    """The endpoints of a slice of ours, and whether they are ready."""
    found = {}
    for one in body.get("endpoints") or ():
        for address in (one.get("addresses") or ())[:1]:
            found[address] = (one.get("conditions") or {}).get("ready") is not False
    return found


def service_fits(held: Json, wanted: Json) -> bool:
    """Whether a Service of ours is as it should be, in all that we write."""
    ports = [(one.get("name"), one.get("port"), one.get("protocol")) for one in held["spec"].get("ports") or ()]
    expected = [(one["name"], one["port"], one["protocol"]) for one in wanted["spec"]["ports"]]
    return _carries(held, wanted) and ports == expected and not held["spec"].get("selector")


def slice_fits(held: Json, wanted: Json, uid: str) -> bool:
    """Whether a slice of ours is as it should be, and belongs to the Service with this uid."""
    owners = (held.get("metadata") or {}).get("ownerReferences") or ()
    return (
        _carries(held, wanted)
        and any(one.get("uid") == uid for one in owners)
        and sorted(held.get("endpoints") or (), key=lambda one: one.get("addresses") or []) == wanted["endpoints"]
    )


def _carries(held: Json, wanted: Json) -> bool:
    meta, ours = held.get("metadata") or {}, wanted["metadata"]
    return all(ours[part].items() <= (meta.get(part) or {}).items() for part in ("labels", "annotations"))


@attrs.define
class Held:
    """What the namespace has: our Services and slices by name, and the names of Services that are not ours."""

    services: dict[str, Json] = attrs.field(factory=dict)
    slices: dict[str, Json] = attrs.field(factory=dict)
    foreign: set[str] = attrs.field(factory=set)

    @classmethod
    def read(cls, services: Iterable[Json], slices: Iterable[Json], owner: str) -> "Held":
        """Sort out what two lists brought: all Services of the namespace, and at least our slices."""
        held = cls(slices={name_of(one): one for one in slices if is_ours(one, owner)})
        for one in services:
            if is_ours(one, owner):
                held.services[name_of(one)] = one
            else:
                held.foreign.add(name_of(one))
        return held

    def slices_by_service(self) -> dict[str, dict[str, Json]]:
        """Our slices, by the Service that they say they are of."""
        found: dict[str, dict[str, Json]] = {}
        for name, body in self.slices.items():
            found.setdefault(labels_of(body).get(SERVICE_NAME, ""), {})[name] = body
        return found

    def put(self, body: Json) -> None:
        """Take an object of ours as the server has it now."""
        (self.services if body.get("kind") == "Service" else self.slices)[name_of(body)] = body

    def drop(self, kind: str, name: str) -> None:
        """An object of ours is gone."""
        (self.services if kind == "Service" else self.slices).pop(name, None)


def in_groups(slices: Mapping[str, Json]) -> dict[Group | None, dict[str, Collection[str]]]:
    """The addresses of slices by their names, by group; under None those that somebody made something else of."""
    found: dict[Group | None, dict[str, Collection[str]]] = {}
    for name, body in slices.items():
        found.setdefault(group_held(body), {})[name] = list(endpoints_held(body))
    return found


def endpoints_of(slices: Mapping[str, Json]) -> dict[Spot, bool]:
    """All endpoints of these slices."""
    found: dict[Spot, bool] = {}
    for body in slices.values():
        group = group_held(body)
        if group is not None:
            for address, ready in endpoints_held(body).items():
                spot = address, group[0]
                found[spot] = found.get(spot, False) or ready
    return found
