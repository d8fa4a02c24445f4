"""A cluster, a Discovery on it, clients with the middleware, and backends of every kind of badness."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import attrs
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from discovery import Discovery, Event, Pool
from discovery.balancing import Key, Members, Node, Picker
from discovery.testing import FakeCluster, FakePod


@attrs.frozen
class Prefer:
    """A balancer that takes the first of these addresses that there is; `keys` are what it was asked with."""

    addresses: tuple[str, ...] = ()
    keys: list[Key] = attrs.field(factory=list, eq=False)

    def picker(self, members: Members, rng: object) -> Picker:
        def pick(key: Key) -> Node:
            self.keys.append(key)
            return min(members.nodes, key=lambda node: self._rank(node.backend.address))

        return pick

    def _rank(self, address: str) -> int:
        return self.addresses.index(address) if address in self.addresses else len(self.addresses)


def prefer(*pods: FakePod | str) -> Prefer:
    return Prefer(tuple(pod if isinstance(pod, str) else pod.address for pod in pods))


class Names(AbstractResolver):
    """The DNS of a test: every name leads to one place. `asked` are the names that were looked up."""

    def __init__(self) -> None:
        self.place: tuple[str, int] | None = None
        self.asked: list[str] = []

    def lead_to(self, pod: FakePod) -> None:
        self.place = pod.address, pod.port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if self.place is None:
            raise OSError(f"{host} is unknown")
        address, number = self.place
        return [
            ResolveResult(
                hostname=host, host=address, port=number, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        pass


class Scene:
    """What most tests here begin with."""

    def __init__(self, cluster: FakeCluster, disco: Discovery, events: list[Event], stack: AsyncExitStack) -> None:
        self.cluster, self.disco, self.events = cluster, disco, events
        self.names = Names()
        self._stack = stack

    async def client(
        self,
        *,
        timeout: aiohttp.ClientTimeout | None = None,
        limit: int = 100,
        inner: tuple[aiohttp.ClientMiddlewareType, ...] = (),
        **options: Any,
    ) -> aiohttp.ClientSession:
        """A session with a middleware of these options, and `inner` ones between it and the wire."""
        connector = aiohttp.TCPConnector(resolver=self.names, use_dns_cache=False, limit=limit)
        middlewares: list[aiohttp.ClientMiddlewareType] = [self.disco.middleware(**options), *inner]
        return await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector, middlewares=middlewares, timeout=timeout or aiohttp.ClientTimeout(total=30)
            )
        )

    def said(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def service(self, name: str, *, slices: bool = True, **spec: Any) -> None:
        """A Service without pods of its own, by default with a slice that holds nothing."""
        spec = {"ports": [{"name": "http", "port": 80}], "selector": {"app": name}, **spec}
        self.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
        if slices:
            self.endpoint(name, port=80)

    def endpoint(
        self, service: str, *addresses: str, port: int, node: str = "", port_name: str = "http", hostname: str = ""
    ) -> None:
        """One more slice of a Service, whose endpoints are all ready."""
        more: dict[str, str] = {"nodeName": node} if node else {}
        if hostname:
            more["hostname"] = hostname
        self.cluster.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{service}-{'-'.join(addresses).replace('.', '-') or 'none'}",
                    "labels": {"kubernetes.io/service-name": service},
                },
                "addressType": "IPv4",
                "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}, **more} for address in addresses],
            }
        )

    def pool(self, name: str = "web", port: int = 80) -> Pool:
        """What is learnt of backends is one record for all pools of a target: this one shows the middleware's."""
        return self.disco.pool(f"endpoints://default/{name}:{port}")

    def nodes(self, name: str = "web", port: int = 80) -> dict[str, Node]:
        return {node.backend.address: node for node in self.pool(name, port)._membership.nodes}

    def in_flight(self, name: str = "web", port: int = 80) -> int:
        return sum(node.in_flight for node in self.nodes(name, port).values())


async def ask(http: aiohttp.ClientSession, url: str, method: str = "GET", **options: Any) -> dict[str, Any]:
    """The JSON that a backend answers with."""
    async with http.request(method, url, **options) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def say(request: web.Request) -> web.Response:
    """What arrived, and where: for handlers that do something else only sometimes."""
    body = (await request.read()).decode()
    assert request.transport is not None
    address = request.transport.get_extra_info("sockname")[0]
    return web.json_response({"at": address, "path": request.raw_path, "body": body, "host": request.host})


class Cutting:
    """A handler for `deploy`: whose address is in `cut` breaks the connection before any header."""

    def __init__(self, *, read: bool = True) -> None:
        self.cut: set[str] = set()
        self._read = read

    async def __call__(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        if request.transport.get_extra_info("sockname")[0] in self.cut:
            if self._read:
                await request.read()
            request.transport.abort()
            await asyncio.Event().wait()  # cancelled, as the connection is gone
        return await say(request)


class Hanging:
    """A handler for `deploy`: whose address is in `hung` says nothing, until `let`. `told` are all headers."""

    def __init__(self) -> None:
        self.hung: set[str] = set()
        self.reached = asyncio.Event()
        self.let = asyncio.Event()
        self.told: list[dict[str, str]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.told.append({name.lower(): value for name, value in request.headers.items()})
        assert request.transport is not None
        if request.transport.get_extra_info("sockname")[0] in self.hung:
            self.reached.set()
            await self.let.wait()
        return await say(request)


@contextmanager
def full(address: str) -> Iterator[int]:
    """A port on which connecting hangs: it listens, and its queue of connections is full."""
    with socket.socket() as listening:
        listening.bind((address, 0))
        listening.listen(0)
        waiting = []
        try:
            for _ in range(3):
                one = socket.socket()
                waiting.append(one)
                one.setblocking(False)
                one.connect_ex(listening.getsockname())
            yield int(listening.getsockname()[1])
        finally:
            for one in waiting:
                one.close()


@asynccontextmanager
async def opened(cluster: FakeCluster) -> AsyncIterator[Scene]:
    """The scene; clients end before the Discovery."""
    events: list[Event] = []
    async with (
        Discovery(kubeconfig=cluster.kubeconfig, on_event=events.append, cluster_domain="cluster.local") as disco,
        AsyncExitStack() as stack,
    ):
        yield Scene(cluster, disco, events, stack)


async def steps(number: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(number):
        await asyncio.sleep(0)
