"""The ways to what is behind a Service."""

from collections.abc import Mapping
from typing import Literal, TypeVar
from urllib.parse import quote

import attrs

from ..errors import InvalidTarget
from ..errors import quote as quoted
from . import checks
from .checks import Family

AddressType = Literal["ExternalIP", "InternalIP", "Hostname", "ExternalDNS", "InternalDNS"]
ADDRESS_TYPES: tuple[AddressType, ...] = ("ExternalIP", "InternalIP", "Hostname", "ExternalDNS", "InternalDNS")
"""The kinds of address that a node has (core/v1 NodeAddressType)."""


@attrs.frozen(kw_only=True)
class OfService:
    """What all targets of a Service have.

    Args:
        service: the Service's name.
        namespace: its namespace; None is the client's own.
        port: the name or number of the Service's port; None where the Service has only one.
        family: which address is taken where there are two, or the only kind wanted.

    Raises:
        InvalidTarget: a name, port or family that cannot be one.
    """

    service: str = attrs.field(kw_only=False, validator=checks.label("Service", optional=False))
    namespace: str | None = attrs.field(default=None, validator=checks.label("namespace"))
    port: str | int | None = attrs.field(default=None, converter=checks.port)
    family: Family = attrs.field(default="prefer-ipv4", validator=checks.family)

    def _text(self, scheme: str, **options: str | None) -> str:
        given = {key: value for key, value in options.items() if value is not None}
        if self.family != "prefer-ipv4":
            given["family"] = self.family
        port = "" if self.port is None else f":{self.port}"
        return f"{scheme}://{self.namespace or ''}/{self.service}{port}{print_options(given)}"


@attrs.frozen(kw_only=True)
class Endpoints(OfService):
    """The usable pods behind a Service: EndpointSlices, or Endpoints where the server has no slices.

    Args:
        service: the Service's name.
        namespace: its namespace; None is the client's own.
        port: the name or number of the Service's port; None where the Service has only one. A headless Service is
            also found by its target port, because that is what users of plain DNS write.
        family: which address a pod with both is called by, or the only kind wanted.
        hostname: only the pod of this hostname (a StatefulSet's pod); None is all.

    Raises:
        InvalidTarget: a name, port or family that cannot be one.
    """

    hostname: str | None = attrs.field(default=None, validator=checks.label("pod"))

    def __str__(self) -> str:
        return self._text("endpoints", hostname=self.hostname)


@attrs.frozen(kw_only=True)
class ClusterIP(OfService):
    """The Service's own stable address: kube-proxy, or a mesh, chooses the pod. For clients in the cluster.

    Args and errors as in `Endpoints`; a Service of both families has two addresses.
    """

    def __str__(self) -> str:
        return self._text("cluster-ip")


@attrs.frozen(kw_only=True)
class LoadBalancer(OfService):
    """The external addresses of a Service of the type LoadBalancer, once they are assigned.

    Args and errors as in `Endpoints`.
    """

    def __str__(self) -> str:
        return self._text("load-balancer")


def _address_types(given: object) -> tuple[AddressType, ...]:
    types = tuple(given) if isinstance(given, list | tuple) else ()
    wrong = [one for one in types if one not in ADDRESS_TYPES]
    if wrong or not types or len(set(types)) < len(types):
        raise InvalidTarget(
            f"{quoted(wrong[0] if wrong else given)} "
            + ("is no kind of address" if wrong else "are no address types, each once"),
            part=str(wrong[0] if wrong else given),
            next_step=f"Some of {', '.join(ADDRESS_TYPES)}",
        )
    return types


@attrs.frozen(kw_only=True)
class NodePort(OfService):
    """The nodes' addresses with the port that every node has for the Service. For clients outside the cluster.

    Args:
        service: the Service's name.
        namespace: its namespace; None is the client's own.
        port: the name or number of the Service's port; None where the Service has only one.
        family: which address of a node is taken where it has both, or the only kind wanted.
        address_types: of each node the first of these that it has is taken.
        cordoned: whether nodes that take no new pods stay. An upgrade cordons all, one by one.

    Raises:
        InvalidTarget: a name, port, family or address type that cannot be one.
    """

    address_types: tuple[AddressType, ...] = attrs.field(default=("ExternalIP", "InternalIP"), converter=_address_types)
    cordoned: bool = attrs.field(default=True)

    @cordoned.validator
    def _check_cordoned(self, _attribute: checks.Attribute, value: object) -> None:
        if not isinstance(value, bool):
            raise InvalidTarget(f"cordoned={quoted(value)} is neither True nor False", part=str(value))

    def __str__(self) -> str:
        types = None if self.address_types == ("ExternalIP", "InternalIP") else ",".join(self.address_types)
        options = {"address-types": types, "cordoned": None if self.cordoned else "no"}
        return self._text("node-port", **options)


def check_namespace(namespace: str) -> None:
    """A namespace's name.

    Raises:
        InvalidTarget: it cannot be one.
    """
    OfService("any", namespace=namespace)


AnyOfService = TypeVar("AnyOfService", bound=OfService)


def print_options(options: Mapping[str, str]) -> str:
    """`?key=value&...`, sorted and percent-encoded; "" where there are none."""
    return "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(options.items())) if options else ""
