"""gRPC: each call goes to a server that is chosen for it. One stops meanwhile, and nobody has noticed yet."""

import asyncio
from typing import Self

import grpc
import grpc.aio

import discovery

FAILURES = {
    grpc.StatusCode.UNAVAILABLE: ConnectionError,
    grpc.StatusCode.CANCELLED: ConnectionError,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimeoutError,
}
"""What says that the backend failed, and the exception that says so to a pool. Others are answers."""

OPTIONS = (("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 2000))
"""Retries are the pool's, which knows other backends. A backend that was away is tried after 2 s, not 2 minutes."""


class Channels:
    """A channel for each backend of a pool: opened when it is first chosen, closed when it has left."""

    def __init__(self, pool: discovery.Pool) -> None:
        self._pool = pool
        self._open: dict[discovery.BackendId, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()
        await asyncio.wait([self._following])
        await asyncio.gather(*(channel.close() for channel in self._open.values()))

    async def call(self, method: str, request: bytes, *, idempotent: bool = False) -> bytes:
        """One call at a backend chosen for it, and at another where that is safe."""

        async def attempt(backend: discovery.Backend) -> bytes:
            channel = self._open.get(backend.id)
            if channel is None:
                channel = self._open[backend.id] = grpc.aio.insecure_channel(backend.netloc, options=OPTIONS)
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            try:
                return await ask(request)  # or, of a stub: await Stub(channel).Method(request)
            except grpc.aio.AioRpcError as error:
                failure = FAILURES.get(error.code())
                if failure is None:
                    raise
                raise failure(error.details()) from error

        return await self._pool.call(attempt, idempotent=idempotent)

    async def _follow(self) -> None:
        async for change in self._pool.changes():
            for backend in change.removed:
                channel = self._open.pop(backend.id, None)
                if channel is not None:
                    await channel.close(grace=10)  # seconds for calls under way


# What follows is there to show it


async def say(request: bytes, _: object) -> bytes:
    return b"hello " + request


async def start() -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(say)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", {"Say": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def main() -> None:
    started = [await start() for _ in range(3)]
    target = discovery.Static([f"127.0.0.1:{port}" for _, port in started])  # in a cluster: endpoints://NS/SERVICE:grpc
    retry = discovery.RetryPolicy(per_try_timeout=2.0)
    async with discovery.Discovery() as disco, disco.pool(target, retry=retry) as pool, Channels(pool) as channels:
        await pool.ready(timeout=5)
        answers = []
        for number in range(30):
            if number == 10:
                await started[0][0].stop(1)
            answers.append(await channels.call("/shop.Orders/Say", b"there", idempotent=True))
        print(len(answers), "calls, all answered:", {answer.decode() for answer in answers})
    await asyncio.gather(*(server.stop(None) for server, _ in started))


asyncio.run(main())
