"""A name in the DNS as a target: a pool that follows its records by their TTL. A server for it runs along."""

import asyncio
from typing import Any

import dns.message
import dns.rrset

import discovery


async def main(server: str, zone: "Zone") -> None:
    async with discovery.Discovery(dns=[server]) as disco, disco.pool("dns://web.example:8080") as pool:
        await pool.ready(timeout=5)  # else NotReady, and its cause says: no such name, no data, no answer
        with pool.pick() as lease:
            print("picked:", lease.backend.netloc in {"192.0.2.1:8080", "192.0.2.2:8080"})
        async for change in pool.changes():
            print(f"+{len(change.added)} -{len(change.removed)}:", *(one.address for one in change.snapshot.backends))
            if change.removed:
                break
            zone.addresses = "192.0.2.2", "192.0.2.3"  # seen within the TTL, which is 1 s here


class Zone(asyncio.DatagramProtocol):
    """All of a small DNS server: one set of A records, and no others."""

    addresses = ("192.0.2.1", "192.0.2.2")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, client: Any) -> None:
        query = dns.message.from_wire(data)
        answer, asked = dns.message.make_response(query), query.question[0]
        records = dns.rrset.from_text_list(asked.name, 1, "IN", "A", self.addresses)
        answer.answer = [records] if asked.rdtype == records.rdtype else []
        self.transport.sendto(answer.to_wire(), client)


async def with_a_server() -> None:
    loop = asyncio.get_running_loop()
    transport, zone = await loop.create_datagram_endpoint(Zone, ("127.0.0.1", 0))
    await main("{}:{}".format(*transport.get_extra_info("sockname")), zone)
    transport.close()


asyncio.run(with_a_server())
