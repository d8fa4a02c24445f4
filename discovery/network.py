"""What requests to the API server and to Consul share: sockets that notice a lost peer, and failures in words."""

import asyncio
import socket

import aiohttp

NETWORK_ERRORS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a request raises when there is no answer."""


def cause_of(error: BaseException) -> object:
    """What to say of a failure of the network, not yet quoted."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error  # the whole text has the repr of a TLS context in it
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return error


def kept_alive(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket on which a peer that vanished without a word is found out within half a minute."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
