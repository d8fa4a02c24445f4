"""What a resolv.conf says, as resolv.conf(5) means it. Pure.

Lines that cannot be read are passed over, as the C library does: half of a file is better than none of it.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import attrs

from ..targets import checks

Server = tuple[str, int]
"""The address and port of a DNS server."""

PATH = Path("/etc/resolv.conf")
PORT = 53
MOST_SERVERS = 3
"""Of a file (MAXNS in resolv.h)."""
MOST_DOMAINS = 32
"""Of a search list; Kubernetes allows as many (MaxDNSSearchPaths)."""


@attrs.frozen(kw_only=True)
class ResolvConf:
    """How names are looked up. The defaults are those of resolv.conf(5).

    Attributes:
        servers: in the order in which they are asked.
        search: domains that are put behind a relative name, without their last dot.
        ndots: a relative name with this many dots is first tried as it is. 0 to 15.
        timeout: seconds to wait for one server. 1 to 30.
        attempts: how often each server is asked. 1 to 5.
    """

    servers: tuple[Server, ...] = (("127.0.0.1", PORT),)
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 5
    attempts: int = 2


def read(text: str) -> ResolvConf:
    """The meaning of a file's text; of `search` and `domain`, the last one counts."""
    servers: list[Server] = []
    found: dict[str, int] = {}
    search: tuple[str, ...] = ()
    for keyword, words in _lines(text):
        match keyword:
            case "nameserver":
                servers.extend(_server(words[0]))
            case "search":
                search = _domains(words)
            case "domain":
                search = _domains(words[:1])
            case "options":
                found.update(_numbers(words))
    return ResolvConf(servers=tuple(servers[:MOST_SERVERS]) or ResolvConf().servers, search=search, **found)


def _lines(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and not line.startswith(("#", ";")):
            yield words[0], words[1:]


def _server(word: str) -> Iterator[Server]:
    try:
        yield str(ipaddress.ip_address(word)), PORT
    except ValueError:
        return


def _domains(words: list[str]) -> tuple[str, ...]:
    """Those that are names; a lone dot is the root, which a relative name is tried in anyway."""
    return tuple(word.rstrip(".").lower() for word in words if checks.HOST.fullmatch(word))[:MOST_DOMAINS]


def _numbers(words: list[str]) -> Iterator[tuple[str, int]]:
    """Of options such as `ndots:5`, those that are used here, cut to the range that is allowed."""
    for word in words:
        name, mark, value = word.partition(":")
        if mark and name in RANGES and value.isascii() and value.isdigit():
            least, most = RANGES[name]
            yield name, max(least, min(int(value[:6]), most))


RANGES = {"ndots": (0, 15), "timeout": (1, 30), "attempts": (1, 5)}
"""RES_MAXNDOTS, RES_MAXRETRANS and RES_MAXRETRY of resolv.h; 0 seconds and no attempt would be no lookup."""
