"""Addresses that nobody answers at: sockets whose queue is full, so that the kernel drops who would connect."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def holes(*addresses: str) -> Iterator[int]:
    """Nobody answers at these, each of 127.0.0.0/8, at the port that it gives."""
    with contextlib.ExitStack() as held:
        port = 0
        for address in addresses:
            listening = held.enter_context(socket.socket())
            listening.bind((address, port))
            port = listening.getsockname()[1]
            listening.listen(0)
            for _ in range(2):  # one is taken in, one tells that it is full
                waiting = held.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield port
