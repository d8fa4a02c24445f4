"""A real Consul server with its data on disk, read as it is."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from ..servers import background, free_ports
from .world import OWNER, Instances, Json, World, name

READY = 30.0
"""Seconds that a server has to elect itself."""


@attrs.frozen
class ConsulServer:
    """One, on loopback, with no ACLs."""

    url: str
    node: str = "consul"

    def get(self, path: str) -> Any:
        """An answer."""
        return self._asked(path)[0]

    def index(self, path: str) -> int:
        """The index that Consul has for what is read there: it moves with every write that concerns it."""
        return self._asked(path)[1]

    def holds(self, world: World) -> bool:
        """Whether it has what it should of our owner, all of it and nothing else."""
        found: dict[str, dict[tuple[str, int], str]] = {}
        for node in self.get("/v1/catalog/nodes"):
            if (node["Meta"] or {}).get("owner-id") == OWNER:
                self._read(node["Node"], found)
        wanted = {name(number): dict(world.instances(number)) for number in world.services}
        return found == {service: instances for service, instances in wanted.items() if instances}

    def _read(self, node: str, found: dict[str, dict[tuple[str, int], str]]) -> None:
        checks = {check["ServiceID"]: check["Status"] for check in self.get(f"/v1/health/node/{node}")}
        for one in self.get(f"/v1/catalog/node-services/{node}")["Services"]:
            found.setdefault(one["Service"], {})[one["Address"], one["Port"]] = checks[one["ID"]]

    def _asked(self, path: str) -> tuple[Any, int]:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.load(response), int(response.headers.get("X-Consul-Index", 0))


@contextlib.contextmanager
def consul_server() -> Iterator[ConsulServer]:
    """A fresh one for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="discovery-bench-consul-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        http, rpc, serf = free_ports(3)
        server = ConsulServer(f"http://127.0.0.1:{http}")
        (folder / "consul.json").write_text(json.dumps(_config(server.node, folder / "data", http, rpc, serf)))
        process = stack.enter_context(
            background(folder, "consul", "agent", "-config-file", str(folder / "consul.json"))
        )
        _wait_until_ready(server, process, folder / "consul.log")
        yield server


def _config(node: str, data: Path, http: int, rpc: int, serf: int) -> Json:
    off = {"dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1}
    return {
        "server": True,
        "bootstrap_expect": 1,
        "node_name": node,
        "data_dir": str(data),
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "ports": {"http": http, "server": rpc, "serf_lan": serf, **off},
        "connect": {"enabled": False},
        "disable_update_check": True,
        "performance": {"raft_multiplier": 1},
        "log_level": "warn",
    }


def _wait_until_ready(server: ConsulServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """It leads, and has written itself into its catalog: what comes later is from others."""
    end = time.monotonic() + READY
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if any(check["CheckID"] == "serfHealth" for check in server.get(f"/v1/health/node/{server.node}")):
                return
        time.sleep(0.05)
    raise SystemExit(f"consul did not start:\n{log.read_text(errors='replace')[-2000:]}")


class Watch:
    """Follows the health of one service by blocking queries, as a client of Consul does.

    Args:
        http: of the server.
        service: its name.
    """

    def __init__(self, http: aiohttp.ClientSession, service: str) -> None:
        self._http = http
        self._path = f"/v1/health/service/{service}"
        self._index = 0
        self._last: Instances = {}

    async def start(self) -> None:
        """Read what there is, so that the next read waits for what comes after."""
        self._last = await self._read()

    async def until(self, wanted: Instances) -> float:
        """Wait until it is so; returns when that was seen, by `time.perf_counter`."""
        while self._last != wanted:
            self._last = await self._read()
        return time.perf_counter()

    async def _read(self) -> Instances:
        async with self._http.get(self._path, params={"index": str(self._index), "wait": "60s"}) as response:
            entries = await response.json()
            self._index = max(int(response.headers["X-Consul-Index"]), 1)
        return {(one["Service"]["Address"], one["Service"]["Port"]): worst(one["Checks"]) for one in entries}


def worst(checks: Collection[Json]) -> str:
    """What the checks of an instance and its node come to."""
    return "passing" if all(check["Status"] == "passing" for check in checks) else "critical"


@contextlib.asynccontextmanager
async def watching(url: str, services: Collection[str]) -> AsyncIterator[dict[str, Watch]]:
    """Watches of these services, each begun."""
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as http:
        watches = {service: Watch(http, service) for service in services}
        await asyncio.gather(*(watch.start() for watch in watches.values()))
        yield watches
