"""What a Consul holds, read as it is: whose each entry is, whether it was ever away, and what nobody may touch.

It shares no code with the library on purpose: a mistake there must not hide itself here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self, TypeVar

import aiohttp

T = TypeVar("T")
Json = dict[str, Any]

DEV = "http://127.0.0.1:8500"
"""The server that the cluster has: nothing on disk, no ACLs, and DNS on port 8600."""

Place = tuple[str, str]
"""The node and the id of an instance."""


class Catalog:
    """Reads one server, and writes what somebody else would.

    Args:
        http: a session with the server's address and a token that may do everything.
    """

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def get(self, path: str, **query: str) -> Any:
        """One answer as JSON."""
        answer, _ = await self.indexed(path, **query)
        return answer

    async def indexed(self, path: str, **query: str) -> tuple[Any, str]:
        """The same, and its index."""
        async with self._http.get(path, params=query) as response:
            response.raise_for_status()
            return await response.json(), response.headers.get("X-Consul-Index", "0")

    async def put(self, path: str, body: Any = None, **query: str) -> Any:
        """One write; it must be allowed."""
        async with self._http.put(path, json=body, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def nodes(self) -> dict[str, Json]:
        """All nodes, by name."""
        return {node["Node"]: node for node in await self.get("/v1/catalog/nodes")}

    async def owned(self, owner: str) -> dict[Place, Json]:
        """All instances of an owner."""
        found: dict[Place, Json] = {}
        for node in await self.nodes():
            found |= {(node, one["ID"]): one for one in await self._on(node) if is_of(one, owner)}
        return found

    async def since(self, owner: str) -> dict[Place, int]:
        """All instances of an owner, and when each was created: one that was ever away has another number."""
        return {place: one["CreateIndex"] for place, one in (await self.owned(owner)).items()}

    async def healthy(self, service: str) -> dict[str, str]:
        """Of a service, by address: "passing", "critical" or what else the worst of its checks says."""
        found: dict[str, str] = {}
        for entry in await self.get(f"/v1/health/service/{service}"):
            said = {check["Status"] for check in entry["Checks"]}
            found[entry["Service"]["Address"]] = "passing" if said <= {"passing"} else "critical"
        return found

    async def passing(self, service: str) -> set[str]:
        """The addresses of a service that pass all checks."""
        return {address for address, status in (await self.healthy(service)).items() if status == "passing"}

    async def foreign(self, *owners: str) -> Json:
        """All that is of none of these owners, byte for byte with its indexes; Consul's own servers aside."""
        found: Json = {}
        for name, node in (await self.nodes()).items():
            checks = await self.get(f"/v1/health/node/{name}")
            if any(check["CheckID"] == "serfHealth" for check in checks):
                continue  # Consul itself writes there
            ours = {one["ID"] for one in await self._on(name) if any(is_of(one, owner) for owner in owners)}
            services = [one for one in await self._on(name) if one["ID"] not in ours]
            checks = [check for check in checks if check["ServiceID"] not in ours]
            mine = any(is_of(node, owner) for owner in owners)
            if services or checks or not mine:
                found[name] = {"node": None if mine else node, "services": services, "checks": checks}
        return found

    async def plant(self, node: str, *, service: str, called: str, address: str = "192.0.2.9", **more: Any) -> None:
        """Register an instance with a check, as somebody who knows nothing of bridges does."""
        instance = {"ID": called, "Service": service, "Address": address, "Port": 1234, "Meta": {"by": "hand"}, **more}
        check = {"CheckID": f"check-{called}", "Name": "alive", "Status": "passing", "ServiceID": called}
        body: Json = {"Node": node, "Service": instance, "Check": check}
        if node in await self.nodes():
            body |= {"SkipNodeUpdate": True, "Address": (await self.nodes())[node]["Address"]}
        else:
            body |= {"Address": "192.0.2.1", "NodeMeta": {"rack": "7"}}
        await self.put("/v1/catalog/register", body)

    async def clear(self, *owners: str) -> None:
        """Remove all nodes but Consul's own servers, and the keys of these owners."""
        for name in await self.nodes():
            checks = await self.get(f"/v1/health/node/{name}")
            if not any(check["CheckID"] == "serfHealth" for check in checks):
                await self.put("/v1/catalog/deregister", {"Node": name})
        for owner in owners:
            async with self._http.delete(f"/v1/kv/discovery/{owner}/", params={"recurse": ""}):
                pass

    async def _on(self, node: str) -> list[Json]:
        found = await self.get(f"/v1/catalog/node-services/{node}")
        listed: list[Json] = found["Services"] or []
        return listed


@contextlib.asynccontextmanager
async def dev() -> AsyncIterator[Catalog]:
    """The cluster's own server, emptied at the end."""
    async with aiohttp.ClientSession(DEV) as http:
        catalog = Catalog(http)
        yield catalog
        await catalog.clear()


def is_of(row: Mapping[str, Any], owner: str) -> bool:
    """Whether an entry says that it is this owner's."""
    return bool((row["Meta"] or {}).get("owner-id") == owner)


async def eventually(read: Callable[[], Awaitable[T]], holds: Callable[[T], object], *, timeout: float = 10.0) -> T:
    """Read until what is read fulfils a condition.

    Raises:
        TimeoutError: it never did; holds what was read last.
    """
    last: object = None
    try:
        async with asyncio.timeout(timeout):
            while True:
                last = seen = await read()
                if holds(seen):
                    return seen
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"it did not come to the state waited for in {timeout} s: {last}") from None


class Absences:
    """Notes every instance of an owner that is seen once and then is not, for as long as the block lasts.

    It follows each node by blocking reads, which return with every change there. What comes back in between two reads
    is told by `Catalog.since`.
    """

    def __init__(self, catalog: Catalog, owner: str) -> None:
        self.missed: set[Place] = set()
        self.reads = 0
        self._catalog = catalog
        self._owner = owner
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._nodes())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._task, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _nodes(self) -> None:
        while True:
            for name, node in (await self._catalog.nodes()).items():
                if is_of(node, self._owner) and name not in self._tasks:
                    self._tasks[name] = asyncio.create_task(self._follow(name))
            await asyncio.sleep(0.05)

    async def _follow(self, node: str) -> None:
        seen: set[Place] = set()
        index = "0"
        while True:
            path = f"/v1/catalog/node-services/{node}"
            found, index = await self._catalog.indexed(path, index=index, wait="2s")
            listed = found["Services"] or []
            there = {(node, one["ID"]) for one in listed if is_of(one, self._owner)}
            self.missed |= seen - there
            seen |= there
            self.reads += 1
