"""What a user asks for: every target reads back as what was printed, and what is wrong is quoted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import DiscoveryError, InvalidTarget
from discovery.targets import (
    ADDRESS_TYPES,
    FAMILIES,
    ClusterIP,
    Dns,
    Endpoints,
    LoadBalancer,
    NodePort,
    Pods,
    Static,
    Target,
    parse,
)

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
PORT_NAMES = LABELS.filter(lambda text: not text.isdigit())
PORTS = st.one_of(st.none(), st.integers(1, 65535), PORT_NAMES)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda text: not text.replace(".", "").isdigit())
HOSTS = st.one_of(st.ip_addresses().map(str), NAMES)
FAMILY = st.sampled_from(FAMILIES)
OF_SERVICE: dict[str, Any] = {"namespace": st.none() | LABELS, "port": PORTS, "family": FAMILY}
SERVERS = st.none() | st.builds(
    lambda address, port: f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}",
    st.ip_addresses(),
    st.integers(1, 65535),
)
KEYS = st.one_of(LABELS, st.builds("{}/{}".format, NAMES, LABELS))
VALUES = st.just("") | st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
REQUIREMENTS = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["", "!"]), KEYS),
    st.builds("{}{}{}".format, KEYS, st.sampled_from(["=", "==", "!="]), VALUES),
    st.builds(
        "{} {} ({})".format,
        KEYS,
        st.sampled_from(["in", "notin"]),
        st.lists(VALUES, min_size=1, max_size=3).map(",".join),
    ),
    st.builds("{}{}{}".format, KEYS, st.sampled_from("<>"), st.integers(0, 5)),
)
SELECTORS = st.lists(REQUIREMENTS, min_size=1, max_size=3).map(",".join)
TARGETS = st.one_of(
    st.builds(Endpoints, LABELS, hostname=st.none() | LABELS, **OF_SERVICE),
    st.builds(ClusterIP, LABELS, **OF_SERVICE),
    st.builds(LoadBalancer, LABELS, **OF_SERVICE),
    st.builds(
        NodePort,
        LABELS,
        address_types=st.lists(st.sampled_from(ADDRESS_TYPES), min_size=1, unique=True),
        cordoned=st.booleans(),
        **OF_SERVICE,
    ),
    st.builds(Pods, SELECTORS, **OF_SERVICE),
    st.builds(Dns, HOSTS, port=st.integers(1, 65535), family=FAMILY, server=SERVERS),
    st.builds(Dns, NAMES, srv=st.just(True), family=FAMILY, server=SERVERS),
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
        ("pods://default/app=web:http", Pods("app=web", namespace="default", port="http")),
        ("pods://app=web", Pods("app=web")),
        ("pods:///app.kubernetes.io/name=web:8080", Pods("app.kubernetes.io/name=web", port=8080)),
        ("pods://x/tier in (b, a),!old:80", Pods("!old,tier in (a,b)", namespace="x", port=80)),
        ("dns://Web.Example:80", Dns("web.example", port=80)),
        ("dns://[::1]:80", Dns("::1", port=80)),
        ("dns://web:80?server=127.0.0.1:1053", Dns("web", port=80, server="127.0.0.1:1053")),
        ("dns://web:80?server=%5B::1%5D", Dns("web", port=80, server="::1")),
        ("dns+srv://_http._tcp.web.example.", Dns("_http._tcp.web.example.", srv=True)),
        ("cluster-ip://default/web:http", ClusterIP("web", namespace="default", port="http")),
        ("load-balancer:///web", LoadBalancer("web")),
        ("node-port://default/web:80", NodePort("web", namespace="default", port=80)),
        (
            "node-port://default/web?address-types=InternalIP,Hostname&cordoned=no",
            NodePort("web", namespace="default", address_types=("InternalIP", "Hostname"), cordoned=False),
        ),
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
        ("gopher://default/web", "gopher", "One of endpoints, pods, dns"),
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
        ("static://10.0.0.256:80", "10.0.0.256", "neither an address nor a host name"),
        ("pods://default/", "", "every pod of the namespace"),
        ("pods://app.kubernetes.io/name=web", "app.kubernetes.io", "pods:///app.kubernetes.io/name=web"),
        ("pods://default/app=web:HTTP", "HTTP", "Write :80 or :http"),
        ("pods://default/app in web", "web", "a list is wanted"),
        ("pods://default/app in (web", "", "the list is to end with )"),
        ("pods://default/app=web=x", "=", "a comma is wanted"),
        ("pods://default/a pp", "pp", "an operator is wanted"),
        ("pods://default/-app", "-app", "a label's key is wanted"),
        ("dns://web", "web", "needs a port number"),
        ("dns://web:http", "http", "dns+srv://_http._tcp.web"),
        ("dns+srv://web:80", "80", "say the port themselves"),
        ("dns+srv://10.0.0.1", "10.0.0.1", "has no SRV records"),
        ("dns://web..x:80", "web..x", "neither an address nor a host name"),
        (f"dns://{'x' * 64}:80", "x" * 64, "neither an address nor a host name"),
        ("dns://web:80?server=dns.example", "dns.example", "is no DNS server"),
        ("dns://web:80?server=10.0.0.1:0", "0", "not in 1 to 65535"),
        ("node-port://default/web?address-types=Internal", "Internal", "Some of ExternalIP"),
        ("node-port://default/web?address-types=", "", "is no kind of address"),
        ("node-port://default/web?cordoned=maybe", "maybe", "neither True nor False"),
        ("cluster-ip://default/web?hostname=x", "hostname", "It has family"),
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
        lambda: Endpoints(None),  # type: ignore[arg-type]
        lambda: NodePort("web", address_types="ExternalIP"),
        lambda: NodePort("web", cordoned="no"),  # type: ignore[arg-type]
        lambda: Pods(5),
        lambda: Dns("web"),
        lambda: Dns(5, port=80),
        lambda: Dns("web", port=80, server=5),  # type: ignore[arg-type]
        lambda: Dns("web", srv="yes"),  # type: ignore[arg-type]
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
    ids=map(str, range(22)),
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
