"""One whole list, read as its bytes arrive: from the server's cache in one piece, of the latest version in pages."""

from collections.abc import Iterable

from ..events import Event, Hook
from ..turns import Turns
from .access import Access
from .failures import Expired, unreadable
from .kinds import Kind
from .lists import reader
from .objects import DECODE_ERRORS, Object
from .protobuf import MEDIA_TYPE
from .reflector import LATEST
from .store import Store

IDLE = 30.0
"""Seconds without a byte after which a list is given up."""

PAGE = 500
"""Objects on a page (client-go: pager). Paging is for lists that cannot come from the watch cache."""


class Listing:
    """Reads lists of one kind, in a namespace or (None) in all."""

    def __init__(self, access: Access, kind: Kind, namespace: str | None, emit: Hook) -> None:
        self._access = access
        self._kind = kind
        self._namespace = namespace
        self._emit = emit
        self._accept = f"{MEDIA_TYPE},application/json" if kind.protobuf else "application/json"

    async def read(self, names: frozenset[str] | None, version: str) -> tuple[Store, str]:
        """The objects of these names (None: of all), and the list's version.

        Args:
            names: as `Kind.select` takes them.
            version: "" for the latest, "0" for any, else at least this one.

        Raises:
            Expired: the server no longer has this version.
            DiscoveryError: whatever else `Access.open` raises.
        """
        query = self._kind.select(names)
        if version != LATEST:
            return await self._pages(names, {**query, "resourceVersion": version})
        try:
            return await self._pages(names, {**query, "limit": str(PAGE)})
        except Expired:  # a page was asked for too late: ask for all of it at once
            return await self._pages(names, query)

    async def _pages(self, names: frozenset[str] | None, query: dict[str, str]) -> tuple[Store, str]:
        store = Store()
        while True:
            version, next_page = await self._page(names, query, store)
            if not next_page:
                return store, version
            query = {key: value for key, value in query.items() if not key.startswith("resourceVersion")}
            query["continue"] = next_page

    async def _page(self, names: frozenset[str] | None, query: dict[str, str], store: Store) -> tuple[str, str]:
        turns = Turns()
        async with self._access.open(
            self._kind.path(self._namespace),
            query,
            verb="list",
            resource=self._kind.full_name,
            namespace=self._namespace,
            accept=self._accept,
            timeout=IDLE,
        ) as response:
            try:
                items = reader(self._kind, response.headers.get("Content-Type", ""))
                async for chunk in response.content.iter_any():
                    await self._keep(items.feed(chunk), names, store, turns)
                await self._keep(items.finish(), names, store, turns)
            except DECODE_ERRORS as error:
                raise unreadable(self._kind.full_name, error) from error
        if items.skipped:
            where = f"{self._kind.full_name} in {self._namespace or 'all namespaces'}"
            self._emit(Event("watch.skipped", where, {"reason": "metadata of a list", "detail": str(items.skipped)}))
        return items.version, items.continue_

    async def _keep(self, found: Iterable[Object], names: frozenset[str] | None, store: Store, turns: Turns) -> None:
        for held in found:
            if names is None or held.group in names:
                store.put(held)
            if turns.due():
                await turns.give()
