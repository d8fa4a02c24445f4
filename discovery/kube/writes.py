"""Objects of the API server, read one by one, created, replaced and deleted.

For the few that this library writes: a Lease, and what is brought back from Consul. Bodies are plain mappings, so that
fields that we do not know go back as they were read.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import ApiUnavailable, DiscoveryError
from ..network import NETWORK_ERRORS
from .access import Access
from .failures import unreachable, unreadable
from .objects import DECODE_ERRORS

ANSWER = 10.0
"""Seconds without a byte after which a request is given up. Whether it was carried out is then unknown."""


class Missing(DiscoveryError):
    """There is no such object, or no such namespace to create it in (404)."""


class Conflict(DiscoveryError):
    """The object is not what it was when it was read, or is there already (409): nothing was written.

    `exists` tells the second: a create met an object of that name.
    """

    def __init__(self, message: str, *, exists: bool = False, next_step: str = "") -> None:
        self.exists = exists
        super().__init__(message, next_step=next_step)


class Writes:
    """Single objects over one way to the API server: read, created, replaced and deleted.

    Every method raises `Missing`, `Conflict`, `AccessDenied` (with the RBAC rule that would allow it) and the other
    errors of `Access.open`. None tries again: whoever decided on a write decides on it anew, by what is there then.

    Args:
        access: the way, shared with the watches.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, path: str, *, resource: str, namespace: str | None) -> dict[str, Any]:
        """The object at this path, as it is now: from etcd, not from a cache."""
        return await self._ask("GET", "get", path, None, resource, namespace)

    async def create(
        self, path: str, body: Mapping[str, Any], *, resource: str, namespace: str | None
    ) -> dict[str, Any]:
        """Create an object in the collection at this path; what the server made of it.

        Raises:
            Conflict: one of that name is there (`exists`).
            Missing: the namespace is not there.
        """
        return await self._ask("POST", "create", path, body, resource, namespace)

    async def replace(
        self, path: str, body: Mapping[str, Any], *, resource: str, namespace: str | None
    ) -> dict[str, Any]:
        """Replace the object at this path; what the server made of it.

        With `metadata.resourceVersion` in the body only that very version is replaced; without it, whatever is there.

        Raises:
            Conflict: another version is there.
        """
        return await self._ask("PUT", "update", path, body, resource, namespace)

    async def delete(
        self, path: str, *, resource: str, namespace: str | None, uid: str | None = None, version: str | None = None
    ) -> None:
        """Delete the object at this path: with `uid` and `version` only that very one, in that version.

        Raises:
            Conflict: it is another one, or another version.
            Missing: it is gone already.
        """
        wanted = {"uid": uid, "resourceVersion": version}
        conditions = {key: value for key, value in wanted.items() if value is not None}
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if conditions:
            body["preconditions"] = conditions
        await self._ask("DELETE", "delete", path, body, resource, namespace)

    async def _ask(
        self, method: str, verb: str, path: str, body: Mapping[str, Any] | None, resource: str, namespace: str | None
    ) -> dict[str, Any]:
        name = "" if verb == "create" else path.rpartition("/")[2]
        try:
            async with self._access.open(
                path,
                {},
                verb=verb,
                resource=resource,
                namespace=namespace,
                timeout=ANSWER,
                method=method,
                body=None if body is None else msgspec.json.encode(body),
                name=name,
            ) as response:
                return msgspec.json.decode(await response.read(), type=dict[str, Any])
        except ApiUnavailable as error:
            what = f"{resource}{' ' + name if name else ''} in {namespace or 'no namespace'}"
            if (meant := _meaning(error, verb, what)) is None:
                raise
            raise meant from error
        except DECODE_ERRORS as error:
            raise unreadable(resource, error) from error
        except NETWORK_ERRORS as error:
            raise unreachable("the API server", error) from error


def _meaning(error: ApiUnavailable, verb: str, what: str) -> DiscoveryError | None:
    """A refusal that whoever writes acts upon, as its own type; the server's words are chained."""
    if error.reason == "NotFound":
        return Missing(f"no namespace for {what}" if verb == "create" else f"no {what}")
    if error.status == 409 and error.reason == "AlreadyExists":
        return Conflict(f"{what} has one of that name already", exists=True, next_step="Read it, then replace it")
    if error.status == 409 and error.reason:
        return Conflict(f"{what} is not what it was when it was read", next_step="Read it again, and decide anew")
    return None
