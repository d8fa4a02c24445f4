"""What Consul says of one service, read as endpoints of Kubernetes. Pure.

Not every instance can be one. An instance that stands for a Service of Kubernetes is passed over without a word: it
was written by a bridge out of a cluster, and would come back as an echo.
"""

import ipaddress
from collections.abc import Iterable, Mapping

import attrs

from ...consul.objects import HealthEntry
from ...errors import quote
from ...resolvers.addresses import canonical
from ..records import MANAGED_BY, SOURCE, US
from .options import ImportOptions

Spot = tuple[str, int]
"""An IP address and a port."""

PROXIES = frozenset({"connect-proxy", "mesh-gateway", "terminating-gateway"})
"""Kinds of instance that only the proxies of Consul's mesh can call."""


@attrs.frozen
class Skipped:
    """An instance that cannot be an endpoint, and why."""

    instance: str
    reason: str


@attrs.frozen(kw_only=True)
class Sighting:
    """One service, as Consul last answered.

    Attributes:
        endpoints: where it can be called, and whether it is ready there.
        datacenter: of its instances; "" where there are none.
        whole: nothing of the answer was hidden by ACLs, and the server knew its leader: what is not in it, is not.
        empty: there is no instance at all, so that the service should leave the list of names in a moment.
        skipped: instances that cannot be endpoints.
    """

    endpoints: Mapping[Spot, bool] = attrs.field(factory=dict)
    datacenter: str = ""
    whole: bool = True
    empty: bool = False
    skipped: tuple[Skipped, ...] = ()


def sighting(entries: Iterable[HealthEntry], options: ImportOptions, *, whole: bool = True) -> Sighting:
    """Read an answer about one service."""
    endpoints: dict[Spot, bool] = {}
    skipped: list[Skipped] = []
    datacenter, empty = "", True
    for entry in entries:
        empty = False
        if not is_meant(entry, options):
            continue
        spot = spot_of(entry)
        if isinstance(spot, Skipped):
            skipped.append(spot)
            continue
        datacenter = datacenter or entry.node.datacenter
        # Two instances may share an address and a port: one that works is enough.
        endpoints[spot] = endpoints.get(spot, False) or is_ready(entry, options)
    return Sighting(
        endpoints=endpoints, datacenter=datacenter, whole=whole, empty=empty, skipped=tuple(sorted(skipped, key=str))
    )


def is_meant(entry: HealthEntry, options: ImportOptions) -> bool:
    """Whether an instance is one to import: it has the tags, and is no echo of a cluster and no proxy of the mesh."""
    meta, service = entry.service.meta or {}, entry.service
    if meta.get(SOURCE) == "kubernetes" or meta.get(MANAGED_BY) == US or service.kind in PROXIES:
        return False
    return set(options.tags) <= set(service.tags or ())


def is_ready(entry: HealthEntry, options: ImportOptions) -> bool:
    """Whether its checks, and those of its node, allow calls; maintenance is a critical check."""
    fine = ("passing", "warning") if options.warning == "ready" else ("passing",)
    return all(check.status in fine for check in entry.checks or ())


def spot_of(entry: HealthEntry) -> Spot | Skipped:
    """Where an instance is called: at its own address, or else its node's."""
    address = entry.service.address or entry.node.address
    found, reason = _usable(address)
    if found is not None and not 0 < entry.service.port < 65536:
        reason = f"it has no port: {entry.service.port}"
    if found is None or reason:
        return Skipped(quote(f"{entry.node.name}/{entry.service.id}")[1:-1], reason)
    return found, entry.service.port


def _usable(address: str) -> tuple[str | None, str]:
    """The address as an EndpointSlice may have it, or why it may not (kube-apiserver: ValidateEndpointIP)."""
    spelled = canonical(address)
    if spelled is None:
        return None, f"its address is no IP address: {quote(address)}"
    found = ipaddress.ip_address(spelled)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    found = mapped or found
    for is_so, what in (
        (found.is_unspecified, "unspecified"),
        (found.is_loopback, "of the loopback"),
        (found.is_link_local, "link-local"),
        (found.is_multicast, "multicast"),
    ):
        if is_so:
            return None, f"its address is {what}: {found}"
    return str(found), ""
