"""What the parts of the bridge talk about: instances as they are wanted, and as Consul holds them. No behaviour."""

from typing import Literal

import attrs

ServiceKey = tuple[str, str]
"""The namespace and the name of a Service of Kubernetes."""

Key = tuple[str, str]
"""A node of Consul's catalog, and the id of an instance on it."""

Status = Literal["passing", "critical"]

Pairs = tuple[tuple[str, str], ...]
"""A mapping as pairs, sorted by their keys: hashable, and compared as a whole."""

MANAGED_BY = "managed-by"
OWNER = "owner-id"
NAMESPACE = "external-k8s-ns"
NAME = "external-k8s-name"
UID = "external-k8s-uid"
PORT = "external-k8s-port"
SOURCE = "external-source"
K8S_NODE = "external-k8s-node-name"
ZONE_OF = "external-k8s-topology-zone"
CLUSTER = "external-k8s-cluster-uid"
"""Keys of the metadata that every entry of ours carries: who wrote it, for which Service, port and node. Those that
consul-k8s has are named as there."""

US = "aiodiscovery"
"""The value of `managed-by`."""


@attrs.frozen(kw_only=True)
class NodeEntry:
    """A node of Consul's catalog, as it is wanted.

    There is one for each node of the cluster that carries an instance, and one for addresses that are no node's.
    """

    name: str
    address: str
    meta: Pairs = ()


@attrs.frozen(kw_only=True)
class Instance:
    """One instance of a Consul service, and its readiness.

    Attributes:
        node: of Consul's catalog.
        id: unique on that node, and a pure function of owner, Service, port name and address.
        service: the Consul service's name.
        address: an IP address, or a load balancer's host name.
        port: where it answers.
        tags: in the order they are written.
        meta: see the keys above.
        weight: relative, 1 to 65535.
        status: what its readiness check says.
        of: the Service of Kubernetes that it stands for.
    """

    node: str
    id: str
    service: str
    address: str
    port: int
    tags: tuple[str, ...] = ()
    meta: Pairs = ()
    weight: int = 1
    status: Status = "passing"
    of: ServiceKey = ("", "")

    @property
    def key(self) -> Key:
        """Where it stands in the catalog."""
        return self.node, self.id


@attrs.frozen(kw_only=True)
class Held:
    """An instance of ours as Consul holds it.

    Attributes:
        instance: as read, after Consul's normalisation (weights of 0 are 1; no tags are ()).
        index: its ModifyIndex, for compare-and-set.
        check_index: that of its readiness check; 0 where there is none.
        probe: the definition that its probe check has, as (key, value) pairs; None where there is no such check.
        probe_index: that check's ModifyIndex, 0 where there is none.
    """

    instance: Instance
    index: int
    check_index: int = 0
    probe: Pairs | None = None
    probe_index: int = 0


@attrs.frozen(kw_only=True)
class HeldNode:
    """A node as Consul holds it.

    Attributes:
        entry: as read.
        index: its ModifyIndex.
        owned: its metadata carries our owner id, and our mark.
        agent: a Consul agent stands behind it (serfHealth): it would delete what it does not know.
        foreign: ids of instances on it that are not ours.
        foreign_checks: ids of checks on it that are neither of our instances nor ours.
        check: the status of our own node check (see `freshness`), "" where there is none.
        check_index: its ModifyIndex, 0 where there is none.
    """

    entry: NodeEntry
    index: int
    owned: bool
    agent: bool = False
    foreign: frozenset[str] = frozenset()
    foreign_checks: frozenset[str] = frozenset()
    check: str = ""
    check_index: int = 0
