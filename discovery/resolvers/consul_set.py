"""What Consul says of a service comes to, as backends. Pure.

    every check passes              offered, with the weight for passing
    a check warns                   withheld, unless the target takes these: then offered, with the weight for warning
    a check is critical             withheld; so is whatever is in maintenance, and what a check says nothing known of
    no port                         withheld

The checks of the node count as those of the instance do. One place that is registered more than once is one backend,
by the best of its registrations: consul-k8s writes a node port once for each pod behind it.
"""

from collections.abc import Mapping

import attrs

from ..consul.objects import AgentService, Check, HealthEntry, Weights
from ..errors import DiscoveryError, NoBackends, ServiceNotFound, quote
from ..model import Backend, BackendId
from ..targets import Consul
from . import Remark
from .definition import host

NODE = "external-k8s-node-name"
ZONE = "external-k8s-topology-zone"
"""Keys of an instance's metadata: what the bridge and consul-k8s tell of where it is."""

NEAREST = 3
"""Usable instances that have the first priority where the nearest are wanted: enough to carry on without one."""

LONGEST_OUTPUT = 80
"""Characters of what a check or an operator said, in the reason why an instance is out."""

_NODE_MAINTENANCE = "_node_maintenance"
_SERVICE_MAINTENANCE = "_service_maintenance:"
_SEVERITY = {"passing": 0, "warning": 1, "critical": 2}
_UNKNOWN = 3

_NO_PORT = "no port is registered for it"
_DEFAULT = Weights()

Shown = tuple[Backend, str | None]
"""A backend, and why it is withheld, where it is."""


@attrs.frozen
class Found:
    """What one answer comes to.

    Attributes:
        shown: by identity.
        unreadable: registrations without an address that can be connected to.
    """

    shown: Mapping[BackendId, Shown]
    unreadable: int = 0


@attrs.frozen
class _Registration:
    """What one entry comes to. `rank` orders those of one place, the best first."""

    rank: tuple[bool, int, str, str]
    shown: Shown


class ConsulSet:
    """Takes the instances of one answer, in its order.

    Args:
        target: which of them are wanted.
        before: the set of the answer before, if there was one: what has stayed the same is not read again.
    """

    def __init__(self, target: Consul, before: "ConsulSet | None" = None) -> None:
        self._target = target
        self._known = before._taken if before is not None else {}  # noqa: SLF001 - one of our own kind
        self._taken: dict[tuple[str, str], tuple[HealthEntry, _Registration | None]] = {}
        self._best: dict[BackendId, _Registration] = {}
        self._unreadable = 0

    def put(self, entry: HealthEntry) -> None:
        """Take one registration."""
        key = entry.node.name, entry.service.id
        known = self._known.get(key)
        if known is None or known[0] != entry:
            known = entry, self._read(entry)
        self._taken[key] = known
        taken = known[1]
        if taken is None:
            self._unreadable += 1
            return
        identity = taken.shown[0].id
        held = self._best.get(identity)
        if held is None or taken.rank < held.rank:
            self._best[identity] = taken

    def found(self) -> Found:
        """All that has been taken."""
        self._known = {}
        shown = {key: taken.shown for key, taken in self._best.items()}
        return Found(self._by_nearness(shown) if self._target.near else shown, self._unreadable)

    def _read(self, entry: HealthEntry) -> _Registration | None:
        """What it comes to; None where it has no address that can be connected to."""
        service, node = entry.service, entry.node
        address = host(service.address or node.address)
        if address is None:
            return None
        severity, reason = _standing(entry.checks or (), warning=self._target.warning)
        port = service.port if 1 <= service.port <= 65535 else 0
        why_not = reason or (None if port else _NO_PORT)
        meta = service.meta or {}
        backend = Backend(
            address=address,
            port=port,
            ready=reason is None,
            weight=_weight(service, severity),
            zone=meta.get(ZONE, ""),
            node=meta.get(NODE) or node.name,
            labels=tuple(sorted(meta.items())),
        )
        return _Registration((why_not is not None, severity, node.name, service.id), (backend, why_not))

    def _by_nearness(self, shown: Mapping[BackendId, Shown]) -> Mapping[BackendId, Shown]:
        """An answer is sorted by round trip, and does not tell it: the first few are preferred, the rest stand by."""
        usable = [key for key, (_, why_not) in shown.items() if why_not is None]
        later = shown.keys() - usable[:NEAREST]
        return {
            key: (attrs.evolve(backend, priority=1), why_not) if key in later else (backend, why_not)
            for key, (backend, why_not) in shown.items()
        }


def rights(target: Consul) -> str:
    """What a token needs."""
    kind = "query" if target.prepared else "service"
    return f'Allow the token {kind} "{target.name}" {{ policy = "read" }} and node_prefix "" {{ policy = "read" }}'


def hidden(target: Consul) -> Remark:
    """Some instances may not be read."""
    text = f"Consul's ACLs hide some instances of {target.name} from this token"
    return Remark(f"{text}. {rights(target)}", warning=True)


def failed_over(target: Consul, datacenter: str) -> Remark:
    """A prepared query has found nothing at home."""
    return Remark(
        f"the prepared query {target.name} has failed over to the datacenter {quote(datacenter)}", warning=True
    )


def nothing(target: Consul) -> DiscoveryError:
    """What to say of an answer that is empty."""
    if target.prepared:
        return NoBackends(
            f"the prepared query {quote(target.name)} finds no instance",
            next_step="It leaves out those that are critical: look at the health of its service",
        )
    wanted = [f"the tag {quote(tag)}" for tag in target.tags]
    wanted += [f"the node metadata {quote(f'{key}={value}')}" for key, value in target.node_meta]
    such = f" with {' and '.join(wanted)}" if wanted else ""
    where = f" in the datacenter {target.datacenter}" if target.datacenter else ""
    return ServiceNotFound(
        f"Consul knows no instance of {quote(target.name)}{such}{where}",
        next_step="Compare the name with those of consul catalog services",
    )


def _standing(checks: tuple[Check, ...], *, warning: bool) -> tuple[int, str | None]:
    """How bad the worst check is, and why the instance is out, where it is."""
    if not checks:
        return 0, None
    worst = max(checks, key=_badness)
    severity = _badness(worst)[0]
    if severity == 0 or (severity == 1 and warning):
        return severity, None
    return severity, _reason(worst)


def _badness(check: Check) -> tuple[int, bool, str]:
    """Of those that are equally bad maintenance is named first, then by id: the reason is the same at each answer."""
    return _SEVERITY.get(check.status, _UNKNOWN), _is_maintenance(check), check.check_id


def _is_maintenance(check: Check) -> bool:
    return check.check_id == _NODE_MAINTENANCE or check.check_id.startswith(_SERVICE_MAINTENANCE)


def _reason(check: Check) -> str:
    if _is_maintenance(check):
        place = "its node is" if check.check_id == _NODE_MAINTENANCE else "it is"
        return f"{place} in maintenance: {quote(check.notes, LONGEST_OUTPUT)}"
    output = check.output.strip().partition("\n")[0]
    said = f": {quote(output, LONGEST_OUTPUT)}" if output else ""
    of_node = "" if check.service_id else "node's "
    status = check.status if check.status in _SEVERITY else quote(check.status, LONGEST_OUTPUT)
    return f"the {of_node}check {quote(check.name or check.check_id, LONGEST_OUTPUT)} is {status}{said}"


def _weight(service: AgentService, severity: int) -> float:
    """A weight for passing is at least 1 in Consul: 0 is one that was not told."""
    weights = service.weights or _DEFAULT
    return float(max(weights.warning, 0) if severity == 1 else max(weights.passing, 1))
