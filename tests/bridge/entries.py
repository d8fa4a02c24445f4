"""Instances, nodes and catalogs as tests need them, and a Consul of a few lines that keeps what transactions say."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.operations import readiness_id
from discovery.bridge.records import (
    MANAGED_BY,
    NAME,
    NAMESPACE,
    OWNER,
    US,
    Held,
    HeldNode,
    Instance,
    Key,
    NodeEntry,
    Pairs,
)
from discovery.bridge.registry.catalog import Catalog, read_node
from discovery.consul.objects import Check, Node, NodeServices

MINE = "prod-eu"
OPTIONS = BridgeOptions(owner=MINE)
PROBED = BridgeOptions(owner=MINE, probe="esm")


def pairs(**meta: str) -> Pairs:
    return tuple(sorted({key.replace("_", "-"): value for key, value in meta.items()}.items()))


def instance(
    name: str = "web", node: int | str = 1, port: int = 30080, namespace: str = "shop", **more: Any
) -> Instance:
    """One as the bridge wants it: of `name`, on the node `n1`, at 10.0.0.1."""
    number = node if isinstance(node, int) else 9
    address = more.pop("address", f"10.0.0.{number}")
    named = f"n{node}" if isinstance(node, int) else node
    meta = {MANAGED_BY: US, OWNER: MINE, NAMESPACE: namespace, NAME: name}
    return Instance(
        node=named,
        id=f"{MINE}.{namespace}.{name}.http.{address}",
        service=more.pop("service", name),
        address=address,
        port=port,
        tags=more.pop("tags", ("k8s",)),
        meta=tuple(sorted((meta | more.pop("meta", {})).items())),
        of=(namespace, name),
        **more,
    )


def entry(node: int | str = 1, **more: Any) -> NodeEntry:
    """The node `n1`, ours."""
    name = f"n{node}" if isinstance(node, int) else node
    meta = more.pop("meta", {MANAGED_BY: US, OWNER: MINE})
    address = more.pop("address", f"10.0.0.{node}" if isinstance(node, int) else "127.0.0.1")
    return NodeEntry(name=name, address=address, meta=tuple(sorted(meta.items())))


def held_node(node: int | str = 1, index: int = 7, **more: Any) -> HeldNode:
    return HeldNode(entry=entry(node), index=index, owned=more.pop("owned", True), **more)


def held(one: Instance, index: int = 5, **more: Any) -> Held:
    return Held(instance=one, index=index, check_index=more.pop("check_index", 6), **more)


def catalog_of(*instances: Instance, **nodes: HeldNode) -> Catalog:
    """A catalog that holds these, on nodes of ours unless others are given."""
    catalog = Catalog()
    for name in {one.node for one in instances} | set(nodes):
        catalog.put_node(nodes.get(name) or attrs.evolve(held_node(name), entry=entry(int(name[1:]))))
    for one in instances:
        catalog.put(held(one))
    return catalog


def by_key(instances: Iterable[Instance]) -> dict[Key, Instance]:
    return {one.key: one for one in instances}


class Refused(Exception):
    """A transaction that the small Consul does not take; the number of each operation at fault, and why."""

    def __init__(self, errors: dict[int, str]) -> None:
        super().__init__(str(errors))
        self.errors = errors


class SmallConsul:
    """Nodes, services and checks with compare-and-set, all or nothing."""

    def __init__(self) -> None:
        self.index = 10
        self.tables: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {"Node": {}, "Service": {}, "Check": {}}

    def transact(self, operations: Sequence[bytes]) -> dict[tuple[str, str, str], int]:
        """What was written, by its kind, node and id, and its new index."""
        before = {kind: dict(rows) for kind, rows in self.tables.items()}
        self.index += 1
        errors: dict[int, str] = {}
        wrote: dict[tuple[str, str, str], int] = {}
        for number, operation in enumerate(operations):
            ((kind, body),) = json.loads(operation).items()
            error = self._one(kind, body["Verb"], *_located(kind, body), wrote)
            if error:
                errors[number] = error
        if errors:
            self.tables = before
            raise Refused(errors)
        return wrote

    def put(self, kind: str, key: tuple[str, ...], **row: Any) -> None:
        """What somebody else writes."""
        self.index += 1
        self.tables[kind][key] = {**row, "ModifyIndex": self.index}

    def catalog(self, owner: str = MINE) -> Catalog:
        """All that is held, as the bridge reads it."""
        catalog = Catalog()
        for (name,) in self.tables["Node"]:
            catalog.put_node(*read_node(self.services(name), self.checks(name), owner))
        return catalog

    def services(self, node: str) -> NodeServices:
        """As `/catalog/node-services/NODE` has them."""
        rows = [row for (where, _), row in self.tables["Service"].items() if where == node]
        wire = {"Node": {"Node": node, **self.tables["Node"][(node,)]}, "Services": rows}
        return msgspec.convert(wire, NodeServices)

    def checks(self, node: str) -> tuple[Check, ...]:
        """As `/health/node/NODE` has them."""
        rows = [row for (where, _), row in self.tables["Check"].items() if where == node]
        return msgspec.convert(rows, tuple[Check, ...])

    def foreign(self, owner: str = MINE) -> str:
        """All that is not the owner's, byte for byte."""
        nodes = {key for key, row in self.tables["Node"].items() if (row.get("Meta") or {}).get(OWNER) != owner}
        mine = {
            key
            for key, row in self.tables["Service"].items()
            if key[:1] not in nodes
            and (row.get("Meta") or {}).get(OWNER) == owner
            and (row.get("Meta") or {}).get(MANAGED_BY) == US
        }
        checks = {
            key: row for key, row in self.tables["Check"].items() if (key[0], row.get("ServiceID", "")) not in mine
        }
        services = {key: row for key, row in self.tables["Service"].items() if key not in mine}
        kept = {"Node": {key: self.tables["Node"][key] for key in nodes}, "Service": services, "Check": checks}
        return repr({kind: sorted(rows.items()) for kind, rows in kept.items()})

    def _one(
        self, kind: str, verb: str, key: tuple[str, ...], row: Mapping[str, Any], wrote: dict[tuple[str, str, str], int]
    ) -> str:
        rows = self.tables[kind]
        there = rows.get(key)
        if kind != "Node" and key[:1] not in self.tables["Node"]:
            return "Missing node registration"
        if (there["ModifyIndex"] if there else 0) != row["ModifyIndex"] or (verb == "delete-cas" and there is None):
            return f"failed to set or delete {kind} {key}, index is stale"
        if verb == "delete-cas":
            self._delete(kind, key)
            return ""
        if kind == "Check" and row["ServiceID"] and (key[0], row["ServiceID"]) not in self.tables["Service"]:
            return "Missing service registration"
        new = {name: value for name, value in row.items() if name != "ModifyIndex"}
        if there is None or {name: value for name, value in there.items() if name != "ModifyIndex"} != new:
            rows[key] = {**new, "ModifyIndex": self.index}
        wrote[(kind, key[0], key[-1])] = rows[key]["ModifyIndex"]
        return ""

    def _delete(self, kind: str, key: tuple[str, ...]) -> None:
        del self.tables[kind][key]
        for (node, check), row in list(self.tables["Check"].items()):
            if (kind == "Service" and (node, row["ServiceID"]) == key) or (kind == "Node" and (node,) == key):
                del self.tables["Check"][(node, check)]
        if kind == "Node":
            for where in [one for one in self.tables["Service"] if one[:1] == key]:
                del self.tables["Service"][where]


def _located(kind: str, body: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    row = dict(body[kind])
    if kind == "Node":
        return (row.pop("Node"),), row
    if kind == "Service":
        return (body["Node"], row["ID"]), row
    return (row["Node"], row["CheckID"]), row


def wire_node(name: str = "n1", services: Sequence[Mapping[str, Any]] = (), **more: Any) -> NodeServices:
    """A node and its services as JSON has them."""
    meta = more.pop("meta", {MANAGED_BY: US, OWNER: MINE})
    node = msgspec.convert({"Node": name, "Address": "10.0.0.1", "Meta": meta, "ModifyIndex": 7, **more}, Node)
    return NodeServices(node=node, services=msgspec.convert(services, NodeServices.__annotations__["services"]))


def wire_service(one: Instance, **more: Any) -> dict[str, Any]:
    """An instance as JSON has it."""
    return {
        "ID": one.id,
        "Service": one.service,
        "Tags": list(one.tags),
        "Address": one.address,
        "Meta": dict(one.meta),
        "Port": one.port,
        "Weights": {"Passing": one.weight, "Warning": 1},
        "ModifyIndex": 5,
        **more,
    }


def wire_check(one: Instance, **more: Any) -> Check:
    """Its readiness check as JSON has it."""
    row = {"Node": one.node, "CheckID": readiness_id(one.id), "ServiceID": one.id, "Status": one.status}
    return msgspec.convert(row | {"ServiceName": one.service, "ModifyIndex": 6} | more, Check)
