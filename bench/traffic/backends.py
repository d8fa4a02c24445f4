"""Backends of a benchmark, in a process of their own: `python -m bench.traffic.backends COUNT [CERTIFICATE]`.

They answer GETs as cheaply as can be, for the clients are what is measured, and behave as they are told meanwhile.
"""

import argparse
import asyncio
import json
import random
import resource
import ssl
import time
from array import array
from http import HTTPStatus

import attrs

from ..programs import say, wait_for_word
from .behaviour import WIDEST, Behaviour

END = b"\r\n\r\n"
"""Of a GET: it has no body."""


@attrs.define(eq=False)
class Backend:
    """One server. It knows when each of its requests came."""

    rng: random.Random
    trust: ssl.SSLContext | None
    behaviour: Behaviour = attrs.field(factory=Behaviour)
    answer: bytes = b""
    connections: int = 0
    arrivals: "array[float]" = attrs.field(factory=lambda: array("d"))
    open: "set[Connection]" = attrs.field(factory=set)
    port: int = 0
    _server: asyncio.Server | None = None

    async def become(self, behaviour: Behaviour) -> None:
        """What is under way goes on as it was meant, unless the backend is gone."""
        self.behaviour = behaviour
        status = f"HTTP/1.1 {behaviour.status} {HTTPStatus(behaviour.status).phrase}"
        self.answer = f"{status}\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n".encode()
        if behaviour.gone:
            self._leave()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), "127.0.0.1", self.port, ssl=self.trust, backlog=1024, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _leave(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.open):
            connection.transport.abort()


class Connection(asyncio.Protocol):
    """Answers each request when its time has come. Clients send the next one after that."""

    transport: asyncio.Transport

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._end = b""  # of what came before, where the end of a request may be cut

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._backend.connections += 1
        self._backend.open.add(self)
        if self._backend.behaviour.gone:  # accepted just before
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._backend.open.discard(self)

    def data_received(self, data: bytes) -> None:
        data = self._end + data
        requests = data.count(END)
        self._end = b"" if data.endswith(END) else data[-3:]
        for _ in range(requests):
            self._take()

    def _take(self) -> None:
        backend = self._backend
        backend.arrivals.append(time.monotonic())
        if backend.behaviour.hangs:
            return
        seconds, answer = backend.behaviour.seconds(backend.rng), backend.answer
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self.transport.write, answer)
        else:
            self.transport.write(answer)


def obey(backends: list[Backend], order: dict[str, object]) -> dict[str, object]:
    """What is asked of all backends, in one line."""
    if "connections" in order:
        return {"connections": sum(backend.connections for backend in backends)}
    assert "arrivals" in order, order
    told = [list(backend.arrivals) for backend in backends]
    for backend in backends:
        del backend.arrivals[:]
    return {"arrivals": told}


async def take_orders(backends: list[Backend], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One JSON line each way, until whoever gives them hangs up."""
    writer.write(json.dumps({"ports": [backend.port for backend in backends]}).encode() + b"\n")
    while line := await reader.readline():
        order = json.loads(line)
        if "become" in order:
            behaviour = Behaviour(**order["become"])
            for index in order["which"]:
                await backends[index].become(behaviour)
            answer: dict[str, object] = {}
        else:
            answer = obey(backends, order)
        writer.write(json.dumps(answer).encode() + b"\n")
    writer.close()


async def serve(count: int, certificate: str | None) -> None:
    """Until the process is told to end."""
    trust = None
    if certificate is not None:
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(certificate)
    backends = [Backend(random.Random(index), trust) for index in range(count)]
    for backend in backends:
        await backend.become(Behaviour())
    control = await asyncio.start_server(
        lambda reader, writer: take_orders(backends, reader, writer), "127.0.0.1", 0, limit=WIDEST
    )
    ports = [backend.port for backend in backends]
    say(control=control.sockets[0].getsockname()[1], ports=ports)
    await asyncio.to_thread(wait_for_word)


def allow_files() -> None:
    """As many open files as this process may have: a thousand backends are more than the usual 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("certificate", nargs="?", help="a file with key and certificate: serve TLS")
    options = parser.parse_args()
    allow_files()
    asyncio.run(serve(options.count, options.certificate))
