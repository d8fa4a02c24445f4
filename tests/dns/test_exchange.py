"""How one question goes to one server: over either protocol and family, ended at any moment, leaving nothing behind."""

import asyncio
import gc
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from discovery.dns import exchange
from discovery.dns.answers import Kind
from discovery.dns.lookups import Lookups
from discovery.errors import ResolutionError

from ..until import until
from .server import Behaviour, Server

WEB = "web.test. 30 IN A 10.0.0.1\n"
LARGE = "".join(f"large.test. 30 IN A 10.1.{number // 250}.{number % 250}\n" for number in range(1000))


def has_ipv6() -> bool:
    try:
        with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def sockets() -> int:
    """Descriptors of this process that are sockets."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).startswith("socket:") for link in links)


async def refused(lookups: Lookups, name: str, kind: Kind = "A") -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        await lookups.find(name, kind)
    return caught.value


def conf(folder: Path, text: str) -> Path:
    path = folder / "resolv.conf"
    path.write_text(text)
    return path


# Servers by IPv6


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6")
@pytest.mark.parametrize("does", [None, "truncate"])
async def test_a_server_may_have_an_ipv6_address(does: Behaviour | None) -> None:
    async with Server(WEB, {"web": does} if does else {}, host="::1") as server:
        assert (await Lookups([server.address]).find("web.test.", "A")).addresses == ("10.0.0.1",)
        assert [one.tcp for one in server.asked] == ([False, True] if does else [False])


@pytest.mark.parametrize("interface", ["lo", "1"])
def test_a_link_local_server_is_reached_by_its_interface(interface: str) -> None:
    assert exchange._peer((f"fe80::1%{interface}", 53)) == ("fe80::1", 53, 0, socket.if_nametoindex("lo"))


async def test_a_server_behind_an_interface_that_is_not_there_cannot_be_reached() -> None:
    async with Server(WEB) as good:
        lookups = Lookups(["[fe80::1%none0]:53", good.address])
        assert (await lookups.find("web.test.", "A")).addresses
        assert (await refused(Lookups(["[fe80::1%none0]:53"]), "web.test.")).reason == "server-failure"


# Names


@pytest.mark.parametrize("name", ["a..b", "a..b.", "a" * 64, f"{'a' * 64}.", "b." * 130])
async def test_what_cannot_be_a_name_is_said_and_not_asked_for(name: str) -> None:
    async with Server(WEB) as server:
        error = await refused(Lookups([server.address]), name)
        assert (error.reason, error.ttl) == ("unusable", 0.0)
        assert "cannot be a name" in str(error)
        assert ".." not in str(error).replace(name.removesuffix("."), "")
        assert server.asked == []


async def test_the_case_of_a_name_makes_it_no_alias() -> None:
    async with Server(WEB) as server:
        assert "alias" not in str(await refused(Lookups([server.address]), "NONE.Test."))


# Silence


async def test_silence_over_tcp_is_a_timeout(tmp_path: Path) -> None:
    quick = conf(tmp_path, "options timeout:1 attempts:1\n")
    async with Server(WEB, {"web": "stall"}) as server:
        assert (await refused(Lookups([server.address], resolv_conf=quick), "web.test.")).reason == "timeout"
        assert [one.tcp for one in server.asked] == [False, True]


async def test_when_all_are_silent_each_is_asked_as_often_as_it_should(tmp_path: Path) -> None:
    twice = conf(tmp_path, "options timeout:1 attempts:2\n")
    async with Server("", {"web": "drop"}) as one, Server("", {"web": "drop"}) as other:
        error = await refused(Lookups([one.address, other.address], resolv_conf=twice), "web.test.")
        assert (error.reason, error.ttl) == ("timeout", 0.0)
        assert (len(one.asked), len(other.asked)) == (2, 2)


# What is left behind


async def test_a_lookup_that_is_cancelled_over_tcp_leaves_no_socket() -> None:
    async with Server(WEB, {"web": "stall"}) as server:
        lookups = Lookups([server.address])
        await refused(lookups, "none.test.")
        before = sockets()
        asking = asyncio.create_task(lookups.find("web.test.", "A"))
        await until(lambda: server.stalled == 1)
        assert sockets() == before + 2  # both ends
        asking.cancel()
        await asyncio.wait([asking])
        await until(lambda: server.stalled == 0)
        assert sockets() == before


@pytest.mark.parametrize(
    ("name", "kind", "does"),
    [("none", "A", None), ("web", "AAAA", None), ("web", "A", "SERVFAIL"), ("web", "A", "garbage")],
)
async def test_an_error_whose_traceback_is_dropped_leaves_no_cycle(
    name: str, kind: Kind, does: Behaviour | None, tmp_path: Path
) -> None:
    search = conf(tmp_path, "search test none.test\noptions ndots:5\n")
    async with Server(WEB, {"web": does} if does else {}) as server:
        lookups = Lookups([server.address], resolv_conf=search)

        async def ask() -> None:
            try:
                await lookups.find(name, kind)
            except ResolutionError as error:
                error.with_traceback(None)
            else:
                pytest.fail("it is found")

        await ask()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await ask()
            assert gc.collect() < 20
        finally:
            gc.enable()


# Time


async def test_a_long_answer_over_udp_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[int] = []

    def read(wire: bytes, query: Any) -> Any:
        readers.append(threading.get_ident())
        return before(wire, query)

    before = exchange._read
    monkeypatch.setattr(exchange, "_read", read)
    monkeypatch.setattr(exchange, "PAYLOAD", 60000)  # what this server takes as leave to send it all
    async with Server(LARGE) as server:
        assert len((await Lookups([server.address]).find("large.test.", "A")).addresses) == 1000
        assert [one.tcp for one in server.asked] == [False]
    assert threading.get_ident() not in readers


def test_dnspython_is_not_imported_before_the_first_lookup() -> None:
    code = (
        "import sys, discovery, discovery.client, discovery.resolvers.dns, discovery.dns.lookups as lookups;"
        "lookups.Lookups(['127.0.0.1:53']);"
        "print([name for name in sys.modules if name.partition('.')[0] == 'dns'])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
