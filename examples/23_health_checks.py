"""Active health checks, for addresses of which nobody says whether they are ready. Two small servers run along."""

import asyncio

from aiohttp import web

import discovery

CHECK = discovery.HealthCheck(path="/healthz", interval=0.05)  # every 5 s, if it is not said


async def main(target: discovery.Static, second: "Server") -> None:
    async with discovery.Discovery() as disco, disco.pool(target, health=CHECK) as pool:
        await pool.ready(timeout=5)  # a first backend has passed its check
        async for change in pool.changes():
            if len(change.snapshot.backends) == 2 and second.status == 200:
                print("both pass")
                second.status = 503
            elif change.removed:
                break
        for candidate in pool.explain():
            print("in " if candidate.usable else "out", candidate.reason)


class Server:
    """All of a small server, with a health endpoint."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.status = 200

    async def start(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self.answer, access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, self.address, 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def answer(self, _: web.BaseRequest) -> web.Response:
        return web.Response(status=self.status)


async def with_servers() -> None:
    servers = [Server("127.0.0.1"), Server("127.0.0.2")]
    runners = [await server.start() for server in servers]
    await main(discovery.Static([(server.address, server.port) for server in servers]), servers[1])
    for runner in runners:
        await runner.cleanup()


asyncio.run(with_servers())
