"""A program that forks while a Discovery, its pools and its connections are open; prints what came of each use."""

import asyncio
import json
import os
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from discovery import Backend, Discovery, Pool
from discovery.testing import FakeCluster

URL = "http://web.default.svc/"


async def nothing(_: Backend) -> None: ...


async def acquired(pool: Pool) -> None:
    async with pool.acquire(timeout=2):
        pass


async def followed(pool: Pool) -> list[object]:
    return [change async for change in pool.changes()]


async def asked(middleware: aiohttp.ClientMiddlewareType) -> int:
    async with aiohttp.ClientSession(middlewares=[middleware]) as http, http.get(URL) as response:
        return response.status


async def came_of(act: Callable[[], Any]) -> str:
    try:
        async with asyncio.timeout(2):
            made = act()
            return repr(await made if isinstance(made, Awaitable) else made)
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


async def child(disco: Discovery, pool: Pool, middleware: aiohttp.ClientMiddlewareType) -> dict[str, str]:
    uses: dict[str, Callable[[], Any]] = {
        "pool": lambda: disco.pool("static://127.0.0.1:1"),
        "enter": disco.__aenter__,
        "prefetch": lambda: disco.prefetch(timeout=2),
        "pick": pool.pick,
        "call": lambda: pool.call(nothing),
        "acquire": lambda: acquired(pool),
        "middleware": lambda: asked(middleware),
        "a new middleware": lambda: asked(disco.middleware()),
        "ready": lambda: pool.ready(2),
        "changes": lambda: followed(pool),
        "aclose": disco.aclose,
    }
    return {name: await came_of(act) for name, act in uses.items()}


async def main() -> None:
    async with FakeCluster() as cluster:
        web = await cluster.deploy("web")
        disco = Discovery(kubeconfig=cluster.kubeconfig)
        middleware = disco.middleware()
        pool = disco.pool(web.target)
        await pool.ready(10)
        assert await asked(middleware) == 200
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: there are threads
            pid = os.fork()
        if not pid:
            code = 1
            try:
                os.write(writing, json.dumps(asyncio.run(child(disco, pool, middleware))).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert status == 0
        came = json.loads(os.read(reading, 1 << 20))
        os.close(reading)
        await web.scale(2)
        async for change in pool.changes():
            if len(change.snapshot.backends) == 2:
                break
        pool.pick().release()
        await disco.aclose()
        came["parent"] = "follows, picks and closes"
        print(json.dumps(came))


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
