"""The objects of the simulated API, as the controllers of a real cluster write them. Pure."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .objects import Json

if TYPE_CHECKING:
    from .pods import FakePod

ServiceKind = Literal["ClusterIP", "NodePort", "LoadBalancer", "headless"]

ZONE = "topology.kubernetes.io/zone"
LONG_AGO = "2026-01-01T00:00:00Z"


def node(name: str, zone: str, address: str) -> Json:
    """A node that is ready."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", ZONE: zone}},
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
                {"type": "Ready", "status": "True", "reason": "KubeletReady"},
            ],
        },
    }


def service(
    namespace: str, name: str, kind: ServiceKind, *, port: int, cluster_ip: str, node_port: int, headless_port: int
) -> Json:
    """A Service with one port, `http`.

    Args:
        namespace: of it.
        name: its own, and the value of the label `app` that it selects.
        kind: its type, or without a cluster IP.
        port: its own.
        cluster_ip: its own, unless it is headless.
        node_port: 0 for a kind without one.
        headless_port: the pods', where the kind is headless: no proxy changes one into the other.
    """
    headless = kind == "headless"
    address = "None" if headless else cluster_ip
    http: Json = {"name": "http", "protocol": "TCP", "port": port, "targetPort": headless_port if headless else "http"}
    spec: Json = {
        "type": "ClusterIP" if headless else kind,
        "clusterIP": address,
        "clusterIPs": [address],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "selector": {"app": name},
        "ports": [http],
    }
    if node_port:
        http["nodePort"] = node_port
        spec["externalTrafficPolicy"] = "Cluster"
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"metadata": meta, "spec": spec, "status": {"loadBalancer": {}}}


def ingress(place: str) -> Json:
    """An address of a load balancer: an IP address or a host name."""
    numeric = ":" in place or place.replace(".", "").isdigit()
    return {"ip": place, "ipMode": "VIP"} if numeric else {"hostname": place}


def pod(one: "FakePod", app: str, *, subdomain: str) -> Json:
    """A running pod, of a StatefulSet where `subdomain` names its Service."""
    ready = "True" if serving(one) else "False"
    labels = {"app": app, ZONE: one.zone}
    labels |= {"statefulset.kubernetes.io/pod-name": one.name} if subdomain else {"pod-template-hash": "5d59d67564"}
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet" if subdomain else "ReplicaSet", "name": app, "uid": app}
    meta: Json = {"name": one.name, "namespace": one.namespace, "uid": one.uid, "labels": labels}
    meta["ownerReferences"] = [{**owner, "controller": True}]
    if one.terminating:
        meta |= {"deletionTimestamp": LONG_AGO, "deletionGracePeriodSeconds": 30}
    port = {"name": "http", "containerPort": one.port, "protocol": "TCP"}
    spec: Json = {"nodeName": one.node, "containers": [{"name": "web", "image": "fake", "ports": [port]}]}
    if subdomain:
        spec |= {"hostname": one.name, "subdomain": subdomain}
    true = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized")]
    status = {
        "phase": "Running",
        "podIP": one.address,
        "podIPs": [{"ip": one.address}],
        "conditions": [*true, *({"type": kind, "status": ready} for kind in ("Ready", "ContainersReady"))],
        "containerStatuses": [{"name": "web", "ready": serving(one), "started": True, "restartCount": 0}],
    }
    return {"metadata": meta, "spec": spec, "status": status}


def piece(namespace: str, app: str, number: int, pods: Sequence["FakePod"], *, hostnames: bool) -> Json:
    """One of a Service's EndpointSlices."""
    labels = {
        "kubernetes.io/service-name": app,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    return {
        "metadata": {"name": f"{app}-{number}", "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "ports": [_port(pods)] if pods else [],
        "endpoints": [_endpoint(one, hostname=hostnames) for one in pods],
    }


def endpoints(namespace: str, app: str, pods: Sequence["FakePod"], *, hostnames: bool) -> Json:
    """The Endpoints of a Service. They have no word for a pod that is to end: it is not in them."""
    staying = [one for one in pods if not one.terminating]
    subset = {
        "addresses": [_address(one, hostname=hostnames) for one in staying if one.ready],
        "notReadyAddresses": [_address(one, hostname=hostnames) for one in staying if not one.ready],
    }
    filled: dict[str, Any] = {name: addresses for name, addresses in subset.items() if addresses}
    subsets = {"subsets": [{**filled, "ports": [_port(staying)]}]} if staying else {}
    return {"metadata": {"name": app, "namespace": namespace}, **subsets}


def serving(one: "FakePod") -> bool:
    """What its readiness probe says, which goes on while it is to end."""
    return one.alive if one.terminating else one.ready


def usable(pods: Iterable["FakePod"]) -> list["FakePod"]:
    """Those that kube-proxy sends connections to: the ready ones, else those that still serve while they are to end."""
    known = tuple(pods)
    return [one for one in known if one.ready and not one.terminating] or [
        one for one in known if one.terminating and serving(one)
    ]


def _port(pods: Sequence["FakePod"]) -> Json:
    return {"name": "http", "protocol": "TCP", "port": pods[0].port}


def _endpoint(one: "FakePod", *, hostname: bool) -> Json:
    """As the EndpointSlice controller has it: a pod that is to end is never ready."""
    conditions = {"ready": one.ready and not one.terminating, "serving": serving(one), "terminating": one.terminating}
    return {
        "addresses": [one.address],
        "conditions": conditions,
        "nodeName": one.node,
        "zone": one.zone,
        "targetRef": _reference(one),
        **({"hostname": one.name} if hostname else {}),
    }


def _address(one: "FakePod", *, hostname: bool) -> Json:
    name = {"hostname": one.name} if hostname else {}
    return {"ip": one.address, "nodeName": one.node, "targetRef": _reference(one), **name}


def _reference(one: "FakePod") -> Json:
    return {"kind": "Pod", "namespace": one.namespace, "name": one.name, "uid": one.uid}
