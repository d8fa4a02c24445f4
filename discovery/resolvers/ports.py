"""Which port of a Service's endpoints is meant. Pure.

A port's name is the same in the Service and in its slices. A number is the Service's: the Service says by which name
its slices know it, and each slice says at which number its endpoints listen.
"""

from collections.abc import Collection, Iterable

from ..errors import PortNotFound, quote
from ..kube.objects import EndpointPort, ServiceBody, ServicePort, SliceBody

PORTS_SHOWN, LONGEST_PORT = 20, 80


class PortMeant:
    """What a target's port comes to, slice by slice; None is the only port there is."""

    def __init__(self, wanted: str | int | None) -> None:
        self._wanted = wanted
        self._service: ServiceBody | None = None
        self._sole: str | None = None

    def learn(self, bodies: Iterable[SliceBody]) -> bool:
        """Look at all slices, where none is named: whether another port than before is now the only one there is."""
        if self._wanted is not None:
            return False
        names = {port.name or "" for body in bodies for port in usable(body)}
        before, self._sole = self._sole, names.pop() if len(names) == 1 else None
        return before != self._sole

    def serve(self, service: ServiceBody | None) -> bool:
        """Take the Service as it is now; whether `of` may answer otherwise."""
        before, self._service = self._service, service
        if not isinstance(self._wanted, int):
            return False
        return before is None or service is None or before.ports != service.ports or before.headless != service.headless

    def of(self, body: SliceBody) -> EndpointPort | None:
        """The port of this slice. One that lacks it contributes nothing."""
        if isinstance(self._wanted, int):
            return self._by_number(body, self._wanted)
        name = self._sole if self._wanted is None else self._wanted
        return _named(body, name)

    def problem(self, what: str, bodies: Collection[SliceBody]) -> PortNotFound | None:
        """What is wrong with the port, where no slice has it and some have others."""
        if any(self.of(body) for body in bodies) or not any(body.ports for body in bodies):
            return None
        ports = [quote(port, LONGEST_PORT)[1:-1] for port in self._known(bodies)]
        shown = ", ".join(ports[:PORTS_SHOWN])
        if self._wanted is None:
            return PortNotFound(f"{what} has more than one port", ports=ports, next_step=f"Name one of {shown}")
        return PortNotFound(f"{what} has no port {self._wanted}", ports=ports, next_step=f"It has {shown}")

    def _by_number(self, body: SliceBody, number: int) -> EndpointPort | None:
        if self._service is None:
            return None
        named = service_port(self._service, number)
        if named is not None:
            return _named(body, named.name)
        if self._service.headless:
            return next((port for port in usable(body) if port.port == number), None)
        return None

    def _known(self, bodies: Iterable[SliceBody]) -> list[str]:
        if self._service:
            return [f"{port.name}={port.port}" if port.name else str(port.port) for port in self._service.ports]
        return sorted({port.name or str(port.port) for body in bodies for port in usable(body)})


def usable(body: SliceBody) -> list[EndpointPort]:
    """The ports that can be connected to: a missing number means any, which no client can use."""
    return [port for port in body.ports or () if 0 < (port.port or 0) < 65536 and (port.protocol or "TCP") == "TCP"]


def service_port(service: ServiceBody, wanted: str | int | None) -> ServicePort | None:
    """The TCP port of a Service by its name or number, or (None) its only one; None where it has no such port."""
    ports = [port for port in service.ports if port.protocol == "TCP"]
    if wanted is None:
        return ports[0] if len(ports) == 1 else None
    return next((port for port in ports if wanted == (port.port if isinstance(wanted, int) else port.name)), None)


def _named(body: SliceBody, name: str | None) -> EndpointPort | None:
    return next((port for port in usable(body) if (port.name or "") == name), None)
