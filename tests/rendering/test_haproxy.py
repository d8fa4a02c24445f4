"""A real HAProxy, fed by a rendered file: clients that know nothing of the cluster lose no request."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from discovery import Discovery, Event
from discovery.rendering import Renderer, Template
from discovery.testing import FakeCluster

from ..until import until
from .proxy import HAPROXY, Proxy, prepared, running

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")

WEB = Template.named("haproxy", variables={"name": "web", "server": "check inter 200ms"})


class Clients:
    """They ask without pause; what went wrong is kept."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self._http = url, http
        self.answers: list[str] = []
        self.failures: list[str] = []

    async def ask(self) -> None:
        while True:
            try:
                async with self._http.get(self.url) as response:
                    response.raise_for_status()
                    self.answers.append((await response.json())["pod"])
            except (aiohttp.ClientError, OSError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.005)


def renderer(proxy: Proxy, events: list[Event]) -> Renderer:
    return Renderer(WEB, to=proxy.backends, run=proxy.reload, check=proxy.check, on_event=events.append)


async def test_a_rolling_restart_behind_it_fails_no_request(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    web = await fake_cluster.deploy("web", replicas=4, grace=3.0)
    proxy = await asyncio.to_thread(prepared, tmp_path)
    events: list[Event] = []
    async with (
        Discovery(kubeconfig=fake_cluster.kubeconfig) as disco,
        disco.pool("endpoints:///web:http") as pool,
        aiohttp.ClientSession() as http,
    ):
        await pool.ready(timeout=10)
        await Renderer(WEB, to=proxy.backends).write(pool)
        async with running(proxy):
            clients = Clients(proxy.url, http)
            tasks = [asyncio.create_task(clients.ask()) for _ in range(8)]
            tasks.append(asyncio.create_task(renderer(proxy, events).follow(pool)))
            try:
                await until(lambda: set(clients.answers) == {pod.name for pod in web.pods}, timeout=20)
                await web.rolling_restart(pause=0.8)
                now = {pod.name for pod in web.pods}
                await until(lambda: set(clients.answers[-40:]) == now, timeout=20)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        assert clients.failures == []
        assert len(clients.answers) > 500
        assert {event.name for event in events} == {"render.written", "render.reloaded"}
        assert proxy.reloads == len(events) / 2 >= 2


async def test_node_ports_lead_through_it_to_the_pods(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    web = await fake_cluster.deploy("web", replicas=2, kind="NodePort")
    proxy = await asyncio.to_thread(prepared, tmp_path)
    async with (
        Discovery(kubeconfig=fake_cluster.kubeconfig) as disco,
        disco.pool("node-port:///web:http") as pool,
        aiohttp.ClientSession() as http,
    ):
        await pool.ready(timeout=10)
        assert await Renderer(WEB, to=proxy.backends, check=proxy.check).write(pool) is True
        assert proxy.backends.read_text().count("    server ") == 3
        async with running(proxy):
            seen: set[str] = set()
            async with asyncio.timeout(20):
                while seen != {pod.name for pod in web.pods}:
                    async with http.get(proxy.url) as response:
                        seen.add((await response.json())["pod"])
