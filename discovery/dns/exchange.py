"""One question to one server: over UDP with EDNS, and over TCP where the answer did not fit.

dnspython writes, reads and matches the messages. The sockets are our own, a new one for each question: connected, so
that the kernel takes datagrams from this server alone, on a port that nobody can guess, and a server that is not there
is known at once and not after a timeout. Closing one needs no await, so a cancelled lookup leaves nothing behind.

It imports dnspython, which takes a while: import this module where names are looked up, not before.
"""

import asyncio
import copy
import secrets
import socket
from functools import lru_cache

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from .answers import Kind
from .resolv_conf import Server

PAYLOAD = 1232
"""Bytes of an answer that are welcome over UDP: what passes everywhere unfragmented (DNS Flag Day 2020)."""

LARGEST = 65535

LONG = 2048
"""Bytes of an answer from which on it is read in a thread: a thousand records take 30 ms."""

NO_EDNS = (dns.rcode.FORMERR, dns.rcode.NOTIMP)
"""What servers say that do not know EDNS (RFC 6891, 7): they are asked again without."""


class Unreadable(Exception):
    """The answer is none that can be read."""


class NoName(Exception):
    """The name cannot be one: an empty label, or a part that is too long."""


async def ask(name: str, kind: Kind, server: Server) -> dns.message.Message:
    """What a server says of an absolute name, which is written without its last dot. It takes as long as it takes.

    Raises:
        OSError: it is not there, or ended the connection.
        Unreadable: it answers with something else.
        NoName: nothing was asked.
    """
    query = _query(name, kind, edns=True)
    said = await _udp(*query, server)
    if said.rcode() in NO_EDNS:
        query = _query(name, kind, edns=False)
        said = await _udp(*query, server)
    return await _tcp(*query, server) if said.flags & dns.flags.TC else said


def _query(name: str, kind: Kind, *, edns: bool) -> tuple[dns.message.Message, bytes]:
    """A question with an id of its own, and its bytes. To write the same one anew each TTL would be a fifth of all."""
    try:
        model, wire = _model(name, kind, edns)
    except dns.exception.DNSException as error:
        raise NoName(str(error).rstrip(".")) from error
    query = copy.copy(model)
    query.id = secrets.randbits(16)
    return query, query.id.to_bytes(2) + wire[2:]


@lru_cache(maxsize=4096)
def _model(name: str, kind: Kind, edns: bool) -> tuple[dns.message.Message, bytes]:
    """What is asked for again and again."""
    made = dns.message.make_query(f"{name}.", kind, use_edns=0 if edns else False, payload=PAYLOAD if edns else None)
    return made, made.to_wire()


async def _udp(query: dns.message.Message, wire: bytes, server: Server) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_DGRAM) as channel:
        channel.connect(_peer(server))  # sends nothing
        channel.send(wire)
        while True:
            answer = await _taken(await loop.sock_recv(channel, LARGEST), query)
            if answer is not None:
                return answer


async def _tcp(query: dns.message.Message, wire: bytes, server: Server) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_STREAM) as channel:
        await loop.sock_connect(channel, _peer(server))
        await loop.sock_sendall(channel, len(wire).to_bytes(2) + wire)
        length = int.from_bytes(await _exactly(channel, 2))
        answer = await _taken(await _exactly(channel, length), query)
        if answer is None or answer.flags & dns.flags.TC:
            raise Unreadable("it answers another question, or is cut over TCP too")
        return answer


def _socket(server: Server, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, kind)
    made.setblocking(False)
    return made


def _peer(server: Server) -> tuple[str, int] | tuple[str, int, int, int]:
    """Where to connect: a link-local address has its interface, `fe80::1%eth0`, which a socket wants as a number.

    Raises:
        OSError: there is no such interface.
    """
    address, _, interface = server[0].partition("%")
    if not interface:
        return server
    number = int(interface) if interface.isdecimal() else socket.if_nametoindex(interface)
    return address, server[1], 0, number


async def _exactly(channel: socket.socket, count: int) -> bytes:
    loop, found = asyncio.get_running_loop(), bytearray()
    while len(found) < count:
        more = await loop.sock_recv(channel, count - len(found))
        if not more:
            raise ConnectionResetError("the server ended the connection before its answer")
        found += more
    return bytes(found)


async def _taken(wire: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """As `_read`, beside the loop if it takes long: no server is bound to the size that we welcome."""
    return await asyncio.to_thread(_read, wire, query) if len(wire) > LONG else _read(wire, query)


def _read(wire: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The answer to this query; None where it is one to another, or may be forged.

    Raises:
        Unreadable: it is for this query, and cannot be read.
    """
    if wire[:2] != query.id.to_bytes(2):
        return None
    try:
        found = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=True)
    except dns.message.Truncated as error:
        found = error.message()  # type: ignore[no-untyped-call] # it may be cut in the middle of a record
    except dns.exception.DNSException as error:
        raise Unreadable(f"it cannot be read ({type(error).__name__})") from error
    return found if query.is_response(found) else None
