"""An API server with one namespace, that lists, and refuses what the real one refuses of Services and slices."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from discovery.bridge.inbound.objects import Json
from discovery.kube.access import Access
from tests.kube.object_server import ObjectServer, reaching

SERVICES = "/api/v1/namespaces/shop/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
KINDS = {SERVICES: "Service", SLICES: "EndpointSlice"}


class Cluster(ObjectServer):
    """Services and EndpointSlices of the namespace `shop`. `page` is the longest list it gives at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.page = 3
        self.expire_pages = False
        self.refused: dict[str, tuple[int, str, str]] = {}  # creations, by the object's name

    @property
    def written(self) -> list[tuple[str, str]]:
        """Methods and names of the requests that were no reads, in order."""
        return [(method, path.rpartition("/")[2]) for method, path in self.asked if method != "GET"]

    def there(self, body: Json) -> Json:
        """What somebody else writes."""
        place = SERVICES if body["kind"] == "Service" else SLICES
        return self.put(f"{place}/{body['metadata']['name']}", body)

    def service(self, name: str) -> Json | None:
        return self.objects.get(f"{SERVICES}/{name}")

    def endpoints(self, service: str) -> dict[tuple[str, int], bool]:
        return {
            (one["addresses"][0], body["ports"][0]["port"]): one["conditions"]["ready"]
            for path, body in self.objects.items()
            if path.startswith(SLICES) and body["metadata"]["labels"].get("kubernetes.io/service-name") == service
            for one in body["endpoints"]
        }

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET" and request.path in KINDS and self.refusal is None and not self.down:
            self.asked.append((request.method, request.path))
            return self._list(request)
        return await super().answer(request)

    def _list(self, request: web.Request) -> web.Response:
        wanted = dict(part.split("=") for part in request.query.get("labelSelector", "").split(",") if part)
        found = [
            {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
            for path, body in sorted(self.objects.items())
            if path.rpartition("/")[0] == request.path
            and wanted.items() <= (body["metadata"].get("labels") or {}).items()
        ]
        start = int(request.query.get("continue", "0"))
        if start and self.expire_pages:
            return self._status(410, "Expired")
        end = start + self.page if "limit" in request.query else len(found)
        meta = {"resourceVersion": str(self.version), **({"continue": str(end)} if end < len(found) else {})}
        return web.json_response({"kind": f"{KINDS[request.path]}List", "metadata": meta, "items": found[start:end]})

    def _post(self, path: str, body: Json) -> web.Response:
        if (refusal := self.refused.get(body["metadata"]["name"])) is not None:
            return self._status(*refusal)
        return self._invalid(body, None) or super()._post(path, body)

    def _put(self, path: str, body: Json) -> web.Response:
        return self._invalid(body, self.objects.get(path)) or super()._put(path, body)

    def _invalid(self, body: Json, before: Json | None) -> web.Response | None:
        """What kube-apiserver's validation says of it."""
        if body["kind"] == "Service":
            wrong = before is not None and before["spec"].get("clusterIP") != body["spec"].get("clusterIP")
        else:
            family = 6 if body["addressType"] == "IPv6" else 4
            addresses = [ipaddress.ip_address(one["addresses"][0]) for one in body["endpoints"]]
            wrong = any(one.version != family or one.is_loopback for one in addresses) or (
                before is not None and before["addressType"] != body["addressType"]
            )
        return self._status(422, "Invalid", "spec is immutable, or an address is none") if wrong else None


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Cluster, Access]]:
    """One that listens, and the way to it."""
    server = Cluster()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with reaching(server, folder) as access:
            yield server, access
    finally:
        await runner.cleanup()
