"""What to write, so that Kubernetes has what Consul says; and what of it is held back. Pure.

One unit is one Service with its slices, and its steps are in order: what is added comes before what is removed, a
Service before its slices. Units are of each other independent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import attrs

from .held import Held, consul_of, endpoints_held, endpoints_of, in_groups, port_of, service_fits, slice_fits
from .instances import Sighting, Spot
from .objects import Group, Json, grouped, main_port, name_of, service_body, service_name, slice_body, slice_name
from .options import ImportOptions
from .placement import place

Action = Literal["create", "replace", "delete"]
Seen = Mapping[str, Sighting | None]
"""The services of Consul that are wanted, by name; None of one that has not been read yet."""


@attrs.frozen(kw_only=True)
class Step:
    """One write. `body` is the object as it is wanted; for a deletion, as it is."""

    action: Action
    body: Json = attrs.field(repr=False)

    @property
    def kind(self) -> str:
        """Service or EndpointSlice."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Of the object."""
        return name_of(self.body)


@attrs.frozen(kw_only=True)
class Unit:
    """All that has to be written of one Service.

    Attributes:
        service: its name in Kubernetes.
        consul: the name in Consul.
        steps: in this order; none where all is as it should be.
        removes: the Service goes, or slices of ours that stand for none.
    """

    service: str
    consul: str
    steps: tuple[Step, ...] = ()
    removes: bool = False


@attrs.frozen(kw_only=True)
class Withheld:
    """What is not written, and why: `foreign`, `unconfirmed`, `too-many`, `no-name` or `name-taken`."""

    service: str
    consul: str
    reason: str


@attrs.frozen(kw_only=True)
class ImportPlan:
    """What one pass writes, deletions last, and what it holds back."""

    units: tuple[Unit, ...] = ()
    withheld: tuple[Withheld, ...] = ()

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """For a reader: objects by what becomes of them, and what is withheld."""
        shown: dict[str, list[dict[str, Any]]] = {"create": [], "replace": [], "delete": [], "withheld": []}
        for unit in self.units:
            for step in unit.steps:
                shown[step.action].append(_shown(step, unit))
        for one in self.withheld:
            shown["withheld"].append({"service": one.service, "consul": one.consul, "reason": one.reason})
        return shown


def _shown(step: Step, unit: Unit) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": step.kind, "name": step.name, "consul": unit.consul}
    if step.kind == "EndpointSlice":
        entry["port"] = step.body["ports"][0]["port"] if step.body.get("ports") else None
        entry["endpoints"] = endpoints_held(step.body)
    else:
        entry["port"] = port_of(step.body)
    return entry


def plan(
    seen: Seen, held: Held, options: ImportOptions, *, gone: Callable[[str], bool], approved: bool = False
) -> ImportPlan:
    """The whole plan of one pass; for its parts see `units` and `guarded`."""
    return guarded(units(seen, held, options, gone=gone), held, options, approved=approved)


def units(
    seen: Seen, held: Held, options: ImportOptions, *, gone: Callable[[str], bool]
) -> Iterator[Unit | Withheld | None]:
    """What each service needs, one after the other, so that others may have their turn in between.

    Args:
        seen: what Consul says.
        held: what the namespace has. It must not change before the last one is out.
        options: of the import.
        gone: whether a service that Consul does not list is gone beyond doubt.
    """
    slices = held.slices_by_service()
    names, refused = assign(seen, held, options)
    yield from refused
    for consul, name in names.items():
        sighting = seen[consul]
        if sighting is None:
            yield None
        elif name in held.foreign:
            yield Withheld(service=name, consul=consul, reason="foreign")
        else:
            yield _kept(name, consul, sighting, held, slices.get(name, {}), options)
    served = set(names.values()) - held.foreign
    for name in sorted((held.services.keys() | slices.keys()) - served):
        yield _left_over(name, seen, held, slices.get(name, {}), names, gone)


def assign(seen: Seen, held: Held, options: ImportOptions) -> tuple[dict[str, str], list[Withheld]]:
    """The name in Kubernetes of each service of Consul that has endpoints, or has a Service already.

    Where two want the same, it goes to the one that has it; else to the one that it is spelled as; else to the first
    by name.
    """
    holders = {name: consul_of(body) for name, body in held.services.items()}
    wanted: list[tuple[bool, bool, str, str]] = []
    names: dict[str, str] = {}
    refused: list[Withheld] = []
    for consul, sighting in seen.items():
        name = service_name(consul, options.prefix)
        if name is None:
            refused.append(Withheld(service="", consul=consul, reason="no-name"))
        elif holders.get(name) == consul or sighting is None or sighting.endpoints:
            wanted.append((holders.get(name) != consul, name != options.prefix + consul, consul, name))
    taken: set[str] = set()
    for _, _, consul, name in sorted(wanted):
        if name in taken:
            refused.append(Withheld(service=name, consul=consul, reason="name-taken"))
        else:
            taken.add(name)
            names[consul] = name
    return names, refused


def guarded(
    found: Iterable[Unit | Withheld | None], held: Held, options: ImportOptions, *, approved: bool = False
) -> ImportPlan:
    """The plan, without deletions where there are more than one pass may do and nobody has approved them."""
    changes: list[Unit] = []
    removals: list[Unit] = []
    withheld: list[Withheld] = []
    for one in found:
        if isinstance(one, Withheld):
            withheld.append(one)
        elif one is not None and one.steps:
            (removals if one.removes else changes).append(one)
    if len(removals) > options.may_delete(len(held.services)) and not approved:
        withheld += [Withheld(service=one.service, consul=one.consul, reason="too-many") for one in removals]
        removals = []
    return ImportPlan(units=(*changes, *removals), withheld=tuple(withheld))


# One service


def _kept(
    name: str, consul: str, sighting: Sighting, held: Held, slices: Mapping[str, Json], options: ImportOptions
) -> Unit:
    """A service that is in Consul."""
    service = held.services.get(name)
    endpoints = _believed(sighting, endpoints_of(slices))
    port = main_port(endpoints, 0 if service is None else port_of(service))
    steps: list[Step] = []
    if port:
        wanted = service_body(name, consul, sighting.datacenter, port, options)
        if service is None or not service_fits(service, wanted):
            steps.append(Step(action="replace" if service else "create", body=wanted))
    uid = "" if service is None else str(service["metadata"].get("uid", ""))
    steps += _slice_steps(name, consul, endpoints, slices, uid, options)
    return Unit(service=name, consul=consul, steps=tuple(steps))


def _believed(sighting: Sighting, held: Mapping[Spot, bool]) -> Mapping[Spot, bool]:
    """The endpoints to write.

    An answer that is not whole takes nothing away. One with no instance at all does not either: the service is about to
    leave the list of names, and whether to believe that is decided there.
    """
    if sighting.empty:
        return held
    return sighting.endpoints if sighting.whole else {**held, **sighting.endpoints}


def _slice_steps(
    name: str,
    consul: str,
    endpoints: Mapping[Spot, bool],
    slices: Mapping[str, Json],
    uid: str,
    options: ImportOptions,
) -> Iterator[Step]:
    """Additions, then changes, then deletions."""
    wanted: dict[str, tuple[Group, dict[str, bool]]] = {}
    placed = in_groups(slices)
    for group, addresses in grouped(endpoints).items():
        named = partial(slice_name, options.owner, name, group)
        for slice_, members in place(addresses, placed.get(group, {}), named, slices).items():
            wanted[slice_] = group, {address: addresses[address] for address in members}
    changes = []
    for slice_, (group, ready) in sorted(wanted.items()):
        body = slice_body(slice_, name, consul, group, ready, options)
        if slice_ not in slices:
            yield Step(action="create", body=body)
        elif not slice_fits(slices[slice_], body, uid):
            changes.append(Step(action="replace", body=body))
    yield from changes
    yield from _deletions({one: body for one, body in slices.items() if one not in wanted})


def _deletions(slices: Mapping[str, Json]) -> tuple[Step, ...]:
    return tuple(Step(action="delete", body=body) for _, body in sorted(slices.items()))


def _left_over(
    name: str,
    seen: Seen,
    held: Held,
    slices: Mapping[str, Json],
    names: Mapping[str, str],
    gone: Callable[[str], bool],
) -> Unit | Withheld | None:
    """A Service of ours, or slices of ours, that nothing in Consul asks for under this name."""
    service = held.services.get(name)
    first = service if service is not None else next(iter(slices.values()))
    consul = consul_of(first)
    steps = _deletions(slices)
    if service is not None:
        steps = (Step(action="delete", body=service), *steps)
    if name not in held.foreign:  # slices that would be taken for somebody else's Service are wrong beyond doubt
        if consul in seen:
            sighting, now = seen[consul], names.get(consul)
            if sighting is None or not sighting.endpoints or now is None or now in held.foreign:
                return None  # it has no other name yet to be found by
        elif not gone(consul):
            return Withheld(service=name, consul=consul, reason="unconfirmed")
    return Unit(service=name, consul=consul, steps=steps, removes=True)
