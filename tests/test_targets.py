"""What a user asks for: every target reads back as what was printed, and what is wrong is quoted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import DiscoveryError, InvalidTarget
from discovery.targets import FAMILIES, Endpoints, Static, Target, parse

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
PORT_NAMES = LABELS.filter(lambda text: not text.isdigit())
PORTS = st.one_of(st.none(), st.integers(1, 65535), PORT_NAMES)
HOSTS = st.one_of(st.ip_addresses().map(str), st.lists(LABELS, min_size=1, max_size=4).map(".".join))
TARGETS = st.one_of(
    st.builds(
        Endpoints,
        LABELS,
        namespace=st.none() | LABELS,
        port=PORTS,
        hostname=st.none() | LABELS,
        family=st.sampled_from(FAMILIES),
    ),
    st.builds(Static, st.lists(st.tuples(HOSTS, st.integers(1, 65535)), min_size=1, max_size=4)),
)


@given(TARGETS)
def test_a_target_reads_back_as_what_was_printed(target: Target) -> None:
    assert parse(str(target)) == target


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_an_invalid_one(text: str) -> None:
    for bare in (False, True):
        said = ""
        try:
            target = parse(text, bare=bare)
        except InvalidTarget as error:
            said = str(error)
        else:
            assert parse(str(target)) == target
        assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("endpoints://default/web:http", Endpoints("web", namespace="default", port="http")),
        ("endpoints://default/web:8080", Endpoints("web", namespace="default", port=8080)),
        ("endpoints://default/web", Endpoints("web", namespace="default")),
        ("endpoints:///web:http", Endpoints("web", port="http")),
        ("endpoints://web:http", Endpoints("web", port="http")),
        ("endpoints://default/web:http?family=ipv6", Endpoints("web", namespace="default", port="http", family="ipv6")),
        ("endpoints://default/web?hostname=web-0", Endpoints("web", namespace="default", hostname="web-0")),
        ("static://10.0.0.1:80,[::1]:81,Web.Example:82", Static(["10.0.0.1:80", ("::1", 81), "web.example:82"])),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize("text", ["web", "web:http", "default/web:80", "/web"])
def test_on_the_command_line_the_scheme_may_be_left_out(text: str) -> None:
    assert parse(text, bare=True) == parse(f"endpoints://{text}")
    with pytest.raises(InvalidTarget, match="Did you mean endpoints://"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "part", "says"),
    [
        ("endpoint://default/web", "endpoint", "Did you mean endpoints://?"),
        ("gopher://default/web", "gopher", "One of endpoints, static"),
        ("endpoints://default/Web", "Web", "Write it in lower case"),
        ("endpoints://default/web_1", "web_1", "is not the name of a Service"),
        ("endpoints://de_fault/web", "de_fault", "is not the name of a namespace"),
        ("endpoints://default/", "default/", "names no Service"),
        ("endpoints://default/web:", "web:", "ends with a colon"),
        ("endpoints://default/web:0", "0", "not in 1 to 65535"),
        ("endpoints://default/web:99999", "99999", "not in 1 to 65535"),
        ("endpoints://default/web:HTTP", "HTTP", "Write :80 or :http"),
        ("endpoints://default/web?famly=ipv4", "famly", "It has family, hostname"),
        ("endpoints://default/web?family=ipv5", "ipv5", "One of prefer-ipv4"),
        ("endpoints://default/web?family=ipv4&family=ipv6", "family=ipv4&family=ipv6", "say one thing twice"),
        ("endpoints://default/web?family", "family", "Write ?key=value"),
        ("static://", "", "needs at least one"),
        ("static://10.0.0.1", "10.0.0.1", "has no port number"),
        ("static://10.0.0.1:http", "10.0.0.1:http", "has no port number"),
        ("static://::1:80", "::1", ""),
        ("static://web!:80", "web!", "neither an address nor a host name"),
        ("static://10.0.0.1:80?x=1", "x", "It has none"),
    ],
)
def test_what_is_wrong_is_quoted_and_what_was_meant_is_said(text: str, part: str, says: str) -> None:
    if text == "static://::1:80":  # a bare IPv6 address reads as one: the last colon begins the port
        assert parse(text) == Static([("::1", 80)])
        return
    with pytest.raises(InvalidTarget) as caught:
        parse(text)
    assert caught.value.part == part
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endpoints("web", port=True),
        lambda: Endpoints("web", port=0),
        lambda: Endpoints("web", port=1.5),  # type: ignore[arg-type]
        lambda: Endpoints(5),  # type: ignore[arg-type]
        lambda: Endpoints("web", namespace=""),
        lambda: Endpoints("web", family="both"),  # type: ignore[arg-type]
        lambda: Static("10.0.0.1:80"),
        lambda: Static([]),
        lambda: Static([(1, 2)]),  # type: ignore[list-item]
        lambda: Static([("a",)]),  # type: ignore[list-item]
        lambda: Static([("a", "b")]),  # type: ignore[list-item]
        lambda: Static([None]),  # type: ignore[list-item]
        lambda: parse(b"endpoints://web"),  # type: ignore[arg-type]
        lambda: parse("endpoints://" + "x" * 3000),
    ],
    ids=map(str, range(14)),
)
def test_a_typed_target_is_checked_as_its_text_is(make: Any) -> None:
    with pytest.raises(InvalidTarget):
        make()


def test_what_cannot_be_a_target_is_both_ours_and_a_value_error() -> None:
    assert issubclass(InvalidTarget, DiscoveryError)
    assert issubclass(InvalidTarget, ValueError)


def test_control_characters_reach_no_terminal() -> None:
    with pytest.raises(InvalidTarget) as caught:
        parse("endpoints://default/\x1b[31mweb")
    assert "\x1b" not in str(caught.value)
