"""Lookups against a real server on loopback that is good or bad by name: what is found, what is told, what is asked."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from discovery.dns import exchange
from discovery.dns.answers import Answer, Kind, Srv
from discovery.dns.lookups import Lookups
from discovery.errors import InvalidTarget, ResolutionError

from ..until import until
from .server import NEGATIVE_TTL, Asked, Behaviour, Server, unused

ZONE = """\
web.test. 30 IN A 10.0.0.2
web.test. 30 IN A 10.0.0.1
web.test. 30 IN A 10.0.0.1
web.test. 30 IN AAAA FD00:0:0::1
four.test. 30 IN A 10.0.0.4
six.test. 30 IN AAAA fd00::6
far.test. 30 IN CNAME middle.test.
middle.test. 9 IN CNAME near.test.
near.test. 20 IN A 10.0.0.9
other.test. 5 IN CNAME far.test.
nowhere.test. 30 IN CNAME gone.test.
loop.test. 30 IN CNAME pool.test.
pool.test. 30 IN CNAME loop.test.
deep.below.test. 30 IN A 10.0.0.5
"""
MANY = "".join(f"many.test. 30 IN A 10.1.{number // 250}.{number % 250}\n" for number in range(1000))


async def found(server: Server, name: str = "web.test.", kind: Kind = "A", **more: Any) -> Answer:
    return await Lookups([server.address], **more).find(name, kind)


async def refused(server: Server, name: str = "web.test.", kind: Kind = "A", **more: Any) -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        await found(server, name, kind, **more)
    return caught.value


def conf(folder: Path, text: str) -> Path:
    path = folder / "resolv.conf"
    path.write_text(text)
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A resolv.conf that waits as short as it can."""
    return conf(tmp_path, "options timeout:1 attempts:1\n")


# What is found


async def test_addresses_come_once_each_in_their_one_spelling_and_sorted() -> None:
    async with Server(ZONE) as server:
        assert await found(server) == Answer(addresses=("10.0.0.1", "10.0.0.2"), ttl=30.0)
        assert await found(server, kind="AAAA") == Answer(addresses=("fd00::1",), ttl=30.0)


async def test_a_question_goes_over_udp_with_edns_of_1232_bytes_and_is_asked_once() -> None:
    async with Server(ZONE) as server:
        await found(server)
        assert server.asked == [Asked("web.test.", "A", tcp=False, payload=1232)]


async def test_upper_and_lower_case_are_the_same() -> None:
    async with Server(ZONE.upper().replace("FD00", "fd00")) as server:
        assert (await found(server)).addresses == ("10.0.0.1", "10.0.0.2")
        assert (await found(server, "WEB.Test.")).addresses == ("10.0.0.1", "10.0.0.2")


async def test_aliases_are_followed_and_the_shortest_ttl_of_the_chain_holds() -> None:
    async with Server(ZONE) as server:
        assert await found(server, "far.test.") == Answer(addresses=("10.0.0.9",), ttl=9.0)
        assert server.names == ["far.test"]


async def test_an_alias_whose_end_is_not_told_is_asked_for() -> None:
    async with Server(ZONE, {"far": "no-chain", "middle": "no-chain"}) as server:
        assert await found(server, "far.test.") == Answer(addresses=("10.0.0.9",), ttl=9.0)
        assert server.names == ["far.test", "middle.test", "near.test"]


async def test_the_first_alias_may_be_the_one_that_holds_shortest() -> None:
    async with Server(ZONE, {"other": "no-chain", "far": "no-chain"}) as server:
        assert (await found(server, "other.test.")).ttl == 5.0


async def test_an_alias_of_a_name_of_the_other_family_has_no_data() -> None:
    async with Server(ZONE) as server:
        assert (await refused(server, "far.test.", "AAAA")).reason == "no-data"
        assert server.names == ["far.test"]


@pytest.mark.parametrize("does", [None, "no-chain"])
async def test_a_loop_of_aliases_ends_and_is_unusable(does: Behaviour | None) -> None:
    async with Server(ZONE, {"loop": does, "pool": does} if does else {}) as server:
        error = await refused(server, "loop.test.")
        assert error.reason == "unusable"
        assert "loop" in str(error)
        assert len(server.asked) <= 16


async def test_srv_records_come_with_the_addresses_told_along() -> None:
    records = """\
    _http._tcp.web.test. 30 IN SRV 0 16 80 B.test.
    _http._tcp.web.test. 30 IN SRV 0 16 80 a.test.
    _http._tcp.web.test. 30 IN SRV 5 0 81 .
    a.test. 30 IN A 10.0.0.1
    a.test. 30 IN AAAA fd00::1
    b.test. 8 IN A 10.0.0.2
    """
    async with Server(records) as server:
        assert await found(server, "_http._tcp.web.test.", "SRV") == Answer(
            services=(Srv(0, 16, 80, "a.test"), Srv(0, 16, 80, "b.test"), Srv(5, 0, 81, "")),
            additional={"a.test": ("10.0.0.1", "fd00::1"), "b.test": ("10.0.0.2",)},
            ttl=8.0,
        )


# What is not there


async def test_no_such_name_and_no_such_records_are_told_apart_each_with_its_ttl() -> None:
    async with Server(ZONE) as server:
        nothing, empty = await refused(server, "nothing.test."), await refused(server, "four.test.", "AAAA")
        assert (nothing.reason, nothing.ttl) == ("no-such-name", NEGATIVE_TTL)
        assert (empty.reason, empty.ttl) == ("no-data", NEGATIVE_TTL)
        assert "nothing.test" in str(nothing)
        assert "four.test" in str(empty)
        assert "AAAA" in str(empty)
        assert len(server.asked) == 2


async def test_a_name_that_only_has_others_below_it_has_no_data() -> None:
    async with Server(ZONE) as server:
        assert (await refused(server, "below.test.")).reason == "no-data"


async def test_an_alias_of_nothing_is_no_such_name_and_says_what_it_led_to() -> None:
    async with Server(ZONE) as server:
        error = await refused(server, "nowhere.test.")
        assert (error.reason, error.ttl) == ("no-such-name", NEGATIVE_TTL)
        assert "nowhere.test" in str(error)
        assert "gone.test" in str(error)


async def test_a_negative_answer_that_does_not_say_for_how_long_has_no_ttl() -> None:
    async with Server(ZONE, {"four": "no-soa", "nothing": "no-soa"}) as server:
        assert (await refused(server, "four.test.", "AAAA")).ttl == 0.0
        error = await refused(server, "nothing.test.")
        assert (error.reason, error.ttl) == ("no-such-name", 0.0)


# Servers that fail


@pytest.mark.parametrize(
    ("does", "reason", "says"),
    [
        ("SERVFAIL", "server-failure", "SERVFAIL"),
        ("REFUSED", "server-failure", "REFUSED"),
        ("NOTIMP", "server-failure", "NOTIMP"),
        ("refer", "server-failure", "lame"),
        ("truncate-always", "unusable", "cut"),
        ("garbage", "unusable", "cannot be read"),
        ("drop", "timeout", "1 s"),
    ],
)
async def test_a_server_that_fails_is_told_by_how_and_the_next_one_is_asked(
    does: Behaviour, reason: str, says: str, quick: Path
) -> None:
    async with Server(ZONE, {"web": does}) as bad, Server(ZONE) as good:
        error = await refused(bad, resolv_conf=quick)
        assert (error.reason, error.ttl) == (reason, 0.0)
        assert "web.test" in str(error)
        assert says in str(error)
        lookups = Lookups([bad.address, good.address], resolv_conf=quick)
        assert (await lookups.find("web.test.", "A")).addresses == ("10.0.0.1", "10.0.0.2")


async def test_a_server_that_is_not_there_is_known_at_once_and_the_next_one_is_asked() -> None:
    gone = unused()
    began = time.monotonic()
    with pytest.raises(ResolutionError, match=gone) as caught:
        await Lookups([gone]).find("web.test.", "A")
    assert caught.value.reason == "server-failure"
    async with Server(ZONE) as good:
        assert (await Lookups([gone, good.address]).find("web.test.", "A")).addresses
    assert time.monotonic() - began < 2.5  # half of what one timeout would be


async def test_the_word_of_the_first_server_counts_when_it_is_that_there_is_nothing() -> None:
    async with Server() as first, Server(ZONE) as second:
        with pytest.raises(ResolutionError) as caught:
            await Lookups([first.address, second.address]).find("web.test.", "A")
        assert caught.value.reason == "no-such-name"
        assert second.asked == []


async def test_a_silent_server_is_asked_as_often_as_resolv_conf_has_it_and_a_failing_one_once(tmp_path: Path) -> None:
    twice = conf(tmp_path, "options timeout:1 attempts:2\n")
    async with Server("", {"web": "drop"}) as silent, Server("", {"web": "SERVFAIL"}) as failing:
        with pytest.raises(ResolutionError):
            await Lookups([silent.address, failing.address], resolv_conf=twice).find("web.test.", "A")
        assert (len(silent.asked), len(failing.asked)) == (2, 1)


async def test_a_server_that_was_silent_is_asked_last_for_a_while(quick: Path) -> None:
    async with Server(ZONE, {"web": "drop"}) as silent, Server(ZONE) as good:
        lookups = Lookups([silent.address, good.address], resolv_conf=quick)
        for _ in range(3):
            await lookups.find("web.test.", "A")
        assert (len(silent.asked), len(good.asked)) == (1, 3)


async def test_a_server_that_answers_again_is_asked_in_its_turn_again(quick: Path) -> None:
    async with Server(ZONE, {"web": "drop"}) as first, Server(ZONE, {"four": "SERVFAIL"}) as second:
        lookups = Lookups([first.address, second.address], resolv_conf=quick)
        for name in ("web.test.", "four.test.", "far.test."):
            await lookups.find(name, "A")
        assert first.names == ["web.test", "four.test", "far.test"]
        assert second.names == ["web.test", "four.test"]


async def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    async with Server(ZONE, {"web": "no-edns"}) as server:
        assert (await found(server)).addresses
        assert [one.payload for one in server.asked] == [1232, None]


@pytest.mark.parametrize("does", ["forge", "echo"])
async def test_what_is_not_the_answer_to_the_question_is_not_taken_for_it(does: Behaviour) -> None:
    async with Server(ZONE, {"web": does}) as server:
        assert (await found(server)).addresses == ("10.0.0.1", "10.0.0.2")


async def test_one_server_may_be_asked_alone() -> None:
    async with Server() as usual, Server(ZONE) as other:
        assert (await Lookups([usual.address]).find("web.test.", "A", other.address)).addresses
        assert usual.asked == []


# Over TCP


@pytest.mark.parametrize("does", ["truncate", "cut"])
async def test_an_answer_that_was_cut_is_fetched_over_tcp(does: Behaviour) -> None:
    async with Server(ZONE, {"web": does}) as server:
        assert (await found(server)).addresses == ("10.0.0.1", "10.0.0.2")
        assert [one.tcp for one in server.asked] == [False, True]


async def test_a_thousand_records_are_taken() -> None:
    async with Server(MANY) as server:
        assert len((await found(server, "many.test.")).addresses) == 1000


async def test_a_connection_that_ends_before_the_answer_is_a_failure_of_the_server() -> None:
    async with Server(MANY, {"many": "hang-up"}) as bad, Server(MANY) as good:
        error = await refused(bad, "many.test.")
        assert error.reason == "server-failure"
        assert (await Lookups([bad.address, good.address]).find("many.test.", "A")).addresses


# The search list


async def test_a_relative_name_is_tried_down_the_search_list_until_one_has_records(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test c.test\noptions ndots:5\n")
    async with Server("web.b.test. 30 IN A 10.0.0.1\nweb.c.test. 30 IN A 10.0.0.2") as server:
        assert (await found(server, "web", resolv_conf=path)).addresses == ("10.0.0.1",)
        assert server.names == ["web.a.test", "web.b.test"]


async def test_an_absolute_name_is_asked_once(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    async with Server() as server:
        assert (await refused(server, "web.", resolv_conf=path)).reason == "no-such-name"
        assert server.names == ["web"]


async def test_a_server_that_fails_ends_the_search_because_a_later_name_is_another_one(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    async with Server("web.b.test. 30 IN A 10.0.0.1", {"web.a": "SERVFAIL"}) as server:
        assert (await refused(server, "web", resolv_conf=path)).reason == "server-failure"
        assert server.names == ["web.a.test"]


async def test_a_name_of_the_list_that_is_there_without_records_is_remembered(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    async with Server("below.web.a.test. 30 IN A 10.0.0.1") as server:
        error = await refused(server, "web", resolv_conf=path)
        assert (error.reason, error.ttl) == ("no-data", 0.0)  # the last one does not say for how long
        assert "web.a.test" in str(error)
        assert list(dict.fromkeys(server.names)) == ["web.a.test", "web.b.test", "web"]


async def test_it_is_remembered_wherever_in_the_list_it_is(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    async with Server("below.web.b.test. 30 IN A 10.0.0.1") as server:
        error = await refused(server, "web", resolv_conf=path)
        assert error.reason == "no-data"
        assert "web.b.test" in str(error)


async def test_a_name_that_only_has_others_below_it_does_not_hide_one_further_down(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    async with Server("below.web.a.test. 30 IN A 10.0.0.1\nweb.b.test. 30 IN A 10.0.0.2") as server:
        assert (await found(server, "web", resolv_conf=path)).addresses == ("10.0.0.2",)


async def test_both_families_are_of_the_same_name_of_the_list(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    async with Server("web.a.test. 30 IN A 10.0.0.1\nweb.b.test. 30 IN AAAA fd00::2") as server:
        assert (await found(server, "web", resolv_conf=path)).addresses == ("10.0.0.1",)
        assert (await refused(server, "web", "AAAA", resolv_conf=path)).reason == "no-data"


async def test_while_it_is_not_known_whether_a_name_is_the_one_that_is_meant_no_other_is_tried(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test b.test\noptions ndots:5\n")
    zone = "web.a.test. 30 IN A 10.0.0.1\nweb.b.test. 30 IN AAAA fd00::2"
    async with Server(zone, {"A web.a": "SERVFAIL"}) as server:
        assert (await refused(server, "web", "AAAA", resolv_conf=path)).reason == "server-failure"
        assert set(server.names) == {"web.a.test"}


# The file


async def test_without_servers_given_those_of_the_file_are_asked(tmp_path: Path) -> None:
    path = conf(tmp_path, "nameserver 127.254.7.53\n")
    with pytest.raises(ResolutionError, match=r"127\.254\.7\.53:53"):
        await Lookups(resolv_conf=path).find("nothing.test.", "A")


async def test_a_file_that_is_not_there_is_as_an_empty_one(tmp_path: Path) -> None:
    async with Server(ZONE) as server:
        assert (await found(server, resolv_conf=tmp_path / "none")).addresses


async def test_a_file_that_changes_is_read_again_and_one_that_vanishes_holds_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discovery.dns.lookups.REREAD", 0.0)
    path = conf(tmp_path, "search a.test\n")
    async with Server("web.a.test. 30 IN A 10.0.0.1\nweb.bb.test. 30 IN A 10.0.0.2") as server:
        lookups = Lookups([server.address], resolv_conf=path)
        assert (await lookups.find("web", "A")).addresses == ("10.0.0.1",)
        conf(tmp_path, "search bb.test\n")
        assert (await lookups.find("web", "A")).addresses == ("10.0.0.2",)
        path.unlink()
        assert (await lookups.find("web", "A")).addresses == ("10.0.0.2",)


async def test_it_is_not_looked_at_with_every_lookup(tmp_path: Path) -> None:
    path = conf(tmp_path, "search a.test\n")
    async with Server("web.a.test. 30 IN A 10.0.0.1\nweb.bb.test. 30 IN A 10.0.0.2") as server:
        lookups = Lookups([server.address], resolv_conf=path)
        await lookups.find("web", "A")
        conf(tmp_path, "search bb.test\n")
        assert (await lookups.find("web", "A")).addresses == ("10.0.0.1",)


def test_making_one_reads_nothing_and_needs_no_loop(tmp_path: Path) -> None:
    Lookups(resolv_conf=tmp_path / "none")


@pytest.mark.parametrize("server", ["localhost", "10.0.0.256", "10.0.0.10:0", "10.0.0.10:dns", ""])
def test_a_server_that_is_no_address_is_said_where_it_is_written(server: str) -> None:
    with pytest.raises(InvalidTarget):
        Lookups([server])


async def test_once_closed_nothing_is_looked_up() -> None:
    async with Server(ZONE) as server:
        lookups = Lookups([server.address])
        await lookups.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await lookups.find("web.test.", "A")
        assert server.asked == []


# Many at once


def sockets() -> int:
    """Descriptors of this process that are sockets."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).startswith("socket:") for link in links)


async def test_at_most_64_questions_are_under_way_and_a_cancelled_one_leaves_no_socket() -> None:
    async with Server("", {f"n{number}": "drop" for number in range(200)}) as server:
        lookups = Lookups([server.address])
        with pytest.raises(ResolutionError):
            await lookups.find("nothing.test.", "A")
        before = sockets()
        asking = [asyncio.create_task(lookups.find(f"n{number}.test.", "A")) for number in range(200)]
        await until(lambda: len(server.asked) > 64)
        await asyncio.sleep(0)
        assert len(server.asked) == 1 + 64
        assert sockets() == before + 64
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert sockets() == before


async def test_after_cancelled_ones_others_get_their_turn() -> None:
    async with Server(ZONE, {f"n{number}": "drop" for number in range(64)}) as server:
        lookups = Lookups([server.address])
        asking = [asyncio.create_task(lookups.find(f"n{number}.test.", "A")) for number in range(64)]
        await until(lambda: len(server.asked) == 64)
        waiting = asyncio.create_task(lookups.find("web.test.", "A"))
        asking[0].cancel()
        assert (await waiting).addresses
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)


async def test_a_long_answer_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[int] = []

    def read(wire: bytes, query: Any) -> Any:
        readers.append(threading.get_ident())
        return before(wire, query)

    before = exchange._read
    monkeypatch.setattr(exchange, "_read", read)
    async with Server(MANY) as server:
        await found(server, "many.test.")
    assert [one == threading.get_ident() for one in readers] == [True, False]
