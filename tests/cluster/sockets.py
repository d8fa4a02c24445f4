"""The connections of this process to the API server, as the kernel has them."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import Self

OPEN = {"01", "02"}
"""TCP states: established, and on the way there (include/net/tcp_states.h)."""


def _hex(address: str, port: int) -> str:
    """As /proc/net/tcp writes it."""
    return f"{socket.inet_aton(address)[::-1].hex().upper()}:{port:04X}"


def connections(address: str = "172.31.0.1", port: int = 6443) -> set[str]:
    """The inodes of the sockets of this process that lead there."""
    there = _hex(address, port)
    lines = (line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:])
    inodes = {words[9] for words in lines if words[2] == there and words[3] in OPEN}
    ours = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names only
        try:
            link = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue
        if link.startswith("socket:["):
            ours.add(link[8:-1])
    return inodes & ours


class Counting:
    """Looks at the connections every 2 ms, in a thread: a loop that is busy hides none."""

    def __init__(self) -> None:
        self._before = connections()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.peak = 0
        self.ever: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    @property
    def now(self) -> int:
        """Those that were opened since it began, and still are."""
        return len(connections() - self._before)

    def _count(self) -> None:
        while not self._ends.is_set():
            found = connections() - self._before
            self.ever |= found
            self.peak = max(self.peak, len(found))
            time.sleep(0.002)
