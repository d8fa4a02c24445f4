"""A TCP proxy before the API server that can stall: what a half-open connection, or a slow network, looks like."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit

from .cluster import API


class StallingProxy:
    """Listens beside the API server, on the same address: its certificate holds for `url` as well."""

    def __init__(self, target: str = API) -> None:
        parts = urlsplit(target)
        self._host, self._port = str(parts.hostname), parts.port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        self.url = f"https://{self._host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        await self._server.wait_closed()

    def pause(self) -> None:
        """Hold back every byte, and every end of a stream, in both directions. Connections are still accepted."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let go what was held back."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset all connections that are open now."""
        for writer in list(self._streams):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._streams.add(writer)
        self.accepted += 1
        try:
            with contextlib.suppress(asyncio.CancelledError):  # only __aexit__ cancels, and it is the end of the task
                await self._join(reader, writer)
        finally:
            writer.close()
            self._streams.discard(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            behind, onward = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return
        self._streams.add(onward)
        try:
            pumps = [asyncio.create_task(self._pump(reader, onward)), asyncio.create_task(self._pump(behind, writer))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            onward.close()
            self._streams.discard(onward)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Copy until the source ends; what it ends with is held back too."""
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        await self._flowing.wait()
