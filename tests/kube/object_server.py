"""A server on loopback that keeps single objects as an API server does: versions, preconditions, and their refusals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web

from discovery.kube.access import Access
from discovery.kube.credentials import Credentials

from .servers import config, written


@attrs.define
class Refusal:
    """What is answered instead, to the requests that it is for."""

    code: int
    reason: str = ""
    message: str = ""
    when: Callable[[web.Request], bool] = lambda _: True


class ObjectServer:
    """Objects by their paths. `down` cuts every connection, `hang` answers none, `lost` does what it is told and does
    not say so.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.refusal: Refusal | None = None
        self.down = self.hang = self.lost = False
        self.ending = asyncio.Event()
        self.version = 100
        self.url = ""

    def changes(self) -> int:
        """Requests that were no reads."""
        return sum(method != "GET" for method, _ in self.asked)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What somebody else writes."""
        self.version += 1
        held = self.objects.get(path, {}).get("metadata", {"uid": f"uid-{self.version}"})
        meta = {**body.get("metadata", {}), "uid": held["uid"], "resourceVersion": str(self.version)}
        self.objects[path] = {**body, "metadata": meta}
        return self.objects[path]

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.asked.append((request.method, request.path))
        body = await request.json() if request.can_read_body else None
        self.bodies.append(body)
        if self.hang:
            await self.ending.wait()
        if self.down:
            return self._cut(request)
        if self.refusal is not None and self.refusal.when(request):
            return self._status(self.refusal.code, self.refusal.reason, self.refusal.message)
        response = getattr(self, f"_{request.method.lower()}")(request.path, body)
        if self.lost:
            return self._cut(request)
        assert isinstance(response, web.Response)
        return response

    def _cut(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    def _get(self, path: str, _: Any) -> web.Response:
        return web.json_response(self.objects[path]) if path in self.objects else self._status(404, "NotFound")

    def _post(self, path: str, body: dict[str, Any]) -> web.Response:
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            return self._status(409, "AlreadyExists")
        return web.json_response(self.put(place, body), status=201)

    def _put(self, path: str, body: dict[str, Any]) -> web.Response:
        held = self.objects.get(path)
        if held is None:
            return self._status(404, "NotFound")
        if body["metadata"].get("resourceVersion") not in (None, held["metadata"]["resourceVersion"]):
            return self._status(409, "Conflict", "the object has been modified")
        return web.json_response(self.put(path, body))

    def _delete(self, path: str, body: dict[str, Any]) -> web.Response:
        held = self.objects.get(path)
        if held is None:
            return self._status(404, "NotFound")
        wanted = (body or {}).get("preconditions", {})
        if any(held["metadata"][key] != value for key, value in wanted.items()):
            return self._status(409, "Conflict", "precondition failed")
        del self.objects[path]
        return self._status(200, "")

    def _status(self, code: int, reason: str, message: str = "") -> web.Response:
        body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message or reason}
        return web.json_response(body, status=code)


@asynccontextmanager
async def serving() -> AsyncIterator[ObjectServer]:
    """One that listens."""
    server = ObjectServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.ending.set()
        await runner.cleanup()


@asynccontextmanager
async def reaching(server: ObjectServer, folder: Path) -> AsyncIterator[Access]:
    """A way to it."""
    access = Access(Credentials(written(folder, config(server.url, {"token": "t"})), None))
    try:
        yield access
    finally:
        await access.aclose()
