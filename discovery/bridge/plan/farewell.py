"""What an orderly end leaves in Consul. Pure."""

import attrs

from ..options import BridgeOptions
from ..registry.catalog import Catalog
from .changes import Change, NodeChange, Plan


def farewell(catalog: Catalog, options: BridgeOptions) -> Plan:
    """What is done to all that is ours when the bridge ends: an operator asked for it, so no evidence is needed."""
    owned = catalog.owned.values()
    if options.shutdown == "critical":
        passing = [held for held in owned if held.instance.status == "passing"]
        return Plan(
            update=tuple(Change("check", attrs.evolve(one.instance, status="critical"), one) for one in passing)
        )
    if options.shutdown == "deregister":
        empty = [node for node in catalog.nodes.values() if node.owned and not node.foreign and not node.foreign_checks]
        return Plan(
            deregister=tuple(Change("deregister", held.instance, held) for held in owned),
            nodes=tuple(NodeChange("delete", node.entry, node) for node in empty),
        )
    return Plan()
