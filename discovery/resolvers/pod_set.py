"""From pods to backends: what a Service with the same selector would give, without the Service. Pure.

    has no address, or ended       it is no candidate
    ready, not being deleted       ready, serving
    ready, being deleted           serving, terminating: it stands in where nothing is ready
    not ready                      neither (terminating where it is being deleted)

This is what the endpoint slice controller makes of a pod (pkg/controller/util/endpointslice: podEndpoint), but for
publishNotReadyAddresses, which only a Service can say. A pod that lacks the port is shown, and withheld.
"""

import re
from collections.abc import Iterable
from itertools import islice

from ..errors import DiscoveryError, NoBackends, PortNotFound, quote
from ..kube.objects import ZONE, ContainerPort, PodBody
from ..kube.objects.pods import ENDED
from ..model import Backend, BackendId, PodRef
from ..targets import Pods
from .addresses import canonical, family_of
from .derived import Delta, Derived, Noted
from .families import Families
from .ports import LONGEST_PORT, PORTS_SHOWN

NO_PORT = 0
"""Of a backend that cannot be called."""

PODS_LOOKED_AT = 1000
"""Pods whose ports are told where none of them has the one that is wanted."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
"""An IPv4 address in its one spelling, as nearly all are."""


class PodSet(Derived):
    """The backends of one target.

    Args:
        target: its namespace is settled.
    """

    def __init__(self, target: Pods) -> None:
        self.unreadable = 0
        self._target = target
        self._namespace = target.namespace or ""
        self._families = Families(target.family)
        self._pods: dict[str, tuple[Backend, ...]] = {}  # by the pod's name, one for each of its families
        self._at: dict[str, tuple[str, ...]] = {}  # the pods that say they are at an address
        self._others: dict[str, str] = {}  # why a pod is no candidate
        self._portless: dict[str, tuple[ContainerPort, ...]] = {}  # candidates, and the ports that they have instead
        self._noted = Noted()

    def put_pod(self, name: str, body: PodBody | None) -> None:
        """Take in what a pod says now; None where it is gone, or is not selected any more."""
        old, new = self._pods.pop(name, ()), self._read(name, body)
        if new == old:
            if old:
                self._pods[name] = old
            return
        touched = {backend.address: None for backend in (*old, *new)}
        before = self._winners(touched, name, old)
        for backend in old:
            self._leave(name, backend.address)
        for backend in new:
            self._at[backend.address] = (*self._at.get(backend.address, ()), name)
        if new:
            self._pods[name] = new
        self._tell(before, self._winners(touched, name, new))

    def take(self) -> Delta:
        """What changed since it was last asked, once."""
        port = self._target.port
        why_not = "has no port, or several and none is named" if port is None else f"has no port {port}"
        withheld = {key: why_not for key, backend in self._noted.changed.items() if backend.port == NO_PORT}
        return self._noted.take(withheld)

    def problem(self) -> DiscoveryError | None:
        """No pod matches, none can be called yet, or none has the port."""
        target, where = self._target, f"in the namespace {self._namespace}"
        if not self._pods and not self._others:
            return NoBackends(
                f"no pod {where} matches {target.selector}",
                next_step="Compare the selector with the pods' labels: kubectl get pods --show-labels",
            )
        if not self._pods:
            why = next(iter(self._others.values()))
            return NoBackends(
                f"{len(self._others)} pods {where} match {target.selector}, and none can be called: one {why}",
                next_step="Look at them with kubectl get pods",
            )
        if len(self._portless) < len(self._pods):
            return None
        known = {port for ports in islice(self._portless.values(), PODS_LOOKED_AT) for port in ports}
        ports = sorted({quote(port.name or port.container_port, LONGEST_PORT)[1:-1] for port in known})
        what, shown = f"the pods {where} that match {target.selector}", ", ".join(ports[:PORTS_SHOWN])
        if target.port is None and shown:
            return PortNotFound(f"{what} have more than one port", ports=ports, next_step=f"Name one of {shown}")
        missing = "no port" if target.port is None else f"no port {target.port}"
        step = f"They have {shown}" if shown else "Name it in their containers' ports, or write its number"
        return PortNotFound(f"{what} have {missing}", ports=ports, next_step=step)

    def _read(self, name: str, body: PodBody | None) -> tuple[Backend, ...]:
        """The pod as backends, and the notes on why it is none or cannot be called."""
        self._others.pop(name, None)
        self._portless.pop(name, None)
        if body is None:
            return ()
        addresses = [] if body.phase in ENDED else self._addresses(body.ips)
        if not addresses:
            self._others[name] = self._why_none(body)
            return ()
        port = self._port(body.ports)
        if port == NO_PORT:
            self._portless[name] = body.ports
        pod = PodRef(namespace=self._namespace, name=name, uid=body.uid)
        return tuple([self._backend(address, port, pod, body) for address in addresses])

    def _backend(self, address: str, port: int, pod: PodRef, body: PodBody) -> Backend:
        return Backend(
            address=address,
            port=port,
            ready=body.ready and not body.terminating,
            serving=body.ready,
            terminating=body.terminating,
            zone=next((value for key, value in body.labels if key == ZONE), ""),
            node=body.node,
            hostname=body.hostname,
            pod=pod,
            labels=body.labels,
        )

    def _addresses(self, ips: tuple[str, ...]) -> list[str]:
        """The first of each family that is wanted."""
        found: dict[str, str] = {}
        for ip in ips:
            address = ip if _PLAIN.fullmatch(ip) else canonical(ip)
            if address is None:
                self.unreadable += 1
            else:
                found.setdefault(family_of(address), address)
        only = self._target.family
        return [address for family, address in found.items() if only in (family, "prefer-ipv4", "prefer-ipv6")]

    def _why_none(self, body: PodBody) -> str:
        if body.phase in ENDED:
            return f"has ended ({body.phase})"
        return f"has no {self._target.family} address" if body.ips else "has no address yet"

    def _port(self, ports: tuple[ContainerPort, ...]) -> int:
        wanted = self._target.port
        if isinstance(wanted, int):
            return wanted
        if wanted is None:
            numbers = {port.container_port for port in ports}
            found = numbers.pop() if len(numbers) == 1 else NO_PORT
        else:
            found = next((port.container_port for port in ports if port.name == wanted), NO_PORT)
        return found if 0 < found < 65536 else NO_PORT

    def _leave(self, name: str, address: str) -> None:
        left = tuple([one for one in self._at[address] if one != name])
        if left:
            self._at[address] = left
        else:
            del self._at[address]

    def _winners(self, addresses: Iterable[str], name: str, said: tuple[Backend, ...]) -> dict[BackendId, Backend]:
        """Who is at these addresses, one for each port, where `said` is what the pod `name` says."""
        won: dict[BackendId, Backend] = {}
        for address in addresses:
            best: dict[int, Backend] = {}
            for one in self._at.get(address, ()):
                for backend in said if one == name else self._pods[one]:
                    if backend.address == address:
                        held = best.get(backend.port)
                        if held is None or _rank(backend) < _rank(held):
                            best[backend.port] = backend
            won.update((backend.id, backend) for backend in best.values())
        return won

    def _tell(self, before: dict[BackendId, Backend], after: dict[BackendId, Backend]) -> None:
        """Show what has changed at some addresses, by family."""
        for key, old in before.items():
            if after.get(key) != old:
                self._shift(old, after.get(key))
        for key, new in after.items():
            if key not in before:
                self._shift(None, new)

    def _shift(self, old: Backend | None, new: Backend | None) -> None:
        for was, now in self._families.shift(old, new):
            self._noted.note(was, now)


def _rank(backend: Backend) -> tuple[bool, bool, str]:
    """Of several pods at one place the living before the leaving, then the ready, then by name.

    An address that was given to a new pod is, for a while, also that of the pod that had it before.
    """
    assert backend.pod is not None
    return backend.terminating, not backend.ready, backend.pod.name
