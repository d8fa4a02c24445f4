"""The simulated kube-proxy: what connects to a Service's own addresses is carried on to one of its pods."""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from .pods import FakePod

CHUNK = 2**16

Choose = Callable[[], FakePod | None]
"""The pod for a new connection; None where there is none, and then it is refused."""


class Proxy:
    """The listening sockets of one Service, and the connections they took."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int, choose: Choose) -> bool:
        """Take connections there; False where this machine does not let us.

        That is so for addresses that are not its own, and for ports below 1024 without the right to them.

        Raises:
            OSError: the place is taken.
        """

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._carry(choose(), reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        try:
            self._servers[address, port] = await asyncio.start_server(take, address, port)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL) or error.errno is None:
                return False
            raise
        return True

    async def close(self, address: str, port: int) -> None:
        """Take no more there; what is under way goes on."""
        server = self._servers.pop((address, port), None)
        if server is not None:
            server.close()

    async def aclose(self) -> None:
        """End it all."""
        for place in tuple(self._servers):
            await self.close(*place)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, pod: FakePod | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, whole = [writer], False
        try:
            if pod is not None:
                inner, outer = await asyncio.open_connection(pod.address, pod.port)
                ends.append(outer)
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pump(reader, outer))
                    both.create_task(_pump(inner, writer))
                whole = True
        except* OSError:
            pass  # one end is gone: the other hears of it
        finally:
            for end in ends:
                if whole:
                    end.close()
                else:
                    _reset(end)
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a refusal does: with a reset, and not as if all had been said."""
    with contextlib.suppress(OSError):  # it has ended already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
