"""What a bridge is told: checked where it is made, so that a wrong one never starts."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import attrs

from ..checks import instance, number, seconds, whole
from ..errors import ConfigurationError, InvalidTarget, quote
from ..targets import ADDRESS_TYPES, FAMILIES, AddressType, Family, check_namespace

Policy = Literal["sync", "upsert-only", "create-only"]
NodeChoice = Literal["endpoints", "all"]
NotReadyAs = Literal["critical", "absent"]
Shutdown = Literal["keep", "critical", "deregister"]
LeaderBy = Literal["session", "lease"]

OWNER_ID = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,31}")
"""At most 32 of a-z, 0-9 and single hyphens within: `--` separates it from the node's name in Consul."""

CAP_OF_ALL = 5
"""Nodes of a service where all nodes could serve it: each would be an instance, and 5,000 services on 100 nodes are
500,000 of them."""

SHORTEST_EXPIRY = 120.0
"""Seconds below which `expire_after` would mark what is well: a watch that is silent is given up after 90 s, and it
takes a while to open another."""


def _one_of(*values: str) -> Any:
    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in values:
            raise ConfigurationError(
                f"{attribute.name}={quote(value)} is unknown", next_step=f"One of {', '.join(values)}"
            )

    return check


def owner_id(of: str) -> Any:
    """A validator: an owner id, of which each `of` needs one of its own."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not isinstance(value, str) or not OWNER_ID.fullmatch(value):
            raise ConfigurationError(
                f"{attribute.name}={quote(value)} cannot be one",
                next_step=f"At most 32 of a-z, 0-9 and single hyphens, such as prod-eu; one of its own for each {of}",
            )

    return check


def texts(value: Any) -> tuple[Any, ...]:
    """A converter: one text is a list of one."""
    return (value,) if isinstance(value, str) else tuple(value)


def _namespaces(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    try:
        for one in value:
            check_namespace(one)
    except InvalidTarget as error:
        raise ConfigurationError(f"{attribute.name}: {error}") from error


def _namespace(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None:
        _namespaces(_instance, attribute, (value,))


def _at_least_debounce(options: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value < options.debounce:
        raise ConfigurationError(f"{attribute.name}={value} is less than debounce={options.debounce}")


def _address_types(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    wrong = next((one for one in value if one not in ADDRESS_TYPES), None)
    if wrong is not None or not value or len(set(value)) < len(value):
        what = "cannot be used" if wrong is None else f"has {quote(wrong)}, which is no kind of address"
        near = difflib.get_close_matches(str(wrong).lower(), [one.lower() for one in ADDRESS_TYPES], n=1)
        meant = next((one for one in ADDRESS_TYPES if near and one.lower() == near[0]), None)
        raise ConfigurationError(
            f"{attribute.name} {what}",
            next_step=f"Did you mean {meant}?" if meant else f"Some of {', '.join(ADDRESS_TYPES)}, best first",
        )


def _expiry(options: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is None:
        return
    if value < SHORTEST_EXPIRY:
        raise ConfigurationError(
            f"{attribute.name}={value:g} is less than {SHORTEST_EXPIRY:g}: a watch may be silent for 90 s and be well",
            next_step=f"Give it {SHORTEST_EXPIRY:g} s or more, such as 300",
        )
    if options.leader == "lease":
        raise ConfigurationError(
            f"{attribute.name} cannot go with leader=lease: without the API server nobody knows whether another leads",
            next_step=f"Leave leader at session, or leave {attribute.name} out",
        )


def _within_policy(options: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    refused = {"upsert-only": ("deregister",), "create-only": ("deregister", "critical")}.get(options.policy, ())
    if value in refused:
        raise ConfigurationError(
            f"{attribute.name}={value} cannot go with policy={options.policy}, which leaves what is registered",
            next_step=f"Leave {attribute.name} at keep, or policy at sync",
        )


_PART = re.compile(r"[A-Za-z0-9-]{0,40}")


def _part(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, str) or not _PART.fullmatch(value) or value.startswith("-"):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} cannot be part of a name", next_step="Up to 40 of a-z, 0-9 and -"
        )


def _tags(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    wrong = [one for one in value if not isinstance(one, str) or not one.strip() or not one.isprintable()]
    if wrong:
        raise ConfigurationError(f"{attribute.name}: {quote(wrong[0])} is no tag")


class BridgeKeywords(TypedDict, total=False):
    """The options of `BridgeOptions` but for `owner` and `policy`, as keyword arguments."""

    node_prefix: str
    namespaces: str | Sequence[str]
    deny_namespaces: str | Sequence[str]
    opt_in: bool
    service_prefix: str
    namespace_suffix: bool
    tags: str | Sequence[str]
    address_types: AddressType | Sequence[AddressType]
    family: Family
    nodes: NodeChoice
    max_nodes: int | None
    cordoned: bool
    not_ready: NotReadyAs
    pod_addresses: bool
    debounce: float
    max_debounce: float
    repair: float
    confirm_after: float
    max_deletes: int
    max_delete_percent: float
    leader: LeaderBy
    lease_namespace: str | None
    lock: str
    session_ttl: float
    adopt: bool
    shutdown: Shutdown
    expire_after: float | None
    probe: Literal["esm"] | None
    in_flight: int


@attrs.frozen(kw_only=True)
class BridgeOptions:
    """All that a bridge is told.

    Args:
        owner: the id under which it owns its entries: one of its own for each cluster, the same for all replicas.
        policy: "sync" registers, updates and deregisters; "upsert-only" never deregisters; "create-only" does neither.
        node_prefix: Consul nodes are called `PREFIX-OWNER--NODE`.
        namespaces: whose Services are registered; none named is all.
        deny_namespaces: whose are not, even so.
        opt_in: only Services with the annotation `consul.hashicorp.com/service-sync: "true"`; else all without "false".
        service_prefix: put before each name that is not asked for by annotation.
        namespace_suffix: append `-NAMESPACE` to those.
        tags: of every instance; its annotation adds more. Not `k8s` while consul-k8s runs with its defaults: it
            deregisters whatever has its tag under one of its names, on any node.
        address_types: kinds of a node's address, best first.
        family: of addresses.
        nodes: where a NodePort Service is reached: "endpoints" is at nodes with a usable endpoint, "all" at every node
            that is fit (a Service with the external traffic policy Local is always at those with an endpoint).
        max_nodes: at most so many for a port of a Service, by a stable choice; None is no bound with "endpoints", and 5
            with "all".
        cordoned: whether cordoned nodes serve.
        not_ready: what becomes of a node whose endpoints are all unready: "critical" in Consul, or "absent".
        pod_addresses: register Services of the type ClusterIP, and headless ones, at their pods: for clients that can
            reach the pod network.
        debounce: seconds without a further event after which a change is written.
        max_debounce: seconds after which it is written even so.
        repair: seconds between two readings of all that Consul holds of ours.
        confirm_after: seconds after which a list that lacks something is read once more, before that is believed.
        max_deletes: a pass that would deregister more on the evidence of lists holds them all back, unless
        max_delete_percent: of what is owned would be more.
        leader: one of several replicas writes: by a "session" of Consul, which fences every transaction, or by a
            "lease" of Kubernetes, which cannot.
        lease_namespace: where that Lease is; None is our own namespace.
        lock: the prefix of the bridge's keys in Consul: `LOCK/OWNER/leader`.
        session_ttl: seconds; after a crash another replica acts within twice that.
        adopt: take over entries under our owner id that another cluster has written, as where a cluster was made anew;
            else nothing is written while there are such.
        shutdown: what becomes of what is owned when the replica that leads ends in good order: all but "keep" is for a
            bridge without other replicas, for those would have to register it again. Neither "deregister" with the
            policy "upsert-only" or "create-only", nor "critical" with the latter.
        expire_after: seconds without a leader that could read the cluster, after which a standby marks all owned nodes
            critical, at least 120; None is never. Not with `leader="lease"`.
        probe: "esm" adds a TCP check for consul-esm to each instance; None does not.
        in_flight: transactions at a time.
    """

    owner: str = attrs.field(validator=owner_id("cluster"))
    policy: Policy = attrs.field(default="sync", validator=_one_of("sync", "upsert-only", "create-only"))
    node_prefix: str = attrs.field(default="k8s", validator=_part)
    namespaces: tuple[str, ...] = attrs.field(default=(), converter=texts, validator=_namespaces)
    deny_namespaces: tuple[str, ...] = attrs.field(
        default=("kube-system", "kube-public"), converter=texts, validator=_namespaces
    )
    opt_in: bool = attrs.field(default=False, validator=instance(bool))
    service_prefix: str = attrs.field(default="", validator=_part)
    namespace_suffix: bool = attrs.field(default=False, validator=instance(bool))
    tags: tuple[str, ...] = attrs.field(default=("kubernetes",), converter=texts, validator=_tags)
    address_types: tuple[AddressType, ...] = attrs.field(
        default=("ExternalIP", "InternalIP"), converter=texts, validator=_address_types
    )
    family: Family = attrs.field(default="prefer-ipv4", validator=_one_of(*FAMILIES))
    nodes: NodeChoice = attrs.field(default="endpoints", validator=_one_of("endpoints", "all"))
    max_nodes: int | None = attrs.field(default=None, validator=whole(least=1, optional=True))
    cordoned: bool = attrs.field(default=True, validator=instance(bool))
    not_ready: NotReadyAs = attrs.field(default="critical", validator=_one_of("critical", "absent"))
    pod_addresses: bool = attrs.field(default=False, validator=instance(bool))
    debounce: float = attrs.field(default=0.1, validator=seconds())
    max_debounce: float = attrs.field(default=0.3, validator=[seconds(), _at_least_debounce])
    repair: float = attrs.field(default=300.0, validator=seconds())
    confirm_after: float = attrs.field(default=10.0, validator=seconds())
    max_deletes: int = attrs.field(default=50, validator=whole(least=0))
    max_delete_percent: float = attrs.field(default=20.0, validator=number(least=0.0, most=100.0))
    leader: LeaderBy = attrs.field(default="session", validator=_one_of("session", "lease"))
    lease_namespace: str | None = attrs.field(default=None, validator=_namespace)
    lock: str = attrs.field(default="discovery", validator=_part)
    session_ttl: float = attrs.field(default=15.0, validator=number(least=10.0, most=86400.0))
    adopt: bool = attrs.field(default=False, validator=instance(bool))
    shutdown: Shutdown = attrs.field(
        default="keep", validator=[_one_of("keep", "critical", "deregister"), _within_policy]
    )
    expire_after: float | None = attrs.field(default=None, validator=[seconds(optional=True), _expiry])
    probe: Literal["esm"] | None = attrs.field(default=None, validator=attrs.validators.optional(_one_of("esm")))
    in_flight: int = attrs.field(default=4, validator=whole(least=1))

    @property
    def cap(self) -> int | None:
        """Nodes for one port of a Service at most; None is no bound."""
        return self.max_nodes if self.max_nodes is not None or self.nodes == "endpoints" else CAP_OF_ALL
