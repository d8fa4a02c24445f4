"""Writes a plan: each object by its version, and nothing that is not ours.

A write that meets another version than the plan was made from is not forced: what is there is read anew, and planned
anew. So an object that changed hands in between stays with whoever has it.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import msgspec

from ...errors import ApiUnavailable, DiscoveryError, Unauthenticated
from ...kube.access import Access
from ...kube.failures import Expired, unreachable, unreadable
from ...kube.objects import DECODE_ERRORS
from ...kube.writes import Conflict, Missing, Writes
from ...network import NETWORK_ERRORS
from ..leading.session_lock import NotLeading
from ..records import US
from .held import Held
from .objects import MANAGED_BY, OWNER, Json, belonging, overlaid
from .options import ImportOptions
from .plan import ImportPlan, Step, Unit

PAGE = 500
"""Objects on a page of a list."""

SILENCE = 30.0
"""Seconds without a byte after which a list is given up."""

AT_ONCE = 4
"""Services that are written at a time."""

RESOURCES: Mapping[str, tuple[str, str]] = {
    "Service": ("/api/v1", "services"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
}
"""Where each kind is found, and its plural."""

API_VERSIONS = {"Service": "v1", "EndpointSlice": "discovery.k8s.io/v1"}


class Permit(Protocol):
    """Whether we are the replica that writes."""

    @property
    def leading(self) -> bool:
        """Whether we are, as far as is known."""

    def check(self) -> None:
        """Raises a `DiscoveryError` where no write may begin now."""


@attrs.define
class Outcome:
    """What came of a plan.

    Attributes:
        created: objects, and likewise the next two.
        replaced: objects.
        deleted: objects.
        failures: what went wrong, by the Service it was for.
        stale: something was not as it had been read: it has to be read anew.
        fatal: what stopped all of it.
    """

    created: int = 0
    replaced: int = 0
    deleted: int = 0
    failures: dict[str, DiscoveryError] = attrs.field(factory=dict)
    stale: bool = False
    fatal: DiscoveryError | None = None

    @property
    def writes(self) -> int:
        """Objects that were written."""
        return self.created + self.replaced + self.deleted


class Objects:
    """The objects of one namespace: reads what there is, and writes what a plan says.

    Args:
        access: the way to the API server.
        options: of the import.
        permit: asked before each write; None always may.
    """

    def __init__(self, access: Access, options: ImportOptions, permit: Permit | None) -> None:
        self._access = access
        self._writes = Writes(access)
        self._options = options
        self._permit = permit

    # Reading

    async def read(self) -> Held:
        """All that there is of ours, and the names of Services that are not.

        Raises:
            DiscoveryError: as `Access.open`.
        """
        owner = self._options.owner
        ours = f"{MANAGED_BY}={US},{OWNER}={owner}"
        services = await self._list("Service", {})
        slices = await self._list("EndpointSlice", {"labelSelector": ours})
        return Held.read(services, slices, owner)

    async def _list(self, kind: str, query: Mapping[str, str]) -> list[Json]:
        """All objects of a kind, of the latest version; all at once where a page came too late."""
        try:
            return await self._pages(kind, {**query, "limit": str(PAGE)})
        except Expired:
            return await self._pages(kind, query)

    async def _pages(self, kind: str, query: Mapping[str, str]) -> list[Json]:
        found: list[Json] = []
        following = ""
        while True:
            page = await self._page(kind, {**query, "continue": following} if following else query)
            items = page.get("items") or ()
            # Only single objects say what they are.
            found += [{"apiVersion": API_VERSIONS[kind], "kind": kind, **one} for one in items]
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return found

    async def _page(self, kind: str, query: Mapping[str, str]) -> Json:
        namespace, resource = self._options.namespace, _resource(kind)
        opening = self._access.open(
            self._collection(kind), query, verb="list", resource=resource, namespace=namespace, timeout=SILENCE
        )
        try:
            async with opening as response:
                page = msgspec.json.decode(await response.read(), type=dict[str, Any])
        except DECODE_ERRORS as error:
            raise unreadable(resource, error) from error
        except NETWORK_ERRORS as error:
            raise unreachable("the API server", error) from error
        if not str(page.get("kind", "")).endswith("List"):
            raise unreadable(resource, ValueError("the answer is no list"))
        return page

    def _collection(self, kind: str) -> str:
        root, plural = RESOURCES[kind]
        return f"{root}/namespaces/{self._options.namespace}/{plural}"

    # Writing

    async def apply(self, plan: ImportPlan, held: Held) -> Outcome:
        """Write it. `held` is what it was made from, and is kept up to date.

        What fails for one Service does not hold up another, unless it would fail for all.

        Raises:
            DiscoveryError: the API server cannot be reached or does not know us, or we are not to write any more.
        """
        outcome = Outcome()
        for removes in (False, True):
            await self._each([unit for unit in plan.units if unit.removes is removes], held, outcome)
            if outcome.fatal is not None:
                raise outcome.fatal
        return outcome

    async def _each(self, units: list[Unit], held: Held, outcome: Outcome) -> None:
        waiting = iter(units)

        async def work() -> None:
            for unit in waiting:
                await self._unit(unit, held, outcome)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(units))):
                group.create_task(work())

    async def _unit(self, unit: Unit, held: Held, outcome: Outcome) -> None:
        try:
            for step in unit.steps:
                if outcome.fatal is not None:
                    return  # what is under way is seen to its end, nothing is begun
                if self._permit is not None:
                    self._permit.check()
                await self._step(step, unit, held, outcome)
        except (Conflict, Missing) as error:
            # Somebody else was there first: nothing is wrong, but nothing is known either.
            outcome.stale = True
            outcome.failures[unit.service] = error
        except DiscoveryError as error:
            if _concerns_all(error):
                outcome.fatal = error
            outcome.failures[unit.service] = error

    async def _step(self, step: Step, unit: Unit, held: Held, outcome: Outcome) -> None:
        place, resource, namespace = self._collection(step.kind), _resource(step.kind), self._options.namespace
        path = f"{place}/{step.name}"
        if step.action == "delete":
            meta = step.body["metadata"]
            with contextlib.suppress(Missing):  # gone is gone: the garbage collector may have been faster
                await self._writes.delete(
                    path, resource=resource, namespace=namespace, uid=meta["uid"], version=meta["resourceVersion"]
                )
            held.drop(step.kind, step.name)
            outcome.deleted += 1
            return
        body = step.body
        if step.kind == "EndpointSlice":
            body = belonging(body, unit.service, str(held.services[unit.service]["metadata"]["uid"]))
        if step.action == "create":
            held.put(await self._writes.create(place, body, resource=resource, namespace=namespace))
            outcome.created += 1
        else:
            before = (held.services if step.kind == "Service" else held.slices)[step.name]
            after = overlaid(before, body)
            held.put(await self._writes.replace(path, after, resource=resource, namespace=namespace))
            outcome.replaced += 1


def _resource(kind: str) -> str:
    """As RBAC errors write it."""
    return "services" if kind == "Service" else "endpointslices.discovery.k8s.io"


def _concerns_all(error: DiscoveryError) -> bool:
    """Whether the next write would fail in the same way."""
    if isinstance(error, ApiUnavailable):
        return error.status in (0, 429) or error.status >= 500
    return isinstance(error, Unauthenticated | NotLeading)
