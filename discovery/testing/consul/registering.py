"""`/v1/catalog/register` and `deregister`: one node, instance and their checks in a call."""

from . import bodies, rows
from .acl import Access
from .bodies import Deregistration, Registration
from .catalog import Catalog, same
from .refusals import Refused
from .tables import INDEXES, Json, State
from .txn import check_service


class Registering:
    """Does what agents, and everybody who has no transactions, ask for."""

    def __init__(self, state: State, catalog: Catalog, datacenter: str) -> None:
        self._state = state
        self._catalog = catalog
        self._datacenter = datacenter

    def register(self, wanted: Registration, access: Access) -> None:
        """Write a node, and what is given with it.

        Raises:
            Refused: nothing was written.
        """
        if not wanted.node:
            raise Refused("Must provide node")
        if not wanted.address and not wanted.skip_node_update:
            raise Refused("Must provide address if SkipNodeUpdate is not set")
        service = None
        if wanted.service is not None:
            check_service(wanted.service, access)
            service = rows.service_row(wanted.service, in_transaction=False)
        given = [*(wanted.checks or ()), *([wanted.check] if wanted.check else ())]
        checks = [_check_row(check, wanted.node) for check in given]
        node = self._changed_node(wanted)
        self._vet(wanted, node is not None, service, checks, access)
        with self._state.write() as at:
            if node is not None:
                self._catalog.put_node(at, node)
            if service is not None:
                self._catalog.put_service(at, wanted.node, service)
            for check in checks:
                self._catalog.put_check(at, check)

    def _changed_node(self, wanted: Registration) -> Json | None:
        stored = self._state.nodes.get((wanted.node or "").lower())
        node = bodies.Node(
            id=wanted.id,
            node=wanted.node,
            address=wanted.address,
            datacenter=wanted.datacenter,
            tagged_addresses=wanted.tagged_addresses,
            meta=wanted.node_meta,
        )
        row = rows.node_row(node, self._datacenter)
        if stored is None:
            return row
        return None if wanted.skip_node_update or same(row, stored, frozenset(INDEXES)) else row

    def _vet(
        self, wanted: Registration, writes_node: bool, service: Json | None, checks: list[Json], access: Access
    ) -> None:
        node = wanted.node or ""
        if writes_node:
            access.demand("node", node, "write")
        if service is not None:
            other = self._state.services.get((node.lower(), service["ID"].lower()))
            if other is not None and not access.allows("service", other["Service"], "write"):
                raise Refused("Permission denied", 403)
        for check in checks:
            if check["Node"].lower() != node.lower():
                told = f"Node '{check['Node']}' for check '{check['CheckID']}'"
                raise Refused(f"{told} doesn't match register request node '{node}'")
            if not check["ServiceID"]:
                access.demand("node", node, "write")
            elif service is None or service["ID"] != check["ServiceID"]:
                other = self._state.services.get((node.lower(), check["ServiceID"].lower()))
                if other is None:
                    raise Refused(f"Unknown service ID '{check['ServiceID']}' for check ID '{check['CheckID']}'")
                access.demand("service", other["Service"], "write")

    def deregister(self, wanted: Deregistration, access: Access) -> None:
        """Remove an instance, a check, or, where neither is named, the node with all that is on it.

        Raises:
            Refused: nothing was removed.
        """
        node = wanted.node or ""
        if not node:
            raise Refused("Must provide node")
        if not access.allows("node", node, "write"):
            self._vet_removal(wanted, node, access)
        with self._state.write() as at:
            if wanted.service_id:
                self._catalog.drop_service(at, node, wanted.service_id)
            elif wanted.check_id:
                self._catalog.drop_check(at, node, wanted.check_id)
            else:
                self._catalog.drop_node(at, node)

    def _vet_removal(self, wanted: Deregistration, node: str, access: Access) -> None:
        if wanted.service_id:
            service = self._state.services.get((node.lower(), wanted.service_id.lower()))
            if service is None:
                raise Refused(f"Unknown service ID '{wanted.service_id}'")
            access.demand("service", service["Service"], "write")
        elif wanted.check_id:
            check = self._state.checks.get((node.lower(), wanted.check_id.lower()))
            if check is None:
                raise Refused(f"Unknown check ID '{wanted.check_id}'")
            if check["ServiceID"]:
                access.demand("service", check["ServiceName"], "write")
            else:
                access.demand("node", node, "write")
        else:
            access.demand("node", node, "write")


def _check_row(check: bodies.Check, node: str) -> Json:
    try:
        return rows.check_row(check, node, in_transaction=False)
    except Refused as refused:
        raise Refused(f"Request decode failed: {refused.what}", refused.code) from None
