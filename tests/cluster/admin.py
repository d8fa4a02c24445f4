"""A small client of the API server with all rights: what a test does to the cluster goes through here.

It shares no code with the library on purpose: a mistake there must not hide itself here.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import aiohttp

Object = dict[str, Any]
"""One Kubernetes object as JSON."""


UNREACHABLE = (OSError, aiohttp.ClientError)
"""What a request raises when there is no answer."""


class ApiError(Exception):
    """The API server said no: `status` is the HTTP status, `reason` Kubernetes' own word for it."""

    def __init__(self, status: int, answer: Object) -> None:
        self.status, self.reason = status, answer.get("reason", "")
        super().__init__(f"{status} {self.reason}: {answer.get('message', '')}")


def collection(api_version: str, kind: str, namespace: str | None) -> str:
    """The path that objects of a kind are created under."""
    plural = "endpoints" if kind == "Endpoints" else f"{kind.lower()}s"
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def path_of(thing: Object) -> str:
    """The path of an object that says its apiVersion and kind."""
    meta = thing["metadata"]
    return f"{collection(thing['apiVersion'], thing['kind'], meta.get('namespace'))}/{meta['name']}"


class Admin:
    """Creates, reads, changes and deletes objects as JSON. Answers come back as they are."""

    def __init__(self, server: str, token: str, tls: ssl.SSLContext) -> None:
        self.server, self._tls = server, tls
        self._head = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers=self._head,
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=30, sock_connect=2),
            read_bufsize=2**22,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def request(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None, form: str = "json"
    ) -> Object:
        """One exchange.

        Raises:
            ApiError: the server refused it.
            OSError, aiohttp.ClientError: there was no answer.
        """
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": f"application/{form}"}
        async with self._http.request(method, self.server + path, data=data, headers=head, params=params) as response:
            text = await response.text()
            answer: Object = json.loads(text) if response.content_type == "application/json" else {"message": text}
            if response.status >= 400:
                raise ApiError(response.status, answer)
            return answer

    async def get(self, path: str, **params: str) -> Object:
        return await self.request("GET", path, params=params)

    async def items(self, path: str, **params: str) -> list[Object]:
        found: list[Object] = (await self.get(path, **params))["items"]
        return found

    async def create(self, thing: Object) -> Object:
        """Create an object that says its apiVersion, kind and (where it has one) namespace."""
        where = collection(thing["apiVersion"], thing["kind"], thing["metadata"].get("namespace"))
        return await self.request("POST", where, thing)

    async def post(self, path: str, body: Object) -> Object:
        return await self.request("POST", path, body)

    async def patch(self, path: str, change: Object) -> Object:
        """A merge patch: lists are replaced as a whole, null removes."""
        return await self.request("PATCH", path, change, form="merge-patch+json")

    async def delete(self, path: str, *, grace: int | None = None) -> Object:
        options = {} if grace is None else {"gracePeriodSeconds": grace}
        return await self.request("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def watch(self, path: str, version: str, **params: str) -> AsyncIterator[Object]:
        """The raw events after a version, until the server ends the stream; an ERROR event is given, not raised."""
        wanted = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true", **params}
        patience = aiohttp.ClientTimeout(total=None, sock_connect=2)
        async with self._http.get(self.server + path, params=wanted, timeout=patience) as response:
            if response.status >= 400:
                raise ApiError(response.status, await response.json())
            async for line in response.content:
                yield json.loads(line)

    async def wait_for(
        self, path: str, condition: Callable[[Object], object], *, timeout: float = 30.0, **params: str
    ) -> Object:
        """Read a path until what it holds fulfils a condition; an object that is not there yet does not.

        Raises:
            TimeoutError: it never did; holds what was there last.
        """
        last: object = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        seen = await self.get(path, **params)
                    except (*UNREACHABLE, ApiError) as error:
                        last = error
                    else:
                        if condition(seen):
                            return seen
                        last = seen
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"{path} did not come to the state waited for in {timeout} s: {last}") from None
