"""A DNS server on loopback that answers from a zone, over UDP and TCP, or misbehaves for the names that a test says.

It is authoritative and follows aliases, as CoreDNS does. What it was asked is kept.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import attrs
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Behaviour = Literal[
    "drop",  # no answer at all
    "SERVFAIL",
    "REFUSED",
    "NOTIMP",
    "no-edns",  # FORMERR to a question with EDNS, the answer to one without
    "truncate",  # over UDP only the flag that says so
    "truncate-always",  # over TCP too
    "cut",  # over UDP in the middle of a record, with that flag
    "stall",  # as truncate, and over TCP no answer at all
    "hang-up",  # the end of a TCP connection instead of an answer
    "refer",  # to the servers of another zone
    "no-soa",  # a negative answer that does not say for how long
    "no-chain",  # of a chain of aliases only the first
    "garbage",  # bytes that are no message, behind the right id
    "forge",  # before the answer, others with a wrong id, for a wrong question, and bytes that are nothing
    "echo",  # before the answer, the question sent back
    "apart",  # not told along with the SRV records that name it
]

FORGED = "192.0.2.66"

NEGATIVE_TTL = 7
SOA = "60 IN SOA ns.test. admin.test. 1 7200 1800 86400"


@attrs.frozen
class Asked:
    """One question that came in."""

    name: str
    kind: str
    tcp: bool
    payload: int | None


class Server:
    """`async with Server("web.test. 30 IN A 10.0.0.1") as server`: one record a line.

    Args:
        zone: its records.
        behaviour: by name in lower case, below the origin, as "web" or "AAAA web" for one kind of question; to those
            that are not here it is good.
        origin: of the zone.
        host: the address to listen on.

    Attributes:
        asked: every question so far.
        stalled: connections that wait for an answer that does not come.
        address: for `Lookups([...])`.
    """

    def __init__(
        self,
        zone: str = "",
        behaviour: Mapping[str, Behaviour] | None = None,
        origin: str = "test.",
        host: str = "127.0.0.1",
    ) -> None:
        self.behaviour = {f"{name}.{origin}": does for name, does in (behaviour or {}).items()}
        self.asked: list[Asked] = []
        self.stalled = 0
        self._serving: dict[asyncio.StreamWriter, asyncio.Event] = {}
        self.address = ""
        self._host = host
        self._zone = _read(zone)
        (self._soa,) = _read(f"{origin} {SOA} {NEGATIVE_TTL}").values()

    async def __aenter__(self) -> Self:
        place = await self._listen()
        self.address = f"[{place[0]}]:{place[1]}" if ":" in place[0] else f"{place[0]}:{place[1]}"
        return self

    async def _listen(self) -> tuple[str, int]:
        """On one port for both protocols: another, where one that is free for TCP is taken for UDP."""
        loop = asyncio.get_running_loop()
        for _ in range(100):
            self._tcp = await asyncio.start_server(self._serve, self._host, 0)
            place: tuple[str, int] = self._tcp.sockets[0].getsockname()[:2]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=place)
            except OSError:
                self._tcp.close()
                await self._tcp.wait_closed()
            else:
                return place
        raise OSError("no port is free for both protocols")

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()
        for writer, over in tuple(self._serving.items()):
            writer.transport.abort()
            await over.wait()
        await self._tcp.wait_closed()

    @property
    def names(self) -> list[str]:
        """Of all questions, in their order, without the last dot."""
        return [one.name.removesuffix(".") for one in self.asked]

    def replies(self, wire: bytes, *, tcp: bool) -> Iterator[bytes]:
        """What is sent back to a question."""
        query = dns.message.from_wire(wire)
        name, kind = query.question[0].name.to_text(), query.question[0].rdtype
        self.asked.append(Asked(name, dns.rdatatype.to_text(kind), tcp, query.payload if query.edns >= 0 else None))
        names = f"{dns.rdatatype.to_text(kind)} {name.lower()}", name.lower()
        does = next((self.behaviour[one] for one in names if one in self.behaviour), None)
        if does == "drop" or (does in ("hang-up", "stall") and tcp):
            return
        if does == "garbage":
            yield wire[:2] + b"\x81\x80" + b"\xff" * 60
            return
        if does == "echo":
            yield wire
        elif does == "forge" and not tcp:
            yield from self._forged(query)
        yield self._encode(self._answer(query, does), query, does, tcp=tcp)

    def _answer(self, query: dns.message.Message, does: Behaviour | None) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        answer.flags |= dns.flags.AA
        if does in ("SERVFAIL", "REFUSED", "NOTIMP"):
            answer.set_rcode(dns.rcode.from_text(does))
        elif does == "no-edns" and query.edns >= 0:
            answer.use_edns(-1)
            answer.set_rcode(dns.rcode.FORMERR)
        elif does == "refer":
            answer.flags &= ~(dns.flags.AA | dns.flags.RA)
            answer.authority.append(dns.rrset.from_text("test.", 60, "IN", "NS", "ns.elsewhere."))
        else:
            self._fill(answer, query.question[0], does)
        return answer

    def _fill(self, answer: dns.message.Message, asked: Any, does: Behaviour | None) -> None:
        name: dns.name.Name = asked.name
        for _ in range(5):
            alias = self._zone.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            answer.answer.append(alias)
            name = alias[0].target
            if does == "no-chain":
                return
        found = self._zone.get((name, asked.rdtype))
        if found is not None:
            answer.answer.append(found)
            self._add_targets(answer, found)
        elif alias is None:
            there = any(one == name or one.is_subdomain(name) for one, _ in self._zone)
            answer.set_rcode(dns.rcode.NOERROR if there else dns.rcode.NXDOMAIN)
            answer.authority += [] if does == "no-soa" else [self._soa]

    def _add_targets(self, answer: dns.message.Message, found: dns.rrset.RRset) -> None:
        if found.rdtype != dns.rdatatype.SRV:
            return
        for target in {one.target for one in found}:
            for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
                if (target, kind) in self._zone and self.behaviour.get(target.to_text()) != "apart":
                    answer.additional.append(self._zone[target, kind])

    def _encode(
        self, answer: dns.message.Message, query: dns.message.Message, does: Behaviour | None, *, tcp: bool
    ) -> bytes:
        room = 65535 if tcp else query.payload if query.edns >= 0 else 512
        whole = answer.to_wire(max_size=65535)
        cut = bytes((whole[2] | dns.flags.TC >> 8,))
        if does == "cut" and not tcp:
            return whole[:2] + cut + whole[3 : len(whole) - 20]
        if len(whole) > room or does == "truncate-always" or (does in ("truncate", "stall") and not tcp):
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()
        return whole

    def _forged(self, query: dns.message.Message) -> Iterator[bytes]:
        """Answers that a stranger could send: none of them is for this question."""
        for other_id, name in ((query.id ^ 1, query.question[0].name), (query.id, dns.name.from_text("other.test."))):
            forged = dns.message.make_response(dns.message.make_query(name, "A", id=other_id))
            forged.answer.append(dns.rrset.from_text(name, 60, "IN", "A", FORGED))
            yield forged.to_wire()
        yield b""
        yield b"\x00"
        yield bytes(12)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving[writer] = asyncio.Event()
        try:
            await self._answer_over_tcp(reader, writer)
        finally:
            writer.close()
            self._serving.pop(writer).set()

    async def _answer_over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            length = int.from_bytes(await reader.readexactly(2))
            for reply in self.replies(await reader.readexactly(length), tcp=True):
                writer.write(len(reply).to_bytes(2))
                await writer.drain()  # the length alone: what reads it must be able to wait for the rest
                writer.write(reply)
            if self.behaviour.get(self.asked[-1].name.lower()) == "stall":
                await self._stall(reader)

    async def _stall(self, reader: asyncio.StreamReader) -> None:
        """Until the client hangs up."""
        self.stalled += 1
        try:
            await reader.read()
        finally:
            self.stalled -= 1


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for reply in self._server.replies(data, tcp=False):
            self._transport.sendto(reply, addr)


def _read(zone: str) -> dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset]:
    """Records by name and type, from lines of a master file."""
    found: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
    for line in filter(str.strip, zone.splitlines()):
        name, ttl, _, kind, data = line.split(maxsplit=4)
        one = dns.rrset.from_text(name, int(ttl), "IN", kind, data)
        found.setdefault((one.name, one.rdtype), one).update(one)  # type: ignore[no-untyped-call]
    return found


def unused() -> str:
    """The place of a server that is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"
