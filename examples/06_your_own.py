"""A way of finding backends and a way of choosing one, both your own."""

import asyncio
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

import discovery
from discovery.balancing import Key, Picker


@attrs.frozen
class HostsFile:
    """A `Resolver`: a file with one address a line, read again every second."""

    path: Path

    async def run(self, sink: discovery.Sink) -> None:
        while True:
            lines = (await asyncio.to_thread(self.path.read_text)).split()
            sink.replace(discovery.Backend(address=line, port=80) for line in lines)
            await asyncio.sleep(1)


@attrs.frozen
class Sticky:
    """A `Balancer`: the first backend by address, as long as it is there."""

    def picker(self, members: discovery.Members, rng: random.Random) -> Picker:
        def pick(_key: Key) -> discovery.Node:
            return min(members.nodes, key=lambda node: node.backend.address)

        return pick


async def main(path: Path) -> None:
    async with (
        discovery.Discovery() as disco,
        disco.pool(HostsFile(path), balancer=Sticky()) as pool,
    ):
        await pool.ready(timeout=5)
        with pool.pick() as lease:
            print("picked", lease.backend.netloc, "of", [backend.address for backend in pool.backends])


with TemporaryDirectory() as folder:
    hosts = Path(folder, "hosts")
    hosts.write_text("192.0.2.20\n192.0.2.10\n")
    asyncio.run(main(hosts))
