"""DNS: 1,000 names with a TTL of 30 s kept fresh, A and AAAA records each, from a server in another process.

The time is the whole process's, from the first set of every pool on. Within it each name changes once, and at the end
each pool must show what its name was changed to. There is nothing beside it: no other client keeps names fresh.
"""

import asyncio
import ipaddress
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import discovery

from .figures import Figure, amount
from .programs import Program, Said, ours, say, wait_for_word

NAMES = 1000
ADDRESSES = 3
"""Of each family, of each name."""
TTL = 30
SECONDS = 60.0
KINDS = {1: "192.0.{}.{}", 28: "2001:db8::{:x}:{:x}"}
"""A and AAAA by their numbers (RFC 1035, RFC 3596), and what addresses look like."""
GENERATIONS = 2


def measure(runs: int) -> Iterator[Figure]:
    said = [_keep_fresh() for _ in range(runs)]
    each = amount((one["cpu"] / one["queries"] for one in said), "ms", 1000)
    yield Figure(
        name="dns_names",
        what=f"{NAMES:,} names with a TTL of {TTL} s kept fresh, A and AAAA",
        unit="% of a core",
        runs=tuple(100 * one["cpu"] / one["seconds"] for one in said),
        at_most=5,
        ours=f"{each} a query; at most {max(one['sockets'] for one in said)} sockets open",
    )


def _keep_fresh() -> Said:
    """Processor and other seconds of the client, questions it asked meanwhile, the most sockets it had open."""
    with ours("dns_names", "server") as server, ours("dns_names", "client", str(server.hear()["port"])) as client:
        pid, sockets = client.hear()["pid"], 0
        client.go_on()
        ready = client.hear()
        before = _questions(server)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            sockets = max(sockets, _sockets(pid))
            time.sleep(0.01)
        client.go_on()
        said, asked = client.hear(), _questions(server) - before
    assert ready["right"] == said["right"] == NAMES, (ready, said)
    assert asked >= len(KINDS) * NAMES * int(said["seconds"] / TTL), asked
    return {**said, "queries": asked, "sockets": sockets}


def _questions(server: Program) -> int:
    """How many it has answered; from now on it answers with the next generation."""
    server.go_on()
    asked: int = server.hear()["asked"]
    return asked


def _sockets(pid: int) -> int:
    return sum(_is_socket(one) for one in Path(f"/proc/{pid}/fd").iterdir())


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False


def _name(index: int) -> str:
    return f"name-{index:04d}.bench.example."


def _addresses(index: int, kind: int, generation: int) -> list[str]:
    first = ADDRESSES * generation + 1
    return [KINDS[kind].format(index >> 4, (index & 15) << 4 | last) for last in range(first, first + ADDRESSES)]


# The server


class Zone(asyncio.DatagramProtocol):
    """Answers from what was built before: header, question and records."""

    def __init__(self) -> None:
        self.asked = 0
        self.generation = 0
        self._answers = [
            {_question(index, kind): _records(index, kind, generation) for index in range(NAMES) for kind in KINDS}
            for generation in range(GENERATIONS)
        ]

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        question = data[12 : data.index(0, 12) + 5]
        records = self._answers[self.generation][question]
        # A response, with recursion wanted and available; no error; one question and so many answers.
        header = data[:2] + struct.pack("!HHHHH", 0x8180, 1, ADDRESSES, 0, 0)
        self._transport.sendto(header + question + records, client)
        self.asked += 1


def _question(index: int, kind: int) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in _name(index).split("."))
    return labels + struct.pack("!HH", kind, 1)


def _records(index: int, kind: int, generation: int) -> bytes:
    """Each names the question's name by where it is."""
    packed = [ipaddress.ip_address(one).packed for one in _addresses(index, kind, generation)]
    return b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(one)) + one for one in packed)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    transport, zone = await loop.create_datagram_endpoint(Zone, ("127.0.0.1", 0))
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    say(port=transport.get_extra_info("sockname")[1])
    while await asyncio.to_thread(wait_for_word):
        zone.generation = min(zone.generation + 1, GENERATIONS - 1)
        say(asked=zone.asked)
    transport.close()


# The client


async def keep_fresh(port: str) -> None:
    say(pid=os.getpid())
    await asyncio.to_thread(wait_for_word)
    async with discovery.Discovery(dns=[f"127.0.0.1:{port}"]) as disco:
        pools = [disco.pool(f"dns://{_name(index)}:80") for index in range(NAMES)]
        await asyncio.gather(*(pool.ready(timeout=30) for pool in pools))
        seconds, cpu = time.perf_counter(), time.process_time()
        say(right=_right(pools, 0))
        await asyncio.to_thread(wait_for_word)
        seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
        say(seconds=seconds, cpu=cpu, right=_right(pools, GENERATIONS - 1))


def _right(pools: list[discovery.Pool], generation: int) -> int:
    """How many show exactly what their names stand for."""
    return sum(
        {one.address for one in pool.backends} == set(_addresses(index, 1, generation))
        for index, pool in enumerate(pools)
    )


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "server" else keep_fresh(sys.argv[2]))
