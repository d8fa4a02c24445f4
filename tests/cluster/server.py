"""The process of one pod: a small HTTP server that says who it is and does what a test tells it to.

Started by path with `python -I -S`, so it needs nothing but the standard library and is up in a tenth of a second.

GET /ready        200 or 503, for the readiness probe
POST /control?... ready=0|1, delay=SECONDS, status=CODE, cut=N (reset the next N exchanges before the headers),
                  tear=N (the next N in the middle of the body), crash=N (die within the N-th from now)
GET /arrivals     {"pod", "node", "arrivals": [unix time of each other request]}
anything else     {"pod", "node", "requests", "method", "path", "host"}, counted

`--begins` says what a first POST to /control would: the pods of a broken version begin so.

On SIGTERM it drains as a good server does: answers say "Connection: close", new connections are taken for a short
while yet, exchanges begun are finished.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import struct
import time
from urllib.parse import parse_qsl, urlsplit

REASONS = {
    200: "OK",
    411: "Length Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that is a reset."""

HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"


class State:
    """What the connections of this process share."""

    def __init__(self, pod: str, node: str) -> None:
        self.pod, self.node = pod, node
        self.ready, self.delay, self.status = True, 0.0, 200
        self.cut = self.tear = self.crash = 0
        self.draining = False
        self.arrivals: list[float] = []
        self.open: set[Connection] = set()
        self.finished = asyncio.Event()

    def check_finished(self) -> None:
        """While draining: is every exchange that was begun over?"""
        if self.draining and not any(connection.busy for connection in self.open):
            self.finished.set()

    def control(self, query: str) -> None:
        for name, value in parse_qsl(query):
            if name == "ready":
                self.ready = value == "1"
            elif name == "delay":
                self.delay = float(value)
            elif name in ("cut", "tear", "crash", "status"):
                setattr(self, name, int(value))

    def fault(self) -> str:
        """What is to go wrong with the exchange that begins now; "" where nothing is."""
        if self.crash > 0:
            self.crash -= 1
            if not self.crash:
                os._exit(1)
        for name in ("cut", "tear"):
            left = getattr(self, name)
            if left > 0:
                setattr(self, name, left - 1)
                return name
        return ""


class Connection(asyncio.Protocol):
    """One connection, kept alive: requests are answered one after the other."""

    def __init__(self, state: State) -> None:
        self.state, self.buffer, self.busy = state, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.state.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.open.discard(self)
        self.state.check_finished()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.advance()

    def advance(self) -> None:
        """Take one request out of the buffer, if it is whole and the one before is answered."""
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found or self.busy:
            return
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "transfer-encoding" in fields:
            self.answer(411, {}, close=True)
            return
        length = int(fields.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.busy = True
        method, target, _ = lines[0].split(" ", 2)
        self.serve(method, target, fields)

    def serve(self, method: str, target: str, fields: dict[str, str]) -> None:
        state, url = self.state, urlsplit(target)
        close = fields.get("connection", "").lower() == "close"
        if url.path == "/ready":
            self.answer(200 if state.ready else 503, {"ready": state.ready}, close=close)
        elif url.path == "/control" and method == "POST":
            state.control(url.query)
            self.answer(200, {}, close=close)
        elif url.path == "/arrivals":
            self.answer(200, {"pod": state.pod, "node": state.node, "arrivals": state.arrivals}, close=close)
        else:
            state.arrivals.append(time.time())
            fault = state.fault()
            if fault:
                self.reset(HALF if fault == "tear" else b"")
                return
            who = {"pod": state.pod, "node": state.node, "requests": len(state.arrivals)}
            body = {**who, "method": method, "path": target, "host": fields.get("host", "")}
            if state.delay:
                asyncio.get_running_loop().call_later(state.delay, self.answer, state.status, body, close)
            else:
                self.answer(state.status, body, close)

    def reset(self, said: bytes) -> None:
        """Break off, after so much of an answer."""
        self.transport.write(said)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        # What is reset at once may be lost on the way: the client is to see the headers.
        asyncio.get_running_loop().call_later(0.01 if said else 0.0, self.transport.abort)

    def answer(self, status: int, body: dict[str, object], close: bool) -> None:
        if self.transport.is_closing():
            return
        close = close or self.state.draining
        data = json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Said')}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: {'close' if close else 'keep-alive'}\r\n\r\n"
        )
        self.transport.write(head.encode() + data)
        self.busy = False
        self.state.check_finished()
        if close:
            self.transport.close()
        elif self.buffer:
            self.advance()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--pod", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--linger", type=float, default=0.3, help="seconds to take new connections after SIGTERM")
    parser.add_argument("--begins", default="", metavar="QUERY", help="as of a POST to /control")
    chosen = parser.parse_args()
    state = State(chosen.pod, chosen.node)
    state.control(chosen.begins)
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    servers = []
    for place in chosen.listen:
        address, _, port = place.rpartition(":")
        servers.append(await loop.create_server(lambda: Connection(state), address, int(port), backlog=1024))
    await told.wait()
    state.draining = True
    await asyncio.sleep(chosen.linger)
    for server in servers:
        server.close()
    state.finished.clear()
    state.check_finished()
    await state.finished.wait()
    for connection in list(state.open):
        connection.transport.close()


if __name__ == "__main__":
    asyncio.run(main())
