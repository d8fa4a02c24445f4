"""Ending in good order: unready first, serving on, and gone when traffic is; under real signals, no request fails."""

import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from discovery import ConfigurationError, Event
from discovery.integrations.aiohttp import Drain

from ...until import until
from ...virtual import run
from .scene import Scene

PROGRAM = """
import asyncio, socket, sys
from aiohttp import web
from discovery.integrations.aiohttp import Drain

async def say(request):
    await request.read()
    await asyncio.sleep(0.005)
    return web.Response(text=request.host)

async def hang(request):
    await asyncio.Event().wait()

app = web.Application()
app.router.add_route("*", "/", say)
app.router.add_get("/hang", hang)
listening = socket.socket()
listening.bind((sys.argv[1], 0))
listening.listen(128)
tell = lambda *_: print(listening.getsockname()[1], flush=True)
options = {"quiet": float(sys.argv[2]), "longest": float(sys.argv[3])}
"""

RUN_APP = f"""{PROGRAM}
Drain(app, **options)
web.run_app(app, sock=listening, print=tell, shutdown_timeout=0.1)
"""

APP_RUNNER = f"""{PROGRAM}
async def main():
    stopped = asyncio.Event()
    Drain(app, stop=stopped.set, **options)
    runner = web.AppRunner(app, handle_signals=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    tell()
    await stopped.wait()
    await runner.cleanup()
asyncio.run(main())
"""


@attrs.define(eq=False)
class Server:
    process: asyncio.subprocess.Process
    address: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> tuple[int, str]:
        """Its exit code, and what it said of errors."""
        _, said = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


@asynccontextmanager
async def running(program: str, address: str, *, quiet: float, longest: float = 60.0) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", program, address, str(quiet), str(longest)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = (await asyncio.wait_for(process.stdout.readline(), 30)).strip()
        assert port, (await process.communicate())[1].decode()
        yield Server(process, address, int(port))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as response:
        await response.read()
        return response.status


async def unready(http: aiohttp.ClientSession, server: Server) -> None:
    """Ask as the kubelet does, until the server calls itself unready."""
    async with asyncio.timeout(10):
        while await status(http, f"{server.url}/ready") != 503:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.005)


# Real signals


@pytest.mark.parametrize("program", [RUN_APP, APP_RUNNER], ids=["run_app", "AppRunner"])
async def test_a_server_that_ends_under_load_fails_no_request(scene: Scene, program: str) -> None:
    said: Counter[str] = Counter()
    stop = asyncio.Event()
    async with (
        running(program, "127.201.0.1", quiet=0.3) as leaving,
        running(program, "127.201.0.2", quiet=0.3) as staying,
        aiohttp.ClientSession() as probe,
    ):
        scene.service("web", slices=False)
        for server in (leaving, staying):
            scene.endpoint("web", server.address, port=server.port)
        http = await scene.client()
        unused = await scene.client()  # its connections are kept, and not used until the end

        async def load() -> None:
            while not stop.is_set():
                async with http.post("http://web.default.svc/", data=b"not to be done twice") as response:
                    assert await response.text() == "web.default.svc"
                    assert response.request_info.url.host is not None
                    said[response.request_info.url.host] += 1

        clients = [asyncio.create_task(load()) for _ in range(8)]
        for _ in range(2):
            assert await status(unused, "http://web.default.svc/") == 200
        await until(lambda: min(said[leaving.address], said[staying.address]) > 20)
        assert await status(probe, f"{leaving.url}/ready") == 200
        leaving.terminate()
        await unready(probe, leaving)
        before = said[leaving.address]
        await until(lambda: said[leaving.address] > before + 20)
        scene.cluster.delete("endpointslices", f"web-{leaving.address.replace('.', '-')}")
        assert await leaving.ended() == (0, "")
        await until(lambda: said[staying.address] > 100)
        assert await status(unused, "http://web.default.svc/") == 200
        stop.set()
        await asyncio.gather(*clients)
        assert scene.in_flight() == 0
        staying.terminate()
        assert await staying.ended() == (0, "")


@pytest.mark.parametrize("program", [RUN_APP, APP_RUNNER], ids=["run_app", "AppRunner"])
async def test_a_second_signal_stops_at_once(program: str) -> None:
    async with running(program, "127.0.0.1", quiet=600, longest=600) as server, aiohttp.ClientSession() as http:
        hanging = asyncio.create_task(status(http, f"{server.url}/hang"))
        server.terminate()
        await unready(http, server)
        server.terminate()
        assert await server.ended() == (0, "")
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_a_request_that_never_ends_delays_the_end_for_a_while_only() -> None:
    async with (
        running(RUN_APP, "127.0.0.1", quiet=0.05, longest=0.5) as server,
        aiohttp.ClientSession() as http,
    ):
        hanging = asyncio.create_task(status(http, f"{server.url}/hang"))
        assert await status(http, f"{server.url}/") == 200
        server.terminate()
        assert await server.ended() == (0, "")
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_the_application_gives_the_signal_back_when_it_ends() -> None:
    loop = asyncio.get_running_loop()
    app = web.Application()
    drain = Drain(app, stop=lambda: None)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: drain.draining)
        assert await status(http, str(server.make_url("/ready"))) == 503
    assert loop.remove_signal_handler(signal.SIGTERM) is False


def test_where_there_are_no_signals_it_is_begun_by_hand() -> None:
    async def play() -> bool:
        app = web.Application()
        drain = Drain(app, stop=lambda: None)
        async with TestServer(app):
            drain.begin()
            return drain.draining

    begun: list[bool] = []
    thread = threading.Thread(target=lambda: begun.append(asyncio.run(play())))
    thread.start()
    thread.join(20)
    assert begun == [True]


# What clients see


async def test_the_application_s_own_readiness_is_asked_until_the_drain_begins() -> None:
    app = web.Application()
    drain = Drain(app, ready="/mine", stop=lambda: None)
    said = [200, 500]

    async def mine(_: web.Request) -> web.Response:
        return web.Response(status=said.pop())

    app.router.add_get("/mine", mine)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        assert [await status(http, "/mine"), await status(http, "/mine")] == [500, 200]
        assert await status(http, "/ready") == 404
        drain.begin()
        assert await status(http, "/mine") == 503
    assert said == []


async def test_connections_end_with_their_next_response() -> None:
    app = web.Application()
    drain = Drain(app, stop=lambda: None)
    peers: list[object] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        if request.path == "/stream":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"all")
            return response
        if request.path == "/raise":
            raise web.HTTPNotFound
        return web.Response()

    app.router.add_get("/{path:.*}", handle)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        for path in ("/", "/stream", "/raise"):
            await status(http, path)
        assert len(set(peers)) == 1
        drain.begin()
        for path in ("/", "/stream", "/raise"):
            async with http.get(path) as response:
                assert response.headers["Connection"] == "close"
                await response.read()
        assert len(set(peers)) == 3, "the first of them came on the connection there was"


async def test_a_websocket_is_opened_and_serves_on() -> None:
    app = web.Application()
    drain = Drain(app, stop=lambda: None)

    async def listen(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app.router.add_get("/", listen)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        drain.begin()
        async with http.ws_connect("/") as socket:
            await socket.send_str("still here")
            assert await socket.receive_str() == "still here"


# When it ends


class Script:
    """A drain in virtual time, with `quiet` 5 s and `longest` 20 s; `ended` is when it stopped, and why."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, str]] = []
        self.drain = Drain(web.Application(), stop=lambda: None, on_event=self._note)
        self.since = asyncio.get_running_loop().time()

    def _note(self, event: Event) -> None:
        if event.name == "drain.ended":
            now = asyncio.get_running_loop().time()
            self.ended.append((round(now - self.since, 3), event.data["why"]))

    async def request(self, seconds: float, path: str = "/") -> None:
        async def handle(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return web.Response()

        await self.drain._serve(make_mocked_request("GET", path), handle)


def script(*requests: tuple[float, float, str], again: float | None = None) -> list[tuple[float, str]]:
    """The drain begins at 0; each request comes at a time, lasts so long, and asks for a path."""

    async def play() -> list[tuple[float, str]]:
        scene = Script()
        loop = asyncio.get_running_loop()

        async def later(at: float, lasts: float, path: str) -> None:
            await asyncio.sleep(at + 1)
            await scene.request(lasts, path)

        tasks = [asyncio.create_task(later(*request)) for request in requests]
        await asyncio.sleep(1)
        scene.since = loop.time()
        scene.drain.begin()
        if again is not None:
            await asyncio.sleep(again)
            scene.drain.begin()
        await asyncio.gather(*tasks)
        await asyncio.sleep(100)
        return scene.ended

    return run(play())


@pytest.mark.parametrize(
    ("requests", "ended"),
    [
        ([], (5.0, "quiet")),
        ([(2.0, 0.5, "/")], (7.5, "quiet")),
        ([(2.0, 0.5, "/"), (7.0, 0.0, "/"), (11.5, 0.5, "/")], (17.0, "quiet")),
        ([(-0.5, 3.0, "/")], (7.5, "quiet")),
        ([(-0.5, 30.0, "/")], (20.0, "longest")),
        ([(float(at), 0.5, "/") for at in range(40)], (20.0, "longest")),
        ([(4.0, 12.0, "/"), (5.0, 1.0, "/")], (20.0, "longest")),
        ([(float(at), 0.5, "/healthz") for at in range(40)], (5.0, "quiet")),
        ([(float(at), 0.5, "/ready") for at in range(40)], (5.0, "quiet")),
    ],
    ids=["none", "one", "several", "before", "endless", "busy", "overlapping", "probes", "readiness"],
)
def test_it_ends_when_traffic_has_gone(requests: list[tuple[float, float, str]], ended: tuple[float, str]) -> None:
    assert script(*requests) == [ended]


def test_asked_again_it_ends_at_once_and_once() -> None:
    assert script((0.0, 30.0, "/"), again=2.0) == [(2.0, "again")]


def test_a_request_that_breaks_or_is_cancelled_is_over() -> None:
    async def play() -> list[tuple[float, str]]:
        scene = Script()

        async def broken(_: web.Request) -> web.StreamResponse:
            raise ValueError("a bug")

        scene.drain.begin()
        with pytest.raises(ValueError, match="a bug"):
            await scene.drain._serve(make_mocked_request("GET", "/"), broken)
        cancelled = asyncio.create_task(scene.request(1000))
        await asyncio.sleep(1)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert repr(scene.drain) == "<Drain 0 in flight, draining>"
        await asyncio.sleep(50)
        return scene.ended

    assert run(play()) == [(6.0, "quiet")]


# What cannot be used


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ready": "ready"}, "ready='ready' is no path"),
        ({"quiet": 0}, "quiet='0' is not a number of seconds above 0"),
        ({"longest": float("nan")}, "longest='nan' is not a number"),
        ({"health": "/healthz"}, "are no paths"),
    ],
    ids=lambda value: str(value),
)
def test_an_option_that_cannot_be_used_is_said_where_it_is_written(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Drain(web.Application(), **options)


async def test_an_application_that_runs_already_cannot_be_drained() -> None:
    app = web.Application()
    async with TestServer(app):
        with pytest.raises(RuntimeError, match="frozen"):
            Drain(app)
