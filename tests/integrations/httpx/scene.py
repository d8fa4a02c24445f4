"""Clients with the transport, and the wire behind it."""

from typing import Any

import httpx

from discovery.integrations.httpx import AsyncTransport
from discovery.testing import FakePod

from ..aiohttp.scene import Scene


class Wire(httpx.AsyncHTTPTransport):
    """What sends on: `asked` are the URLs that were asked of it, and names that are no addresses lead to one pod."""

    def __init__(self, pod: FakePod | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[str] = []
        self._pod = pod

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self._pod is not None and not request.url.host.startswith("127."):
            request.url = request.url.copy_with(host=self._pod.address, port=self._pod.port)
        return await super().handle_async_request(request)


async def client(
    scene: Scene,
    *,
    timeout: httpx.Timeout | float = 30,
    transport: httpx.AsyncBaseTransport | None = None,
    **options: Any,
) -> httpx.AsyncClient:
    """A client whose transport has these options."""
    ours = AsyncTransport(scene.disco, transport=transport, **options)
    return await scene._stack.enter_async_context(httpx.AsyncClient(transport=ours, timeout=timeout))


async def ask(http: httpx.AsyncClient, url: str, method: str = "GET", **options: Any) -> dict[str, Any]:
    """The JSON that a backend answers with."""
    response = await http.request(method, url, **options)
    answer: dict[str, Any] = response.json()
    return answer
