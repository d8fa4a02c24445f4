"""HAProxy as an operator runs it: a master that is told to reload, and a main file beside the one that is rendered."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import attrs

from ..until import until

PATH = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
HAPROXY = shutil.which("haproxy", path=PATH)

MAIN = """\
global
    stats socket {folder}/stats.sock level admin expose-fd listeners
    hard-stop-after 30s
defaults
    mode http
    option redispatch 1
    option idle-close-on-response
    retries 3
    retry-on conn-failure empty-response response-timeout
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend web
    bind {address}:{port}
    default_backend web
"""
"""As docs/how-to/load-balancers.md advises. A client that keeps its connection over a reload is told to leave it."""


@attrs.frozen
class Proxy:
    """Where it listens, its files, and the commands that a renderer is given."""

    folder: Path
    url: str

    @property
    def backends(self) -> Path:
        """The file that is rendered."""
        return self.folder / "web.cfg"

    @property
    def check(self) -> tuple[str, ...]:
        return str(HAPROXY), "-c", "-q", "-f", str(self.folder / "main.cfg"), "-f", "{}"

    @property
    def reload(self) -> tuple[str, ...]:
        """Tells the master; each reload is noted."""
        pid, log = (shlex.quote(str(self.folder / name)) for name in ("pid", "reloads"))
        return "sh", "-c", f"kill -USR2 $(cat {pid}) && echo reloaded >> {log}"

    @property
    def reloads(self) -> int:
        """How often it was told."""
        return (self.folder / "reloads").read_text().count("\n") if (self.folder / "reloads").exists() else 0


def prepared(folder: Path, address: str = "127.0.0.1") -> Proxy:
    """Its main file, with a port that is free now."""
    with socket.create_server((address, 0)) as free:
        port = free.getsockname()[1]
    (folder / "main.cfg").write_text(MAIN.format(folder=folder, address=address, port=port))
    return Proxy(folder, f"http://{address}:{port}/")


@contextlib.asynccontextmanager
async def running(proxy: Proxy) -> AsyncIterator[None]:
    """It runs for the length of the block, and listens from its beginning; the rendered file is there before."""
    folder = proxy.folder
    files = ("-f", str(folder / "main.cfg"), "-f", str(proxy.backends))
    process = await asyncio.create_subprocess_exec(
        str(HAPROXY), "-W", "-db", "-q", "-p", str(folder / "pid"), *files, start_new_session=True
    )
    try:
        await until(lambda: listens(proxy.url), timeout=20)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def listens(url: str) -> bool:
    """Whether somebody does."""
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
