"""Our objects in Kubernetes, as they are wanted. Pure.

A Consul service becomes one headless Service without a selector, and EndpointSlices: one port and one family of
addresses each.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import xxhash

from ...kube.objects import SERVICE_NAME
from ..records import US
from .instances import Spot
from .options import ImportOptions

Json = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
OWNER = "aiodiscovery/owner-id"
CONSUL_SERVICE = "aiodiscovery/consul-service"
CONSUL_DATACENTER = "aiodiscovery/consul-datacenter"
"""Labels and annotations that we write. The first three are Kubernetes' own: the second keeps its controllers away, the
third tells kube-proxy that it has nothing to do."""

PORT_NAME = "default"
"""Of the one port that a Service has: slices say by which number it is meant at their endpoints."""

Group = tuple[int, str]
"""What the endpoints of one slice share: the port, and the family (IPv4, IPv6)."""

LONGEST_NAME = 63

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_STRANGE = re.compile(r"[^a-z0-9-]+")


def service_name(consul: str, prefix: str) -> str | None:
    """The name in Kubernetes of a Consul service: in lower case, with a hyphen for what a DNS label cannot carry.

    Too long a name is cut, and ends with a hash of the whole. None where it would not begin with a letter, as the name
    of a Service has to.
    """
    name = _STRANGE.sub("-", f"{prefix}{consul}".lower()).strip("-")
    if len(name) > LONGEST_NAME:
        name = f"{name[:54].rstrip('-')}-{xxhash.xxh32_hexdigest(consul.encode())}"
    return name if _LABEL.fullmatch(name) else None


def slice_name(owner: str, service: str, group: Group, number: int) -> str:
    """The name of a slice: the same for the same service, group and number, wherever it is made."""
    port, family = group
    known_by = f"{owner}/{service}/{port}/{family}/{number}".encode()
    return f"{service}-{xxhash.xxh3_64_hexdigest(known_by)[:10]}"


def group_of(spot: Spot) -> Group:
    """Which slices an endpoint belongs into."""
    address, port = spot
    return port, "IPv6" if ":" in address else "IPv4"


def main_port(spots: Iterable[Spot], held: int = 0) -> int:
    """The number of the Service's port: the one that most endpoints have; that it has now, while any endpoint has it.

    Staying matters more: whoever calls the Service by a number has it in a configuration. 0 where there is none.
    """
    counts = Counter(port for _, port in spots)
    if held in counts or not counts:
        return held
    return min(counts, key=lambda port: (-counts[port], port))


def grouped(endpoints: Mapping[Spot, bool]) -> dict[Group, dict[str, bool]]:
    """Endpoints as slices have them: addresses by port and family."""
    found: dict[Group, dict[str, bool]] = {}
    for spot, ready in endpoints.items():
        found.setdefault(group_of(spot), {})[spot[0]] = ready
    return found


def name_of(body: Json) -> str:
    """An object's name."""
    return str((body.get("metadata") or {}).get("name") or "")


# Made


def service_body(name: str, consul: str, datacenter: str, port: int, options: ImportOptions) -> Json:
    """A Service as it is wanted."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": options.namespace,
            "labels": _labels(options.owner),
            "annotations": _annotations(consul, datacenter),
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP", "targetPort": port}],
        },
    }


def slice_body(
    name: str, service: str, consul: str, group: Group, endpoints: Mapping[str, bool], options: ImportOptions
) -> Json:
    """A slice as it is wanted, but for the reference to its Service: see `belonging`."""
    port, family = group
    labels = {SERVICE_NAME: service, SLICE_MANAGED_BY: US, HEADLESS: "", **_labels(options.owner)}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": options.namespace,
            "labels": labels,
            "annotations": {CONSUL_SERVICE: consul},
        },
        "addressType": family,
        "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
        "endpoints": [endpoint_body(address, ready=ready) for address, ready in sorted(endpoints.items())],
    }


def endpoint_body(address: str, *, ready: bool) -> Json:
    """An endpoint. One that is not ready does not serve either: a check that fails says no less."""
    return {"addresses": [address], "conditions": {"ready": ready, "serving": ready, "terminating": False}}


def belonging(body: Json, service: str, uid: str) -> Json:
    """A slice that goes with its Service when that is deleted, by whomever."""
    owner = {"apiVersion": "v1", "kind": "Service", "name": service, "uid": uid, "controller": True}
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}}


def overlaid(held: Json, wanted: Json) -> Json:
    """What to put in the place of an object of ours: what others added to its metadata stays, and its version."""
    meta, ours = held.get("metadata") or {}, wanted["metadata"]
    merged = {
        **meta,
        **ours,
        "labels": {**(meta.get("labels") or {}), **ours["labels"]},
        "annotations": {**(meta.get("annotations") or {}), **ours["annotations"]},
    }
    body = {**held, **wanted, "metadata": merged}
    if wanted["kind"] == "Service":
        spec = {key: value for key, value in (held.get("spec") or {}).items() if key != "selector"}
        body["spec"] = {**spec, **wanted["spec"]}
    return body


def _labels(owner: str) -> dict[str, str]:
    return {MANAGED_BY: US, OWNER: owner}


def _annotations(consul: str, datacenter: str) -> dict[str, str]:
    return {CONSUL_SERVICE: consul, **({CONSUL_DATACENTER: datacenter} if datacenter else {})}
