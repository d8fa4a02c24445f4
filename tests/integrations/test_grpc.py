"""The recipe for grpc.aio, as it stands in the documentation, against real servers."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from discovery import Backend, Discovery, Pool, RetriesExhausted, RetryPolicy

from ..sources import Source
from ..until import until

ROOT = Path(__file__).parent.parent.parent
RECIPE = re.search(r"```python\n(.*?)```", (ROOT / "docs/how-to/grpc.md").read_text(), re.DOTALL)
assert RECIPE is not None
CODE = RECIPE[1]

NAMES: dict[str, Any] = {}
exec(CODE, NAMES)
Channels = NAMES["Channels"]

SAY = "/shop.Orders/Say"


class Server:
    """A gRPC server whose one method answers with its name, or as `refuse` and `hang` say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.refuse: grpc.StatusCode | None = None
        self.hang = False
        self.cancelled = 0
        self._server = grpc.aio.server()
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._say)
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", {"Say": method})])
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def backend(self) -> Backend:
        return Backend(address="127.0.0.1", port=self.port)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def _say(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        if self.refuse is not None:
            await context.abort(self.refuse, "refused")
        if self.hang:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        await asyncio.sleep(0.002)
        return request + self.name.encode()


class Shop:
    """Three servers, and the pool of them."""

    def __init__(self, servers: list[Server], source: Source, pool: Pool, channels: Any) -> None:
        self.servers, self.source, self.pool, self.channels = servers, source, pool, channels

    async def say(self, **options: Any) -> str:
        answer: bytes = await self.channels.call(SAY, b"from ", **options)
        return answer.decode()

    def failures(self) -> list[int]:
        return [node.failures for server in self.servers for node in self.pool.nodes if node.backend == server.backend]

    def in_flight(self) -> int:
        return self.pool.in_flight


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    servers = [Server(name) for name in "abc"]
    async with AsyncExitStack() as stack:
        for server in servers:
            await server.start()
            stack.push_async_callback(server.stop)
        source = Source(*(server.backend for server in servers))
        disco = await stack.enter_async_context(Discovery())
        pool = await stack.enter_async_context(disco.pool(source, retry=RetryPolicy(per_try_timeout=1.0)))
        channels = await stack.enter_async_context(Channels(pool))
        await pool.ready(timeout=5)
        yield Shop(servers, source, pool, channels)


async def test_calls_are_spread_over_all_servers(shop: Shop) -> None:
    said = Counter([await shop.say() for _ in range(30)])
    assert said == {"from a": 10, "from b": 10, "from c": 10}


async def test_a_server_that_stops_under_load_fails_no_idempotent_call(shop: Shop) -> None:
    said: Counter[str] = Counter()
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            said[await shop.say(idempotent=True)] += 1

    clients = [asyncio.create_task(load()) for _ in range(6)]
    await until(lambda: min(said["from a"], said["from b"], said["from c"]) > 20)
    await shop.servers[0].stop()
    enough = said.total() + 200
    await until(lambda: said.total() > enough, timeout=20)
    stop.set()
    await asyncio.gather(*clients)
    assert shop.in_flight() == 0


async def test_an_answer_that_is_an_error_is_raised_as_it_is_and_counts_against_nobody(shop: Shop) -> None:
    for server in shop.servers:
        server.refuse = grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shop.say(idempotent=True)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert sum(server.calls for server in shop.servers) == 1
    assert shop.failures() == [0, 0, 0]


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_server_that_says_it_is_unavailable_is_tried_elsewhere_only_if_that_is_safe(
    shop: Shop, idempotent: bool
) -> None:
    for server in shop.servers:
        server.refuse = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(RetriesExhausted if idempotent else ConnectionError, match="refused") as caught:
        await shop.say(idempotent=idempotent)
    if idempotent:
        assert isinstance(caught.value.__cause__, ConnectionError)
    assert [server.calls for server in shop.servers].count(1) == (3 if idempotent else 1)
    assert sum(shop.failures()) == (3 if idempotent else 1)


async def test_a_call_that_hangs_is_ended_at_the_server_too(shop: Shop) -> None:
    hanging = shop.servers[0]
    hanging.hang = True
    said = [await shop.say(idempotent=True) for _ in range(4)]
    assert set(said) <= {"from b", "from c"}
    await until(lambda: hanging.cancelled == hanging.calls > 0)
    assert shop.in_flight() == 0


async def test_the_channel_of_a_server_that_left_is_closed(shop: Shop) -> None:
    for _ in range(6):
        await shop.say()
    assert len(shop.channels._open) == 3
    shop.source.sink.replace([server.backend for server in shop.servers[1:]])
    await until(lambda: len(shop.channels._open) == 2)
    assert {await shop.say() for _ in range(6)} == {"from b", "from c"}


def test_the_example_is_this_recipe() -> None:
    """What is run in the documentation's name is what stands there."""
    example = (ROOT / "examples/22_grpc.py").read_text()
    assert CODE[CODE.index("FAILURES =") :] in example
