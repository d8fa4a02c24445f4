"""What the tests of the import share: entries of Consul, the namespace, and plans that are carried out on a copy."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from discovery.bridge.inbound.held import Held
from discovery.bridge.inbound.instances import Sighting, Spot
from discovery.bridge.inbound.objects import Json, belonging, overlaid
from discovery.bridge.inbound.options import ImportOptions
from discovery.bridge.inbound.plan import ImportPlan, Seen, plan
from discovery.consul.objects import AgentService, Check, HealthEntry, Node

OPTIONS = ImportOptions(owner="prod", namespace="shop", services=("*",), confirm_after=10.0)


def entry(
    address: str = "10.0.0.1",
    port: int = 8080,
    *,
    node_address: str = "192.0.2.1",
    status: str = "passing",
    node_status: str = "passing",
    meta: Mapping[str, str] | None = None,
    tags: Sequence[str] | None = None,
    kind: str = "",
    name: str = "db",
) -> HealthEntry:
    checks = (Check(check_id="serfHealth", status=node_status), Check(check_id="service:db", status=status))
    service = AgentService(
        id=f"{name}-{address}-{port}",
        service=name,
        kind=kind,
        address=address,
        port=port,
        meta=dict(meta) if meta else None,
        tags=None if tags is None else tuple(tags),
    )
    return HealthEntry(Node(name="n1", address=node_address, datacenter="dc1"), service, checks)


def at(*spots: Spot, ready: bool = True, **more: Any) -> Sighting:
    return Sighting(endpoints=dict.fromkeys(spots, ready), datacenter="dc1", **more)


def foreign_service(name: str, **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


class Namespace:
    """Objects of one namespace, as the API server keeps them; plans are carried out on them."""

    def __init__(self, *objects: Json) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self._numbers = itertools.count(1)
        for body in objects:
            self.put(body)

    def put(self, body: Json) -> None:
        key = body["kind"], body["metadata"]["name"]
        number = str(next(self._numbers))
        uid = self.objects[key]["metadata"]["uid"] if key in self.objects else f"uid-{number}"
        meta = {**body["metadata"], "uid": uid, "resourceVersion": number}
        self.objects[key] = copy.deepcopy({**body, "metadata": meta})

    def held(self, options: ImportOptions = OPTIONS) -> Held:
        found = copy.deepcopy(list(self.objects.values()))
        of = {kind: [one for one in found if one["kind"] == kind] for kind in ("Service", "EndpointSlice")}
        return Held.read(of["Service"], of["EndpointSlice"], options.owner)

    def apply(self, made: ImportPlan) -> None:
        for unit in made.units:
            for step in unit.steps:
                key = step.kind, step.name
                if step.action == "delete":
                    assert self.objects.pop(key)["metadata"]["resourceVersion"]
                    continue
                assert (key in self.objects) is (step.action == "replace")
                body = step.body
                if step.kind == "EndpointSlice":
                    body = belonging(body, unit.service, self.objects["Service", unit.service]["metadata"]["uid"])
                self.put(overlaid(self.objects[key], body) if step.action == "replace" else body)

    def sync(
        self, seen: Seen, options: ImportOptions = OPTIONS, *, gone: bool = True, approved: bool = False
    ) -> ImportPlan:
        """One pass, carried out."""
        made = plan(seen, self.held(options), options, gone=lambda _: gone, approved=approved)
        self.apply(made)
        return made

    def service(self, name: str) -> Json | None:
        return self.objects.get(("Service", name))

    def slices(self, service: str) -> list[Json]:
        found = [body for (kind, _), body in sorted(self.objects.items()) if kind == "EndpointSlice"]
        return [one for one in found if one["metadata"]["labels"]["kubernetes.io/service-name"] == service]

    def endpoints(self, service: str) -> dict[Spot, bool]:
        return {
            (one["addresses"][0], body["ports"][0]["port"]): one["conditions"]["ready"]
            for body in self.slices(service)
            for one in body["endpoints"]
        }


def actions(made: ImportPlan) -> list[tuple[str, str, str]]:
    """What a plan does, in order."""
    return [(step.action, step.kind, unit.service) for unit in made.units for step in unit.steps]
