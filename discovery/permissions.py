"""What each target reads of the Kubernetes API, and the smallest RBAC rules that allow it. Pure; nothing is contacted.

    endpoints://      the EndpointSlices of the namespace; the Service, by name
    pods://           the pods of the namespace
    cluster-ip://     the Service, by name
    load-balancer://  the Service, by name
    node-port://      the Service, by name; all nodes; the EndpointSlices of the namespace
    dns://, static:// nothing
    consul://         nothing: a token of Consul's own allows it
    a bridge          all Services and EndpointSlices, of its namespaces or of all; all nodes; its Lease, if it has one

All is listed and watched. RBAC knows no selectors, so of slices and pods, whose names nobody knows beforehand, a rule
allows all of the namespace; a Service is allowed by its name (`resourceNames`).

Two of these a target can do without, and they are optional. With the name of a port, or none, endpoints:// reads the
Service for its traffic policy only; node-port:// needs slices only where the external traffic policy is Local.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import attrs

from .errors import InvalidTarget
from .targets import ClusterIP, Endpoints, LoadBalancer, NodePort, OfService, Pods, Target

Json = dict[str, Any]

RBAC_GROUP = "rbac.authorization.k8s.io"
VERBS = ("list", "watch")

ROLE_NAME = "discovery"
"""What the roles are called unless told otherwise."""


BRIDGE_NAME = "discovery-bridge"
"""What the roles of a bridge are called unless told otherwise."""


class Bridge(Protocol):
    """What a bridge's permissions depend on, as `BridgeOptions` has it."""

    @property
    def owner(self) -> str:
        """Its owner id, which names its Lease."""
        ...

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Whose Services it registers; none named is all."""
        ...

    @property
    def leader(self) -> str:
        """How one of several replicas is chosen: by a "session" or a "lease"."""
        ...

    @property
    def lease_namespace(self) -> str | None:
        """Where the Lease is; None is its own namespace."""
        ...


@attrs.frozen(order=True)
class Permission:
    """One resource that may be listed and watched.

    Args:
        namespace: "" for a resource that is in none.
        group: of the API, "" for the core.
        resource: its plural.
        name: of the only object that is meant, "" for all of them.
    """

    namespace: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.resource}/{self.name}" if self.name else self.resource


def needed(target: Target) -> tuple[Permission, ...]:
    """What a target cannot be resolved without. Its namespace is settled."""
    match target:
        case Endpoints(port=int()):
            return _slices(target), _service(target)
        case Endpoints():
            return (_slices(target),)
        case Pods():
            return (Permission(_namespace(target), "", "pods"),)
        case ClusterIP() | LoadBalancer():
            return (_service(target),)
        case NodePort():
            return _service(target), Permission("", "", "nodes")
    return ()


def optional(target: Target) -> tuple[Permission, ...]:
    """What it reads besides, where it may, and does without otherwise: what traffic policies need."""
    match target:
        case Endpoints(port=str() | None):
            return (_service(target),)
        case NodePort():
            return (_slices(target),)
    return ()


def roles(
    targets: Iterable[Target], namespace: str | None = None, *, name: str = ROLE_NAME, full: bool = False
) -> list[Json]:
    """The smallest roles that allow these targets: a Role for each namespace, and a ClusterRole where nodes are read.

    Args:
        targets: what is to be resolved.
        namespace: where a target names none.
        name: of the roles.
        full: with what is optional.

    Raises:
        InvalidTarget: a target names no namespace, and none is given.
    """
    found: set[Permission] = set()
    for target in targets:
        settled = settle(target, namespace)
        found.update(needed(settled), optional(settled) if full else ())
    return [_role(place, name, _rules(found, place)) for place in sorted({one.namespace for one in found}, key=_last)]


def bridge_roles(bridge: Bridge, namespace: str | None = None, *, name: str = BRIDGE_NAME) -> list[Json]:
    """The smallest roles that a bridge to Consul needs: all of its namespaces, or a ClusterRole for all there are.

    Args:
        bridge: its options.
        namespace: its own, where its Lease is unless it is told otherwise.
        name: of the roles.

    Raises:
        InvalidTarget: it needs a Lease, and nobody says in which namespace.
    """
    found = {Permission("", "", "nodes")}
    for place in bridge.namespaces or ("",):
        found |= {Permission(place, "", "services"), Permission(place, "discovery.k8s.io", "endpointslices")}
    rules = {place: _rules(found, place) for place in {one.namespace for one in found}}
    if bridge.leader == "lease":
        place = bridge.lease_namespace or namespace or ""
        if not place:
            raise InvalidTarget("a bridge with a Lease needs its namespace", next_step="Name lease_namespace")
        rules.setdefault(place, []).extend(_lease(f"aiodiscovery-{bridge.owner}"))
    return [_role(place, name, rules[place]) for place in sorted(rules, key=_last)]


def binding(role: Mapping[str, Any], *, account: str, account_namespace: str) -> Json:
    """What gives one of these roles to a ServiceAccount."""
    reference = {"apiGroup": RBAC_GROUP, "kind": role["kind"], "name": role["metadata"]["name"]}
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": dict(role["metadata"]),
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
        "roleRef": reference,
    }


def settle(target: Target, namespace: str | None) -> Target:
    """The target in the namespace where it names none.

    Raises:
        InvalidTarget: it names none, and none is given.
    """
    if not isinstance(target, OfService | Pods) or target.namespace:
        return target
    if not namespace:
        raise InvalidTarget(f"{target} names no namespace", part=str(target), next_step="Write NS/SERVICE")
    return attrs.evolve(target, namespace=namespace)


def _namespace(target: Target) -> str:
    return getattr(target, "namespace", None) or ""


def _slices(target: Endpoints | NodePort) -> Permission:
    return Permission(_namespace(target), "discovery.k8s.io", "endpointslices")


def _service(target: Endpoints | ClusterIP | LoadBalancer | NodePort) -> Permission:
    return Permission(_namespace(target), "", "services", target.service)


def _last(namespace: str) -> tuple[bool, str]:
    """Namespaces by name, and what is in none of them at the end."""
    return not namespace, namespace


def _lease(name: str) -> list[Json]:
    """One Lease; what is created has no name yet that a rule could ask for."""
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    return [{**rule, "resourceNames": [name], "verbs": ["get", "update"]}, {**rule, "verbs": ["create"]}]


def _rules(found: Iterable[Permission], namespace: str) -> list[Json]:
    """One for each resource, with the names of all of its objects that are meant."""
    named: dict[tuple[str, str], list[str]] = {}
    for one in sorted(found):
        if one.namespace == namespace:
            named.setdefault((one.group, one.resource), []).extend([one.name] if one.name else ())
    return [
        {
            "apiGroups": [group],
            "resources": [resource],
            **({"resourceNames": names} if names else {}),
            "verbs": list(VERBS),
        }
        for (group, resource), names in named.items()
    ]


def _role(namespace: str, name: str, rules: list[Json]) -> Json:
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "rules": rules,
    }
