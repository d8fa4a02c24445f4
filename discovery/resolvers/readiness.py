"""EndpointSlices merged into one set of backends: what each says, and what they say together. Pure.

A Service's endpoints come in slices of up to a thousand, and an endpoint may move from one to another, so that for a
while it is in both or in neither message. Each slice keeps its own contribution; an address that several claim goes to
one of them by rule. A change costs the slice that changed, however many there are.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

import attrs

from ..errors import DiscoveryError, NoEndpoints, PortNotFound, ServiceNotFound, quote
from ..kube.objects import Endpoint, EndpointPort, ServiceBody, SliceBody
from ..model import Backend, BackendId, PodRef
from ..targets import Endpoints
from .families import Families

Place = tuple[str, int]
Entry = tuple[Endpoint, str]
"""An endpoint, and its port's application protocol."""

PORTS_SHOWN, LONGEST_PORT = 20, 80


@attrs.frozen
class Delta:
    """What is different since the last time."""

    changed: tuple[Backend, ...]
    removed: tuple[BackendId, ...]


class EndpointSet:
    """The endpoints of one target, kept from its slices and, where the port is a number, from its Service."""

    def __init__(self, target: Endpoints) -> None:
        self._target = target
        self._service: ServiceBody | None = None
        self._bodies: dict[str, SliceBody] = {}
        self._entries: dict[str, dict[Place, Entry]] = {}
        self._sole_port: str | None = None
        self._winners: dict[Place, tuple[str, Backend]] = {}
        self._shared: set[Place] = set()
        self._families = Families(target.family)
        self._changed: dict[BackendId, Backend] = {}
        self._removed: dict[BackendId, None] = {}
        self.unreadable = 0

    def put(self, name: str, body: SliceBody | None) -> None:
        """Take the slice of this name as it is now; None where it is gone."""
        if body is None:
            self._bodies.pop(name, None)
        else:
            self._bodies[name] = body
        if self._target.port is None and self._sole_port_changed():
            self._read_all()
        self._apply(name, body)

    def serve(self, service: ServiceBody | None) -> None:
        """Take the Service as it is now; None where there is none."""
        before, self._service = self._service, service
        if before is None or service is None or before.ports != service.ports or before.headless != service.headless:
            self._read_all()

    def take(self) -> Delta:
        """What changed since it was last asked, once."""
        delta = Delta(tuple(self._changed.values()), tuple(self._removed))
        self._changed, self._removed = {}, {}
        return delta

    def problem(self, *, needs_service: bool) -> DiscoveryError | None:
        """Why there can be nothing to pick from, where that is so."""
        target = self._target
        what = f"the Service {target.service} in the namespace {target.namespace}"
        if needs_service and self._service is None:
            return ServiceNotFound(f"{what} does not exist", next_step="Check its name and namespace")
        spec = self._service.spec if self._service else None
        if spec and (spec.type == "ExternalName" or not (spec.selector or self._bodies)):
            return NoEndpoints(
                f"{what} stands for no pods ({'an ExternalName' if spec.type == 'ExternalName' else 'no selector'})",
                next_step="Call it by its DNS name",
            )
        if not self._bodies:
            return ServiceNotFound(
                f"no EndpointSlice belongs to {what}: it does not exist, or stands for no pods",
                next_step="Check its name, namespace and selector",
            )
        return self._port_problem(what)

    def _port_problem(self, what: str) -> DiscoveryError | None:
        bodies = self._bodies.values()
        if any(self._port_of(body) for body in bodies) or not any(body.ports for body in bodies):
            return None
        ports = [quote(port, LONGEST_PORT)[1:-1] for port in self._known_ports(bodies)]
        shown = ", ".join(ports[:PORTS_SHOWN])
        if self._target.port is None:
            return PortNotFound(f"{what} has more than one port", ports=ports, next_step=f"Name one of {shown}")
        return PortNotFound(f"{what} has no port {self._target.port}", ports=ports, next_step=f"It has {shown}")

    def _known_ports(self, bodies: Iterable[SliceBody]) -> list[str]:
        if self._service:
            return [f"{port.name}={port.port}" if port.name else str(port.port) for port in self._service.ports]
        return sorted({port.name or str(port.port) for body in bodies for port in _usable(body)})

    def _port_of(self, body: SliceBody) -> EndpointPort | None:
        """The port of this slice that the target means. One that lacks it contributes nothing."""
        usable = _usable(body)
        wanted = self._target.port
        if wanted is None:
            return next((port for port in usable if (port.name or "") == self._sole_port), None)
        if isinstance(wanted, str):
            return next((port for port in usable if (port.name or "") == wanted), None)
        if self._service is None:
            return None
        named = next(
            (port.name for port in self._service.ports if port.port == wanted and port.protocol == "TCP"), None
        )
        if named is not None:
            return next((port for port in usable if (port.name or "") == named), None)
        if self._service.headless:
            return next((port for port in usable if port.port == wanted), None)
        return None

    def _sole_port_changed(self) -> bool:
        """Whether another port than before is now the only one there is; None where there are none or several."""
        names = {port.name or "" for body in self._bodies.values() for port in _usable(body)}
        before, self._sole_port = self._sole_port, names.pop() if len(names) == 1 else None
        return before != self._sole_port

    def _read_all(self) -> None:
        for name, body in self._bodies.items():
            self._apply(name, body)

    def _apply(self, name: str, body: SliceBody | None) -> None:
        old = self._entries.pop(name, {})
        new: dict[Place, Entry] = {}
        if body is not None:
            new = self._entries[name] = self._read(body)
        for place in old.keys() - new.keys():
            self._settle(place, name)
        for place, entry in new.items():
            if old.get(place) != entry:
                self._settle(place, name)

    def _read(self, body: SliceBody) -> dict[Place, Entry]:
        port = self._port_of(body)
        if body.address_type not in ("IPv4", "IPv6"):
            self.unreadable += len(body.endpoints or ())
            return {}
        if port is None or not port.port:
            return {}
        hostname = self._target.hostname
        entries: dict[Place, Entry] = {}
        for endpoint in body.endpoints or ():
            if not endpoint.addresses or (hostname is not None and endpoint.hostname != hostname):
                continue
            address = canonical(endpoint.addresses[0])
            if address is None:
                self.unreadable += 1
                continue
            place = address, port.port
            entry = endpoint, port.app_protocol or ""
            if place not in entries or _rank(entry) < _rank(entries[place]):
                entries[place] = entry
        return entries

    def _settle(self, place: Place, name: str) -> None:
        """Decide anew whose an address is, after the slice `name` changed what it says of it."""
        held = self._winners.get(place)
        if held is not None and held[0] != name:
            self._shared.add(place)
        if held is not None and held[0] != name:  # which has beaten all the others
            claims = [one for one in (held[0], name) if place in self._entries.get(one, ())]
            owner = min(claims, key=lambda one: (_rank(self._entries[one][place]), one), default=None)
        elif place in self._shared:
            owner = self._contest(place)
        else:
            owner = name if place in self._entries.get(name, ()) else None
        old = held[1] if held else None
        new = None
        if owner is None:
            self._winners.pop(place, None)
        else:
            new = _backend(place, self._entries[owner][place])
            self._winners[place] = owner, new
        if new != old:
            for before, after in self._families.shift(old, new):
                self._note(before, after)

    def _contest(self, place: Place) -> str | None:
        """The slice that an address goes to: the living before the leaving, then the ready, then by name."""
        claims = [(_rank(entries[place]), name) for name, entries in self._entries.items() if place in entries]
        if len(claims) < 2:
            self._shared.discard(place)
        return min(claims)[1] if claims else None

    def _note(self, old: Backend | None, new: Backend | None) -> None:
        if old is not None and (new is None or old.id != new.id):
            self._changed.pop(old.id, None)
            self._removed[old.id] = None
        if new is not None:
            self._removed.pop(new.id, None)
            self._changed[new.id] = new


def _usable(body: SliceBody) -> list[EndpointPort]:
    """The ports that can be connected to: a missing number means any, which no client can use."""
    return [port for port in body.ports or () if 0 < (port.port or 0) < 65536 and (port.protocol or "TCP") == "TCP"]


def _rank(entry: Entry) -> tuple[bool, bool]:
    conditions = entry[0].conditions
    if conditions is None:
        return False, False
    return bool(conditions.terminating), conditions.ready is False


def _backend(place: Place, entry: Entry) -> Backend:
    """A missing `ready` or `serving` means yes, a missing `terminating` no (EndpointConditions, discovery/v1)."""
    endpoint, app_protocol = entry
    conditions, target = endpoint.conditions, endpoint.target_ref
    pod = None
    if target is not None and target.kind == "Pod":
        pod = PodRef(namespace=target.namespace, name=target.name, uid=target.uid)
    return Backend(
        address=place[0],
        port=place[1],
        ready=conditions is None or conditions.ready is not False,
        serving=conditions is None or conditions.serving is not False,
        terminating=conditions is not None and bool(conditions.terminating),
        zone=endpoint.zone or "",
        node=endpoint.node_name or "",
        hostname=endpoint.hostname or "",
        pod=pod,
        app_protocol=app_protocol,
    )


@lru_cache(maxsize=2**16)
def canonical(address: str) -> str | None:
    """An IP address in its one spelling, None where it is none. Leading zeros are decimal, as kube-proxy reads them.

    A zone (`fe80::1%eth0`) means nothing to another machine, and may be any text.
    """
    if "%" in address:
        return None
    if ":" not in address:
        address = ".".join(part.lstrip("0") or part[-1:] for part in address.split("."))
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None
