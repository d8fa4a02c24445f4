"""HAProxy on loopback, as a sidecar has it: what traffic through this library is measured against."""

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

BEGIN = """\
global
    maxconn 4096
    nbthread 1
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    default-server pool-purge-delay 60s
"""
"""No log; each connection to a server is used by all clients, as in this library, and kept between two turns.

One thread serves this load, and balances better than two: each of those sees the other's requests late.
"""


@attrs.frozen
class Proxy:
    """A running HAProxy: its process, and its ports by name."""

    pid: int
    ports: dict[str, int]


@contextlib.contextmanager
def haproxy(ports: Sequence[int], algorithms: Mapping[str, str]) -> Iterator[Proxy]:
    """One process for the length of a block; for each name, a port that balances over `ports` by its algorithm."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="discovery-bench-")))
        # Made and listening before it starts: nobody else can have the port, and no client comes too early.
        sockets = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in algorithms}
        servers = "".join(f"    server s{port} 127.0.0.1:{port}\n" for port in ports)
        sections = [
            f"listen {name}\n    bind fd@{sockets[name].fileno()}\n    balance {algorithm}\n{servers}"
            for name, algorithm in algorithms.items()
        ]
        (folder / "haproxy.cfg").write_text(BEGIN + "".join(sections))
        command = "haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")
        try:
            process = subprocess.Popen(command, pass_fds=[one.fileno() for one in sockets.values()])
        except FileNotFoundError:
            raise SystemExit("this benchmark is measured against HAProxy: install it (apt install haproxy)") from None
        try:
            yield Proxy(process.pid, {name: one.getsockname()[1] for name, one in sockets.items()})
        finally:
            process.terminate()
            process.wait(10)
