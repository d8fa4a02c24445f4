"""Whatever bytes come, they are an answer, a reason why there is none, or passed over."""

import ipaddress
import random

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.dns import exchange, reading
from discovery.dns.answers import Answer, Kind, Srv
from discovery.errors import ResolutionError

from .server import Server

RECORDS = """\
web.test. 30 IN A 10.0.0.1
web.test. 30 IN A 10.0.0.2
web.test. 30 IN AAAA fd00::1
web.test. 30 IN SRV 0 1 80 web.test.
far.test. 30 IN CNAME web.test.
"""
KINDS: tuple[Kind, ...] = ("A", "AAAA", "SRV")
PLACE = ("127.0.0.1", 53)


def answered(name: str, kind: Kind) -> tuple[dns.message.Message, bytes]:
    query = dns.message.make_query(f"{name}.", kind, use_edns=0, payload=exchange.PAYLOAD, id=4711)
    (wire,) = Server(RECORDS).replies(query.to_wire(), tcp=False)
    return query, wire


NAMES = st.sampled_from(["web.test", "far.test", "none.test"])


def sent(message: dns.message.Message) -> dns.message.Message:
    """As it is after its way over the network."""
    return dns.message.from_wire(message.to_wire())


@given(NAMES, st.sampled_from(KINDS), st.randoms(use_true_random=False))
def test_a_message_with_wrong_bytes_is_read_or_refused_and_nothing_else(
    name: str, kind: Kind, rng: random.Random
) -> None:
    query, wire = answered(name, kind)
    wrong = bytearray(wire)
    for _ in range(rng.randint(1, 4)):
        wrong[rng.randrange(len(wrong))] = rng.randrange(256)
    check(query, bytes(wrong[: rng.choice([len(wrong), rng.randrange(len(wrong))])]), name, kind)


@given(st.binary(max_size=80), st.sampled_from(KINDS))
def test_any_bytes_behind_the_right_id_are_read_or_refused(noise: bytes, kind: Kind) -> None:
    query, wire = answered("web.test", kind)
    check(query, wire[:2] + noise, "web.test", kind)
    check(query, wire[:12] + noise, "web.test", kind)


def check(query: dns.message.Message, wire: bytes, name: str, kind: Kind) -> None:
    """What comes of it has sound figures and texts."""
    outcome = come_to(query, wire, name, kind)
    if isinstance(outcome, ResolutionError):
        assert outcome.reason in ("no-such-name", "no-data", "server-failure", "unusable")
        assert str(outcome).isprintable()
    if isinstance(outcome, Answer):
        assert all(str(ipaddress.ip_address(one)) == one for one in outcome.addresses)
        assert list(outcome.addresses) == sorted(set(outcome.addresses))
        assert list(outcome.services) == sorted(set(outcome.services))
    if isinstance(outcome, Answer | ResolutionError | reading.Elsewhere):
        assert outcome.ttl >= 0


def come_to(query: dns.message.Message, wire: bytes, name: str, kind: Kind) -> Answer | Exception | None:
    try:
        message = exchange._read(wire, query)
        return reading.read(message, name, kind, PLACE) if message is not None else None
    except (exchange.Unreadable, reading.Elsewhere, ResolutionError) as error:
        return error


def test_what_a_name_is_an_alias_for_is_quoted() -> None:
    query = dns.message.make_query("web.test.", "A")
    answer = dns.message.make_response(query)
    answer.set_rcode(dns.rcode.NXDOMAIN)
    answer.answer.append(dns.rrset.from_text("web.test.", 30, "IN", "CNAME", r"\027[31m\010red.test."))
    with pytest.raises(ResolutionError) as caught:
        reading.read(sent(answer), "web.test", "A", PLACE)
    assert str(caught.value).isprintable()
    assert "red.test" in str(caught.value)


def test_records_of_another_class_are_no_addresses() -> None:
    query = dns.message.make_query("web.test.", "SRV")
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text("web.test.", 30, "IN", "SRV", "0 1 80 a.test."))
    answer.additional.append(dns.rrset.from_text("a.test.", 30, "HS", "A", r"\# 4 0a000001"))
    read = reading.read(sent(answer), "web.test", "SRV", PLACE)
    assert (read.services, read.additional) == ((Srv(0, 1, 80, "a.test"),), {})


def test_addresses_of_hosts_that_no_record_names_are_not_taken() -> None:
    query = dns.message.make_query("web.test.", "SRV")
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text("web.test.", 30, "IN", "SRV", "0 1 80 a.test."))
    answer.additional.append(dns.rrset.from_text("b.test.", 1, "IN", "A", "10.0.0.1"))
    read = reading.read(sent(answer), "web.test", "SRV", PLACE)
    assert (read.additional, read.ttl) == ({}, 30.0)


def test_a_name_that_is_said_not_to_be_there_and_has_records_is_unusable() -> None:
    answer = dns.message.make_response(dns.message.make_query("web.test.", "A"))
    answer.set_rcode(dns.rcode.NXDOMAIN)
    answer.answer.append(dns.rrset.from_text("web.test.", 30, "IN", "A", "10.0.0.1"))
    with pytest.raises(ResolutionError) as caught:
        reading.read(sent(answer), "web.test", "A", PLACE)
    assert caught.value.reason == "unusable"


def test_the_zone_of_another_name_says_nothing_of_how_long_one_is_not_there() -> None:
    answer = dns.message.make_response(dns.message.make_query("web.test.", "A"))
    answer.authority.append(dns.rrset.from_text("other.", 60, "IN", "SOA", "ns.other. admin.other. 1 2 3 4 5"))
    with pytest.raises(ResolutionError) as caught:
        reading.read(sent(answer), "web.test", "A", PLACE)
    assert (caught.value.reason, caught.value.ttl) == ("no-data", 0.0)
