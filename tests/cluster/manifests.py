"""The objects that tests ask for, as JSON."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from .admin import Object


def fresh_name(prefix: str) -> str:
    """A name that nothing had before."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def deployment(
    namespace: str,
    name: str = "web",
    *,
    replicas: int = 3,
    port: int = 8080,
    probe: bool = True,
    pre_stop: int = 1,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """A Deployment of the pod server: surge 1, unavailable 0; `pre_stop` is the seconds before SIGTERM."""
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels, "annotations": dict(annotations or {})},
        "spec": _pod_spec(port, probe=probe, pre_stop=pre_stop),
    }
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "strategy": rolling, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _meta(namespace, name), "spec": spec}


def stateful_set(namespace: str, name: str, *, of: str, replicas: int, port: int = 8080) -> Object:
    """A StatefulSet of the pod server: each pod has a hostname in the domain of the headless Service `of`."""
    labels = {"app": of}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(port, probe=True, pre_stop=0)}
    spec = {"serviceName": of, "replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": _meta(namespace, name), "spec": spec}


def pod(namespace: str, name: str, *, port: int = 8080, node: str | None = None) -> Object:
    """A pod on its own, of no Service; `node` pins it."""
    spec = _pod_spec(port, probe=True, pre_stop=0)
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _meta(namespace, name), "spec": spec}


def _pod_spec(port: int, *, probe: bool, pre_stop: int) -> Object:
    container: Object = {
        "name": "web",
        "image": "test/server",
        "ports": [{"name": "http", "containerPort": port}],
    }
    if probe:
        container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": "http"}, "failureThreshold": 1}
    if pre_stop:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": pre_stop}}}
    return {"containers": [container], "terminationGracePeriodSeconds": 10}


def service(namespace: str, name: str = "web", *, port: int = 8080, kind: str = "ClusterIP", **more: Any) -> Object:
    """A Service for the Deployment of the same name; its port is called http. `more` goes into its spec."""
    ports = [{"name": "http", "port": port, "targetPort": "http"}]
    spec = {"type": kind, "selector": {"app": name}, "ports": ports} | more
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(namespace, name), "spec": spec}


def endpoint_slice(
    namespace: str, name: str, of: str, addresses: Sequence[str], *, port: int = 8080, ready: bool = True
) -> Object:
    """A slice made by hand for a Service: the controllers leave it alone."""
    labels = {"kubernetes.io/service-name": of, "endpointslice.kubernetes.io/managed-by": "tests"}
    conditions = {"ready": ready, "serving": ready, "terminating": False}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**_meta(namespace, name), "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
    }


def _meta(namespace: str, name: str) -> Object:
    return {"name": name, "namespace": namespace}
