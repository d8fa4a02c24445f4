"""EndpointSlices merged into one set of backends: what each says, and what they say together. Pure.

A Service's endpoints come in slices of up to a thousand, and an endpoint may move from one to another, so that for a
while it is in both or in neither message. Each slice keeps its own contribution; an address that several claim goes to
one of them by rule. A change costs the slice that changed, however many there are.
"""

from ..errors import DiscoveryError, NoBackends, NoEndpoints, ServiceNotFound
from ..kube.objects import Endpoint, Hints, ServiceBody, SliceBody
from ..model import Backend, BackendId, PodRef
from ..targets import Endpoints
from . import Remark
from .addresses import canonical
from .derived import Delta, Derived, Noted
from .families import Families
from .naming import named, no_service
from .ports import PortMeant
from .topology import Place, Topology

Spot = tuple[str, int]
"""An address and a port."""

Entry = tuple[Endpoint, str]
"""An endpoint, and its port's application protocol."""


class EndpointSet(Derived):
    """The endpoints of one target, kept from its slices and its Service, as far as this client may use them.

    Args:
        target: its namespace is settled.
        place: where this client is.
    """

    def __init__(self, target: Endpoints, place: Place | None = None) -> None:
        self._target = target
        self._place = place or Place()
        self._service: ServiceBody | None = None
        self._unserved = False
        self._bodies: dict[str, SliceBody] = {}
        self._entries: dict[str, dict[Spot, Entry]] = {}
        self._port = PortMeant(target.port)
        self._winners: dict[Spot, tuple[str, Backend]] = {}
        self._shared: set[Spot] = set()
        self._families = Families(target.family)
        self._hints: dict[BackendId, Hints] = {}
        self._topology = Topology(self._place)
        self._noted = Noted()

    def put(self, name: str, body: SliceBody | None) -> None:
        """Take the slice of this name as it is now; None where it is gone."""
        if body is None:
            self._bodies.pop(name, None)
        else:
            self._bodies[name] = body
        if self._port.learn(self._bodies.values()):
            self._read_all()
        self._apply(name, body)

    def serve(self, service: ServiceBody | None) -> None:
        """Take the Service as it is now; None where there is none."""
        was_alias, self._service = self._alias, service
        self._topology.keep_local(service is not None and service.spec.internal_traffic_policy == "Local")
        if self._port.serve(service) or was_alias != self._alias:
            self._read_all()

    @property
    def _alias(self) -> bool:
        """Whether it is an ExternalName: slices of what it was before mean nothing (kube-proxy skips it)."""
        return self._service is not None and self._service.spec.type == "ExternalName"

    def unserved(self, denied: Exception | None) -> None:
        """Whether the Service may not be read."""
        self._unserved = denied is not None

    def take(self) -> Delta:
        """What changed since it was last asked, once."""
        if self._topology.settle():
            self._noted.changed.update((backend.id, backend) for backend in self._topology.shown())
        reasons = ((key, self._topology.why_not(key)) for key in self._noted.changed)
        withheld = {key: reason for key, reason in reasons if reason is not None}
        return self._noted.take(withheld)

    def problem(self) -> DiscoveryError | None:
        """Why there can be nothing to pick from, where that is so."""
        target = self._target
        what = named(target)
        if isinstance(target.port, int) and self._service is None:
            return no_service(target)
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
        if self._topology.none_is_local:
            return NoBackends(
                f"{what} has the internal traffic policy Local, and no endpoint on this client's node "
                f"{self._place.node}",
                next_step="Run one of its pods on every node that calls it, or set the policy to Cluster",
            )
        return self._port.problem(what, self._bodies.values())

    def remarks(self) -> tuple[Remark, ...]:
        """What is worth knowing of its Service."""
        found = []
        if self._topology.local_but_where:
            found.append(
                Remark(
                    "the internal traffic policy is Local, but this client's node is not known, so all endpoints are "
                    "used: set the environment variable NODE_NAME from spec.nodeName, or Discovery(node=...)",
                    warning=True,
                )
            )
        if self._service is not None and self._service.spec.session_affinity == "ClientIP":
            found.append(Remark("the Service has session affinity, which a client that picks a pod itself goes past"))
        if self._unserved:
            found.append(Remark("the Service may not be read, so its traffic policy is not known"))
        return tuple(found)

    def _read_all(self) -> None:
        for name, body in self._bodies.items():
            self._apply(name, body)

    def _apply(self, name: str, body: SliceBody | None) -> None:
        old = self._entries.pop(name, {})
        new: dict[Spot, Entry] = {}
        if body is not None:
            new = self._entries[name] = self._read(body)
        for spot in old.keys() - new.keys():
            self._settle(spot, name)
        for spot, entry in new.items():
            if old.get(spot) != entry:
                self._settle(spot, name)

    def _read(self, body: SliceBody) -> dict[Spot, Entry]:
        port = self._port.of(body)
        if body.address_type not in ("IPv4", "IPv6"):
            self.unreadable += len(body.endpoints or ())
            return {}
        if port is None or not port.port or self._alias:
            return {}
        hostname = self._target.hostname
        entries: dict[Spot, Entry] = {}
        for endpoint in body.endpoints or ():
            if not endpoint.addresses or (hostname is not None and endpoint.hostname != hostname):
                continue
            address = canonical(endpoint.addresses[0])
            if address is None:
                self.unreadable += 1
                continue
            spot = address, port.port
            entry = endpoint, port.app_protocol or ""
            if spot not in entries or _rank(entry) < _rank(entries[spot]):
                entries[spot] = entry
        return entries

    def _settle(self, spot: Spot, name: str) -> None:
        """Decide anew whose an address is, after the slice `name` changed what it says of it."""
        held = self._winners.get(spot)
        if held is not None and held[0] != name:  # which has beaten all the others
            self._shared.add(spot)
            claims = [one for one in (held[0], name) if spot in self._entries.get(one, ())]
            owner = min(claims, key=lambda one: (_rank(self._entries[one][spot]), one), default=None)
        elif spot in self._shared:
            owner = self._contest(spot)
        else:
            owner = name if spot in self._entries.get(name, ()) else None
        old = held[1] if held else None
        new = None
        if owner is None:
            self._winners.pop(spot, None)
        else:
            new = _backend(spot, self._entries[owner][spot])
            self._winners[spot] = owner, new
        hints = self._entries[owner][spot][0].hints if owner is not None else None
        self._tell(old, new, hints)

    def _contest(self, spot: Spot) -> str | None:
        """The slice that an address goes to: the living before the leaving, then the ready, then by name."""
        claims = [(_rank(entries[spot]), name) for name, entries in self._entries.items() if spot in entries]
        if len(claims) < 2:
            self._shared.discard(spot)
        return min(claims)[1] if claims else None

    def _tell(self, old: Backend | None, new: Backend | None, hints: Hints | None) -> None:
        """Show what an address has become, by its family and its hints."""
        if old is not None and (new is None or old.id != new.id):
            self._hints.pop(old.id, None)
        if new is not None and hints is not None:
            self._hints[new.id] = hints
        elif new is not None:
            self._hints.pop(new.id, None)
        if new != old:
            for before, after in self._families.shift(old, new):
                self._note(before, after)
        elif new is not None and self._topology.hint(new.id, hints):
            self._noted.note(new, new)

    def _note(self, old: Backend | None, new: Backend | None) -> None:
        self._topology.put(old.id if old else None, new, self._hints.get(new.id) if new else None)
        self._noted.note(old, new)


def _rank(entry: Entry) -> tuple[bool, bool]:
    conditions = entry[0].conditions
    if conditions is None:
        return False, False
    return bool(conditions.terminating), conditions.ready is False


def _backend(spot: Spot, entry: Entry) -> Backend:
    """A missing `ready` or `serving` means yes, a missing `terminating` no (EndpointConditions, discovery/v1)."""
    endpoint, app_protocol = entry
    conditions, target = endpoint.conditions, endpoint.target_ref
    pod = None
    if target is not None and target.kind == "Pod":
        pod = PodRef(namespace=target.namespace, name=target.name, uid=target.uid)
    return Backend(
        address=spot[0],
        port=spot[1],
        ready=conditions is None or conditions.ready is not False,
        serving=conditions is None or conditions.serving is not False,
        terminating=conditions is not None and bool(conditions.terminating),
        zone=endpoint.zone or "",
        node=endpoint.node_name or "",
        hostname=endpoint.hostname or "",
        pod=pod,
        app_protocol=app_protocol,
    )
