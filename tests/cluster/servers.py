"""The servers that up.sh started, as processes: killed, and started again as they were."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from .admin import UNREACHABLE, Admin, ApiError
from .cluster import Cluster, ClusterError


class Server:
    """One process of the cluster: its command line, its namespace and its log are kept over a restart."""

    def __init__(self, cluster: Cluster, pid: int) -> None:
        self._cluster, self.pid = cluster, pid
        command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        self.command = [os.fsdecode(word) for word in command]
        place = subprocess.run(["ip", "netns", "identify", str(pid)], check=True, capture_output=True, text=True)
        self.netns = place.stdout.strip()
        self.log = Path(f"/proc/{pid}/fd/1").resolve()

    @classmethod
    def named(cls, cluster: Cluster, *names: str) -> list[Self]:
        """The processes of these servers: kube-proxy runs three times.

        Raises:
            ClusterError: one of them does not run.
        """
        wanted = {os.fsencode(cluster.binaries / name): name for name in names}
        found: list[tuple[str, int]] = []
        for word in (cluster.directory / "pids").read_text().split():
            with contextlib.suppress(OSError):
                program = Path(f"/proc/{word}/cmdline").read_bytes().split(b"\0")[0]
                if program in wanted:
                    found.append((wanted[program], int(word)))
        if missing := set(names) - {name for name, _ in found}:
            raise ClusterError(f"not running: {', '.join(sorted(missing))}")
        return [cls(cluster, pid) for _, pid in found]

    async def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        gone, loop = asyncio.Event(), asyncio.get_running_loop()
        watched = os.pidfd_open(self.pid)
        loop.add_reader(watched, gone.set)
        try:
            os.kill(self.pid, signal.SIGKILL)
            await gone.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)

    async def start(self) -> None:
        """Start it again: same words, same place, a new pid."""
        with self.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: ASYNC220 - a millisecond
                ["ip", "netns", "exec", self.netns, *self.command],
                cwd=self._cluster.directory,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._cluster.children.append(child)
        self.pid = child.pid
        with (self._cluster.directory / "pids").open("a") as pids:
            pids.write(f"{child.pid}\n")


class ApiServer:
    """The API server, and how to be without it for a while."""

    def __init__(self, cluster: Cluster, admin: Admin) -> None:
        self._cluster, self._admin = cluster, admin
        (self._server,) = Server.named(cluster, "kube-apiserver")
        self.was_down = False

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Killed for as long as the block lasts; it is ready again at its end, however that comes."""
        self.was_down = True
        await self._server.kill()
        try:
            yield
        finally:
            await self._server.start()
            await self.ready()

    async def restart(self) -> None:
        """Down, and up at once."""
        async with self.down():
            pass

    async def ready(self, timeout: float = 60.0) -> None:
        """Wait until it says so itself."""
        async with asyncio.timeout(timeout):
            while True:
                with contextlib.suppress(ApiError, *UNREACHABLE):
                    await self._admin.get("/readyz")
                    return
                await asyncio.sleep(0.02)

    async def forgotten(self) -> None:
        """Start its own clients anew: after an outage they wait up to a minute before they ask again."""
        servers = Server.named(self._cluster, "kube-controller-manager", "kube-proxy", "coredns")
        await asyncio.gather(*(server.kill() for server in servers))
        for server in servers:
            await server.start()
