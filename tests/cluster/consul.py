"""Real Consul servers of a test's own: on disk, with ACLs, one or three of them, killed and started again.

The `-dev` server that the cluster has keeps nothing and knows no ACLs. These listen on loopback addresses that nobody
else uses, in whatever network namespace the test lives.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from . import build

Json = dict[str, Any]

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)

_addresses = (f"127.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}.{n}" for n in itertools.cycle(range(1, 250)))


class ConsulError(Exception):
    """A server did not start, or refused what a test needs of it; with the end of its log."""


class ConsulServer:
    """One server: `consul agent -server` with its data on disk.

        async with ConsulServer() as consul:
            ... consul.url, consul.token ...

    Args:
        acls: deny what no token allows; `token` may do everything.
        expect: how many servers there are.
        join: addresses of the others.
        name: of its node; "" is one of its own.
        config: over the defaults, as in a configuration file.

    Attributes:
        url: of the HTTP API.
        token: of management; "" without ACLs.
        pid: of the process; 0 while there is none.
    """

    def __init__(
        self,
        *,
        acls: bool = False,
        expect: int = 1,
        join: Sequence[str] = (),
        name: str = "",
        address: str = "",
        config: Mapping[str, Any] | None = None,
        token: str = "",
    ) -> None:
        self.address = address or next(_addresses)
        self.name = name or f"consul-{self.address.replace('.', '-')}"
        self.url = f"http://{self.address}:8500"
        self.token = token or (str(uuid.uuid4()) if acls else "")
        self.directory = Path()
        self._expect = expect
        self._join = join
        self._config = config or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<ConsulServer {self.name} {self.url} pid {self.pid or 'none'}>"

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.ready()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Kill it and remove its data."""
        await self.kill()
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)

    # The process

    async def start(self) -> None:
        """Start it, with the data it has. It answers some time later: `ready`."""
        if self._process is not None:
            return
        binary = await asyncio.to_thread(build.build) / "consul"
        if self.directory == Path():
            self.directory = Path(tempfile.mkdtemp(prefix="aiodiscovery-consul-"))
            (self.directory / "consul.json").write_text(json.dumps(self._written()))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond
                [binary, "agent", "-config-file", self.directory / "consul.json"],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _written(self) -> Json:
        config: Json = {
            "server": True,
            "bootstrap_expect": self._expect,
            "node_name": self.name,
            "data_dir": str(self.directory / "data"),
            "bind_addr": self.address,
            "advertise_addr": self.address,
            "client_addr": self.address,
            "retry_join": list(self._join),
            "retry_interval": "1s",
            "disable_update_check": True,
            "connect": {"enabled": False},
            "performance": {"raft_multiplier": 1},
            "log_level": "info",
        }
        if self.token:
            tokens = {"initial_management": self.token, "agent": self.token}
            config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        return {**config, **self._config}

    async def kill(self) -> None:
        """Kill it without a warning, and wait until it is gone. Its data stays."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)

    async def restart(self) -> None:
        """Kill it, start it with the same data, and wait until it is ready."""
        await self.kill()
        await self.start()
        await self.ready()

    async def ready(self, timeout: float = 30.0) -> None:
        """Wait until it knows a leader and holds its own node, and tokens too where there are ACLs.

        Raises:
            ConsulError: it does not, in so many seconds.
        """
        end = time.monotonic() + timeout
        async with self.session(timeout=2.0) as http:
            while not await self._answers(http):
                if time.monotonic() > end:
                    raise ConsulError(f"{self!r} is not ready after {timeout:.0f} s:\n{self.log()}")
                if self._process is None or self._process.poll() is not None:
                    raise ConsulError(f"{self!r} has ended:\n{self.log()}")
                await asyncio.sleep(0.05)

    async def leaderless(self, timeout: float = 30.0) -> None:
        """Wait until it knows no leader; TimeoutError where it still does after so many seconds."""
        async with asyncio.timeout(timeout):
            while await _leader_known_to(self):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.05)

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(*UNREACHABLE):
            async with http.get(f"/v1/health/node/{self.name}", params={"consistent": ""}) as response:
                if response.status != 200:
                    return False
                checks = await response.json()
                return any(check["CheckID"] == "serfHealth" and check["Status"] == "passing" for check in checks)
        return False

    def log(self, lines: int = 20) -> str:
        """The end of what it wrote."""
        path = self.directory / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # What a test asks of it

    def session(self, *, token: str | None = None, timeout: float = 10.0) -> aiohttp.ClientSession:
        """An HTTP client with this token (None is that of management)."""
        secret = self.token if token is None else token
        headers = {"X-Consul-Token": secret} if secret else {}
        patience = aiohttp.ClientTimeout(total=timeout)
        return aiohttp.ClientSession(self.url, headers=headers, timeout=patience)

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """One request with the token of management.

        Raises:
            ConsulError: it is refused.
        """
        async with self.session() as http, http.request(method, path, json=body, params=query) as response:
            if response.status >= 400:
                raise ConsulError(f"{method} {path}: {response.status} {await response.text()}")
            return await response.json(content_type=None)

    async def create_token(self, rules: str) -> str:
        """A token that allows what these rules (HCL) say; gives its secret."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        await self.ask("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        made = await self.ask("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]})
        return str(made["SecretID"])

    async def revoke_token(self, secret: str) -> None:
        """Delete a token."""
        async with self.session(token=secret) as http, http.get("/v1/acl/token/self") as response:
            accessor = (await response.json())["AccessorID"]
        await self.ask("DELETE", f"/v1/acl/token/{accessor}")


class ConsulQuorum:
    """Three servers: any one may be lost.

        async with ConsulQuorum() as quorum:
            old = await quorum.kill_leader()
            new = await quorum.leader()

    Args:
        acls: as of a server; all have one token.
        config: as of a server.
    """

    def __init__(self, *, acls: bool = False, config: Mapping[str, Any] | None = None) -> None:
        addresses = [next(_addresses) for _ in range(3)]
        token = str(uuid.uuid4()) if acls else ""
        self.servers = [
            ConsulServer(acls=acls, expect=3, join=addresses, address=address, config=config, token=token)
            for address in addresses
        ]
        self.token = token

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(server.start() for server in self.servers))
            await asyncio.gather(*(server.ready() for server in self.servers))
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Kill them and remove their data."""
        await asyncio.gather(*(server.aclose() for server in self.servers))

    async def leader(self, timeout: float = 30.0) -> ConsulServer:
        """The one that leads and runs, as soon as there is one that the others agree on.

        Raises:
            ConsulError: there is none in so many seconds.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            alive = [server for server in self.servers if server.running]
            found = await asyncio.gather(*map(_leader_known_to, alive))
            for server in alive:
                if found and all(address == server.address for address in found):
                    return server
            await asyncio.sleep(0.05)
        raise ConsulError("no leader:\n" + "\n".join(server.log(5) for server in self.servers))

    async def followers(self) -> list[ConsulServer]:
        """Those that run and do not lead."""
        leader = await self.leader()
        return [server for server in self.servers if server.running and server is not leader]

    async def kill_leader(self) -> ConsulServer:
        """Kill the leader; gives it, so that it can be started again."""
        leader = await self.leader()
        await leader.kill()
        return leader


async def _leader_known_to(server: ConsulServer) -> str:
    """The address of the leader; "" where this one knows none."""
    with contextlib.suppress(*UNREACHABLE):
        async with server.session(timeout=1.0) as http, http.get("/v1/status/leader") as response:
            return str(await response.json()).rpartition(":")[0]
    return ""


@contextlib.asynccontextmanager
async def limited(*, read_rate: float = 5, write_rate: float = 5) -> AsyncIterator[ConsulServer]:
    """A server that already refuses requests above these rates, in requests a second.

    It begins to count some seconds after its start only: this waits until it refuses both reads and writes.
    """
    limits = {"request_limits": {"mode": "enforcing", "read_rate": read_rate, "write_rate": write_rate}}
    async with ConsulServer(config={"limits": limits}) as server:
        async with server.session() as http, asyncio.timeout(60):
            for method, path in (("GET", "/v1/catalog/nodes"), ("PUT", "/v1/kv/limited")):
                while await _status(http, method, path) == 200:
                    pass
        yield server


async def _status(http: aiohttp.ClientSession, method: str, path: str) -> int:
    async with http.request(method, path) as response:
        return response.status
