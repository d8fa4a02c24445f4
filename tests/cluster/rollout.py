"""What an operator does to a Deployment, and how to see that it is done."""

from typing import Any

from .admin import Admin, Object
from .manifests import deployment, fresh_name, service
from .pods import BEGINS


def slices_path(namespace: str) -> str:
    return f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"


async def endpoints(admin: Admin, namespace: str, service: str) -> list[Object]:
    """The endpoints of a Service as its slices have them now."""
    selector = f"kubernetes.io/service-name={service}"
    slices = await admin.items(slices_path(namespace), labelSelector=selector)
    return [endpoint for piece in slices for endpoint in piece.get("endpoints") or ()]


async def web(
    admin: Admin, namespace: str, replicas: int, *, kind: str = "ClusterIP", port: int = 8080, **spec: Any
) -> dict[str, str]:
    """A Deployment and its Service, both called web; by address, the name of each pod once all are ready.

    `spec` goes into the Service's.
    """
    await admin.create(service(namespace, kind=kind, port=port, **spec))
    await admin.create(deployment(namespace, replicas=replicas))
    return named(await settled(admin, namespace, "web", replicas))


def named(found: list[Object]) -> dict[str, str]:
    """By address, the name of the pod that an endpoint is."""
    return {endpoint["addresses"][0]: endpoint["targetRef"]["name"] for endpoint in found}


async def settled(admin: Admin, namespace: str, name: str, replicas: int, *, timeout: float = 60.0) -> list[Object]:
    """Wait until a Deployment has these replicas, all of them new and ready, and its slices nothing else."""

    def complete(found: Object) -> bool:
        seen, wanted = found.get("status", {}), found["metadata"]["generation"]
        counts = [seen.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")]
        return seen.get("observedGeneration", 0) >= wanted and counts == [replicas] * 3

    def only_ready(listed: Object) -> bool:
        there = [endpoint for piece in listed["items"] for endpoint in piece.get("endpoints") or ()]
        return len(there) == replicas and all(endpoint["conditions"]["ready"] for endpoint in there)

    await admin.wait_for(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", complete, timeout=timeout)
    selector = f"kubernetes.io/service-name={name}"
    await admin.wait_for(slices_path(namespace), only_ready, timeout=timeout, labelSelector=selector)
    return await endpoints(admin, namespace, name)


async def restart(admin: Admin, namespace: str, name: str) -> None:
    """What `kubectl rollout restart` does: a new annotation, so a new template, so new pods."""
    annotations = {"kubectl.kubernetes.io/restartedAt": fresh_name("at")}
    change = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    await admin.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", change)


async def version(admin: Admin, namespace: str, name: str, *, begins: str | None) -> None:
    """Roll out pods that begin so (see `server`); None rolls back to those that are as they should be."""
    change = {"spec": {"template": {"metadata": {"annotations": {BEGINS: begins}}}}}
    await admin.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", change)


async def scale(admin: Admin, namespace: str, name: str, replicas: int) -> None:
    await admin.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", {"spec": {"replicas": replicas}})
