"""An API server under test, spoken to in plain HTTP: nothing of discovery is between the test and the wire."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import attrs

Json = dict[str, Any]


@attrs.frozen
class Answer:
    """A status and what came with it."""

    status: int
    body: Json

    @property
    def version(self) -> str:
        """Of the list."""
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        """Of the list's items."""
        return [item["metadata"]["name"] for item in self.body["items"]]


@attrs.define
class Endpoint:
    """Where the API server is, and a fresh namespace in it. `compact` makes it forget every version before now."""

    url: str
    token: str
    tls: ssl.SSLContext | bool
    namespace: str
    compact: Callable[[], Awaitable[None]]
    http: aiohttp.ClientSession

    def path(self, name: str = "", *, resource: str = "services", namespace: str | None = None) -> str:
        """Of a collection or an object in the namespace."""
        group = "apis/discovery.k8s.io/v1" if resource == "endpointslices" else "api/v1"
        place = f"/{group}/namespaces/{namespace or self.namespace}/{resource}"
        return f"{place}/{name}" if name else place

    async def ask(self, method: str, path: str, *, token: str | None = None, body: Any = None, **query: str) -> Answer:
        """One request."""
        headers = {"Authorization": f"Bearer {token or self.token}", "Accept": "application/json"}
        if body is not None:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            headers["Content-Type"] = kind
        data = None if body is None else json.dumps(body)
        async with self.http.request(
            method, self.url + path, headers=headers, params=query, data=data, ssl=self.tls
        ) as response:
            return Answer(response.status, await response.json(content_type=None))

    async def list(self, *, resource: str = "services", **query: str) -> Answer:
        """The collection."""
        return await self.ask("GET", self.path(resource=resource), **query)

    async def put(self, name: str, *, labels: dict[str, str] | None = None, port: int = 80) -> Json:
        """Create a Service, or change its labels and port."""
        body = service(self.namespace, name, labels or {}, port)
        made = await self.ask("POST", self.path(), body=body)
        if made.status == 409:
            # A merge patch keeps labels that it does not name.
            there = await self.ask("GET", self.path(name))
            gone = dict.fromkeys(there.body["metadata"].get("labels") or {})
            made = await self.ask(
                "PATCH",
                self.path(name),
                body={"metadata": {"labels": {**gone, **(labels or {})}}, "spec": {"ports": body["spec"]["ports"]}},
            )
        assert made.status in (200, 201), made
        return made.body

    async def delete(self, name: str) -> None:
        """Delete a Service."""
        assert (await self.ask("DELETE", self.path(name))).status == 200

    async def watch(self, *, resource: str = "services", **query: str) -> AsyncIterator[Json]:
        """The events of a watch, to its end; ends the test that waits too long for one."""
        headers = {"Authorization": f"Bearer {self.token}"}
        query = {"watch": "1", **query}
        async with self.http.get(
            self.url + self.path(resource=resource), headers=headers, params=query, ssl=self.tls
        ) as response:
            assert response.status == 200, await response.text()
            async with asyncio.timeout(20):
                async for line in response.content:
                    yield json.loads(line)


def service(namespace: str, name: str, labels: dict[str, str], port: int) -> Json:
    """A Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}]},
    }
