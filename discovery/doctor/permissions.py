"""What targets read of the API server, tried as the library reads it: listed, and watched."""

import time

import attrs

from ..errors import AccessDenied, ApiUnavailable
from ..kube.access import Access
from ..kube.failures import unreachable
from ..kube.kinds import ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES, pods_matching
from ..network import NETWORK_ERRORS
from ..permissions import Permission
from . import judging
from .finding import Finding, ok, warning

KINDS = {kind.resource: kind for kind in (ENDPOINT_SLICES, ENDPOINTS, SERVICES, NODES, pods_matching(""))}

WATCH = {"watch": "1", "timeoutSeconds": "1"}

COSTS = {
    "services": "without it the Service's traffic policy is not known",
    "endpointslices": "without it, under the external traffic policy Local, nodes without a pod are used too",
}
"""What is lost where something may not be read that a target can do without."""


async def may_read(access: Access, permission: Permission, *, needed: bool = True) -> Finding:
    """Whether this may be listed and watched; where it is not needed, its lack is a warning.

    Raises:
        AccessDenied, ApiUnavailable: it is needed, and cannot be.
    """
    try:
        await _asked(access, permission, "list", {"limit": "1"})
        await _asked(access, permission, "watch", WATCH)
    except AccessDenied as error:
        if needed:
            raise
        return warning(f"may not be read; {COSTS[permission.resource]}", error.next_step)
    except ApiUnavailable as error:
        if not _has_no_slices(permission, error):
            raise
        return warning(
            "the API server has no EndpointSlices: Endpoints are read instead",
            "Allow to list and watch endpoints; from Kubernetes 1.21 on there are EndpointSlices",
        )
    return ok("may be listed and watched")


async def streams(access: Access, permission: Permission) -> Finding:
    """Whether a watch is passed on as it comes: some proxies keep answers until they are whole.

    Raises:
        ApiUnavailable: it broke.
    """
    try:
        return await _streams(access, permission)
    except ApiUnavailable as error:
        if not _has_no_slices(permission, error):
            raise
        return await _streams(access, attrs.evolve(permission, group="", resource=ENDPOINTS.resource))


def _has_no_slices(permission: Permission, error: ApiUnavailable) -> bool:
    """Whether the server is too old for what was asked for."""
    return permission.resource == ENDPOINT_SLICES.resource and error.status == 404


async def _streams(access: Access, permission: Permission) -> Finding:
    path, scope, kind = _place(permission)
    began = time.monotonic()
    first: float | None = None
    async with access.open(
        path, {**scope, **WATCH}, verb="watch", resource=kind, namespace=permission.namespace or None
    ) as response:
        opened = time.monotonic() - began
        try:
            async for _ in response.content.iter_any():
                first = time.monotonic() - began if first is None else first
        except NETWORK_ERRORS as error:
            raise unreachable("the API server", error) from error
    if judging.buffered(opened, first, time.monotonic() - began):
        return warning(
            "the events of a watch come only when it ends",
            "Switch off the buffering of answers in the proxy before the API server (nginx: proxy_buffering off)",
        )
    return ok(f"a watch opens in {opened * 1000:.0f} ms, and tells what happens when it happens")


async def _asked(access: Access, permission: Permission, verb: str, query: dict[str, str]) -> None:
    """The head of the answer is enough: it is cut off there."""
    path, scope, kind = _place(permission)
    async with access.open(path, {**scope, **query}, verb=verb, resource=kind, namespace=permission.namespace or None):
        pass


def _place(permission: Permission) -> tuple[str, dict[str, str], str]:
    """The path, what of it is asked for, and the resource as errors name it."""
    kind = KINDS[permission.resource]
    scope = {"fieldSelector": f"metadata.name={permission.name}"} if permission.name else {}
    return kind.path(permission.namespace or None), scope, kind.full_name
