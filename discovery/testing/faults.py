"""What a test can make go wrong at the simulated API server."""

import asyncio
from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from .objects import Json, Kind
from .rbac import allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@attrs.frozen
class Request:
    """A request that reached the API server. `verb` as RBAC calls it; `query` in the order of the URL's."""

    verb: str
    path: str
    query: dict[str, str]


@attrs.define
class _Answer:
    status: int
    body: Json
    headers: dict[str, str]
    left: int | None
    verbs: frozenset[str]
    resource: str


@attrs.define
class _Hidden:
    keep: int
    left: int | None


class Faults:
    """Set on a `FakeCluster`: `cluster.faults.answer(503)`. `heal()` ends all of them."""

    def __init__(self) -> None:
        self._answers: list[_Answer] = []
        self._denied: set[tuple[str, str]] = set()
        self._by_name: set[tuple[str, str]] = set()
        self._roles: list[Json] | None = None
        self._hidden: dict[str, _Hidden] = {}
        self._going = asyncio.Event()
        self._going.set()
        self.streams: set[Callable[[], None]] = set()
        self.pause = 0.0

    def answer(
        self,
        status: int,
        *,
        times: int | None = None,
        retry_after: int | None = None,
        message: str = "made to fail",
        verbs: tuple[str, ...] = (),
        resource: str = "",
    ) -> None:
        """Answer requests with this status, the next `times` of them (None: until healed).

        Args:
            status: an HTTP status from 400 on.
            times: how often.
            retry_after: seconds, for the header.
            message: of the Status.
            verbs: only these, as RBAC calls them; none is all.
            resource: only this one, by its plural; "" is all.
        """
        reason = {401: "Unauthorized", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status}
        body |= {"message": message, "reason": reason.get(status, "ServiceUnavailable")}
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._answers.append(_Answer(status, body, headers, times, frozenset(verbs), resource))

    def deny(self, resource: str, namespace: str = "") -> None:
        """Forbid everything with a resource in a namespace ("" is everywhere), with 403 as RBAC does."""
        self._denied.add((resource, namespace))

    def only_by_name(self, resource: str, namespace: str = "") -> None:
        """Allow a resource in a namespace ("" is everywhere) only one by one, as rules with `resourceNames` do.

        A list or watch with the field selector `metadata.name=NAME` is such a request, one of the whole is 403.
        """
        self._by_name.add((resource, namespace))

    def hide(self, resource: str, *, keep: int = 0, times: int | None = None) -> None:
        """Leave all but the first `keep` objects out of lists, the next `times` of them (None: until healed).

        What a cache that is not filled yet answers, or a proxy that cuts short: watches go on as they are.
        """
        self._hidden[resource] = _Hidden(keep, times)

    def allow_only(self, roles: "Iterable[Json]") -> None:
        """Forbid everything but what these Roles and ClusterRoles allow: what `discovery rbac` prints, for example."""
        self._roles = list(roles)

    def stall(self) -> None:
        """Keep every connection open and say nothing more: what a peer that vanished looks like."""
        self._going.clear()

    def resume(self) -> None:
        """End `stall`; what was held back is sent."""
        self._going.set()

    def slow(self, seconds: float) -> None:
        """Wait so long before each event of a watch."""
        self.pause = seconds

    def cut(self) -> None:
        """Break every open watch in the middle of a line."""
        for end in tuple(self.streams):
            end()

    def heal(self) -> None:
        """End all faults."""
        self._answers.clear()
        self._denied.clear()
        self._by_name.clear()
        self._roles = None
        self._hidden.clear()
        self.pause = 0.0
        self.resume()

    # Asked by the server

    def denies(self, kind: Kind, verb: str, namespace: str | None, name: str) -> bool:
        """Whether RBAC has no rule for it; `name` is "" where a request is for more than one object."""
        places = {(kind.resource, ""), (kind.resource, namespace or "")}
        if places & self._denied or (not name and places & self._by_name):
            return True
        return self._roles is not None and not allowed(self._roles, kind, verb, namespace, name)

    def shown(self, resource: str, items: list[Json]) -> list[Json]:
        """Those of these objects that a list has."""
        hidden = self._hidden.get(resource)
        if hidden is None:
            return items
        if hidden.left is not None:
            hidden.left -= 1
            if hidden.left == 0:
                del self._hidden[resource]
        return items[: hidden.keep]

    async def going(self) -> None:
        """Wait while stalled."""
        await self._going.wait()

    def planned(self, verb: str, resource: str) -> web.Response | None:
        """The answer that was ordered for the next request of this verb and resource."""
        for planned in self._answers:
            if (planned.verbs and verb not in planned.verbs) or planned.resource not in ("", resource):
                continue
            if planned.left is not None:
                planned.left -= 1
                if planned.left == 0:
                    self._answers.remove(planned)
            return web.json_response(planned.body, status=planned.status, headers=planned.headers)
        return None
