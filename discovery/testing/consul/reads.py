"""What can be read of the simulated catalog, each with its own index and places to watch, as Consul has them.

The indexes differ in grain: that of one node's services moves with what is on that node, that of one service's health
with that service, while the one of checks moves with any check.
"""

from typing import Any

from .acl import Access
from .blocking import Found, Query
from .narrowing import Narrowing, found, seen, visible, visible_entry
from .refusals import Refused
from .tables import Json, RowKey, State


class Reads:
    """The reads of one state's nodes, instances and checks: each gives a query that `blocking` runs."""

    def __init__(self, state: State) -> None:
        self._state = state

    # Catalog

    def nodes(self, narrowing: Narrowing) -> Query:
        """`/catalog/nodes`."""
        state = self._state

        def rows(access: Access) -> tuple[Any, bool]:
            chosen = [row for row in state.nodes.all() if narrowing.on(row) and narrowing.predicate(row)]
            return seen(chosen, lambda row: access.allows("node", row["Node"], "read"))

        return lambda: found(state.latest("nodes"), rows, ("nodes", None))

    def node_services(self, name: str, narrowing: Narrowing, *, as_map: bool) -> Query:
        """`/catalog/node-services/NODE`, and with `as_map` `/catalog/node/NODE`."""
        state, key = self._state, name.lower()

        def rows(access: Access) -> tuple[Any, bool]:
            node = state.nodes.get(key)
            if node is None:
                return (None if as_map else {"Node": None, "Services": None}), False
            if not access.allows("node", node["Node"], "read"):
                return (None if as_map else {"Node": None, "Services": None}), True
            services = [_tags(row) for row in state.services.by("node", key) if narrowing.predicate(row)]
            shown, filtered = seen(services, lambda row: access.allows("service", row["Service"], "read"))
            return {"Node": node, "Services": {row["ID"]: row for row in shown} if as_map else shown}, filtered

        def query() -> Found:
            there = state.nodes.get(key) is not None
            none = state.latest("node_extinction") if len(name) >= 2 else 0
            index = state.latest(f"node.{key}") if there else none
            return found(index, rows, ("nodes", key), ("services.node", key))

        return query

    def services(self, narrowing: Narrowing) -> Query:
        """`/catalog/services`: names and their tags."""
        state = self._state

        def rows(access: Access) -> tuple[Any, bool]:
            instances = [self._service_node(key) for key in sorted(state.services.rows)]
            wanted = [row for row in instances if narrowing.on({"Meta": row["NodeMeta"]}) and narrowing.predicate(row)]
            shown, filtered = seen(wanted, visible(access, "Node", "ServiceName"))
            names: dict[str, dict[str, None]] = {}
            for row in shown:
                names.setdefault(row["ServiceName"], {}).update(dict.fromkeys(row["ServiceTags"]))
            return {name: list(tags) for name, tags in names.items()}, filtered

        return lambda: found(state.latest("services"), rows, ("services", None))

    def instances(self, name: str, narrowing: Narrowing) -> Query:
        """`/catalog/service/NAME`."""
        state = self._state

        def rows(access: Access) -> tuple[Any, bool]:
            instances = [self._service_node(key) for key in state.services.keys_by("service", name.lower())]
            wanted = [
                row
                for row in instances
                if narrowing.on({"Meta": row["NodeMeta"]})
                and narrowing.tagged(row["ServiceTags"])
                and narrowing.predicate(row)
            ]
            return seen(wanted, visible(access, "Node", "ServiceName"))

        def query() -> Found:
            nodes = {("nodes", key[0]) for key in state.services.keys_by("service", name.lower())}
            return found(self._service_index(name), rows, ("services.service", name.lower()), *nodes)

        return query

    def _service_node(self, key: RowKey) -> Json:
        node, row = self._state.nodes.rows[key[0]], self._state.services.rows[key]
        return {
            "ID": node["ID"],
            "Node": node["Node"],
            "Address": node["Address"],
            "Datacenter": node["Datacenter"],
            "TaggedAddresses": node["TaggedAddresses"],
            "NodeMeta": node["Meta"],
            "ServiceKind": row.get("Kind", ""),
            "ServiceID": row["ID"],
            "ServiceName": row["Service"],
            "ServiceTags": row["Tags"] or [],
            "ServiceAddress": row["Address"],
            "ServiceWeights": row["Weights"],
            "ServiceMeta": row["Meta"] or {},
            "ServicePort": row.get("Port", 0),
            "ServiceSocketPath": "",
            "ServiceEnableTagOverride": row["EnableTagOverride"],
            "ServiceProxy": row["Proxy"],
            "ServiceConnect": row["Connect"],
            "ServiceLocality": None,
            "CreateIndex": row["CreateIndex"],
            "ModifyIndex": row["ModifyIndex"],
        }

    def _service_index(self, name: str) -> int:
        state = self._state
        if not state.services.keys_by("service", name.lower()) and state.latest("service_extinction"):
            return state.latest("service_extinction")
        return state.latest(f"service.{name.lower()}") or state.latest("services", "nodes", "checks")

    # Health

    def health(self, name: str, narrowing: Narrowing) -> Query:
        """`/health/service/NAME`."""
        state, key = self._state, name.lower()

        def rows(access: Access) -> tuple[Any, bool]:
            entries = map(self.entry, state.services.keys_by("service", key))
            return seen([entry for entry in entries if _wanted(entry, narrowing)], visible_entry(access))

        def query() -> Found:
            if state.services.keys_by("service", key):
                return found(self._service_index(name), rows, ("indexes", f"service.{key}"))
            return found(self._service_index(name), rows, ("services.service", key))

        return query

    def entry(self, key: RowKey) -> Json:
        """An instance with its node and the checks of both."""
        stored = self._stored_entry(key)
        checks = [_service_tags(row) for row in stored["Checks"]]
        return stored | {"Service": _tags(stored["Service"]), "Checks": checks}

    def _stored_entry(self, key: RowKey) -> Json:
        state = self._state
        checks = [*state.checks.by("instance", (key[0], "")), *state.checks.by("instance", key)]
        return {"Node": state.nodes.rows[key[0]], "Service": state.services.rows[key], "Checks": checks}

    def node_checks(self, name: str, narrowing: Narrowing) -> Query:
        """`/health/node/NODE`."""
        return self._checks("node", name.lower(), narrowing)

    def service_checks(self, name: str, narrowing: Narrowing) -> Query:
        """`/health/checks/NAME`."""
        return self._checks("service", name.lower(), narrowing)

    def checks_in(self, status: str, narrowing: Narrowing) -> Query:
        """`/health/state/STATUS`; "any" is all of them."""
        return self._checks("", status, narrowing)

    def _checks(self, index: str, value: str, narrowing: Narrowing) -> Query:
        """Those with a value of an index; "" is all with such a status."""
        state = self._state

        def rows(access: Access) -> tuple[Any, bool]:
            if index:
                checks = state.checks.by(index, value)
            else:
                checks = [row for row in state.checks.all() if value in ("any", row["Status"])]
            wanted = [
                _service_tags(row)
                for row in checks
                if narrowing.on(state.nodes.rows[row["Node"].lower()]) and narrowing.predicate(row)
            ]
            return seen(wanted, visible(access, "Node", "ServiceName"))

        topic = (f"checks.{index}", value) if index else ("checks", None)
        return lambda: found(state.latest("checks"), rows, topic)

    # Prepared queries

    def prepared(self, id_or_name: str, limit: int, access: Access) -> Json:
        """`/query/ID/execute`.

        Raises:
            Refused: there is none (404).
        """
        queries = [row for row in self._state.queries.all() if id_or_name in (row["ID"], row["Name"])]
        if not queries:
            raise Refused("Query not found", 404)
        wanted = queries[0]["Service"]
        narrowing = Narrowing(tags=tuple(wanted["Tags"]), node_meta=tuple(wanted["NodeMeta"].items()))
        places = self._state.services.keys_by("service", wanted["Service"].lower())
        entries = [entry for entry in map(self._stored_entry, places) if _wanted(entry, narrowing)]
        shown, _ = seen(entries, visible_entry(access))
        usable = [entry for entry in shown if _is_usable(entry, only_passing=wanted["OnlyPassing"])]
        return {
            "Service": wanted["Service"],
            "Nodes": usable[: limit or None],
            "DNS": {"TTL": ""},
            "PeerName": "",
            "Failovers": 0,
        }


def _wanted(entry: Json, narrowing: Narrowing) -> bool:
    return (
        narrowing.on(entry["Node"])
        and narrowing.tagged(entry["Service"]["Tags"])
        and narrowing.predicate(entry)
        and not (narrowing.passing and any(check["Status"] != "passing" for check in entry["Checks"]))
    )


def _is_usable(entry: Json, *, only_passing: bool) -> bool:
    statuses = {check["Status"] for check in entry["Checks"]}
    return statuses <= {"passing"} if only_passing else "critical" not in statuses


def _tags(row: Json) -> Json:
    return {**row, "Tags": row["Tags"] or []}


def _service_tags(row: Json) -> Json:
    return {**row, "ServiceTags": row["ServiceTags"] or []}
