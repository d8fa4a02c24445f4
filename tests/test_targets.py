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
    Consul,
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
PLACES = st.none() | st.from_regex(r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9_])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["C", "Zs", "Zl", "Zp"]) | st.just(" "), max_size=12)
CONSUL: dict[str, Any] = {
    "datacenter": PLACES,
    "near": st.none() | st.sampled_from(["_agent", "_ip"]) | PLACES,
    "warning": st.booleans(),
    "namespace": PLACES,
    "partition": PLACES,
}
CONSUL_NAMES = PLACES.filter(bool)
TARGETS = st.one_of(
    st.builds(
        Consul,
        CONSUL_NAMES,
        tags=st.lists(TEXTS.filter(bool), max_size=3),
        node_meta=st.dictionaries(st.from_regex(r"[-A-Za-z0-9_]{1,8}", fullmatch=True), TEXTS, max_size=3),
        stale=st.none() | st.floats(0, 1e9, exclude_min=True),
        **CONSUL,
    ),
    st.builds(Consul, CONSUL_NAMES, prepared=st.just(True), **CONSUL),
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
        ("consul://web", Consul("web")),
        ("consul://Web_1.api?tag=b,a,b", Consul("Web_1.api", tags=["a", "b"])),
        (r"consul://web?tag=Host(a\,b),c%5C%5Cd", Consul("web", tags=["Host(a,b)", r"c\d"])),
        (r"consul://web?tag=a%5C", Consul("web", tags=["a\\"])),
        (
            "consul://web?dc=dc2&near=_agent&node-meta=rack=7,zone=&stale=2.5&warning=yes&ns=team&partition=default",
            Consul(
                "web",
                datacenter="dc2",
                near="_agent",
                node_meta={"zone": "", "rack": "7"},
                stale=2.5,
                warning=True,
                namespace="team",
                partition="default",
            ),
        ),
        ("consul://geo-db?prepared=yes&warning=no", Consul("geo-db", prepared=True)),
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
        ("consul://", "", "is not the name of a Consul service"),
        ("consul://..", "..", "is not the name of a Consul service"),
        ("consul://we b", "we b", "is not the name of a Consul service"),
        (f"consul://{'x' * 256}", "x" * 256, "at most 255"),
        ("consul://web:80", "web:80", "Write consul://web: Consul tells the port"),
        ("consul://team/web", "team/web", "consul://web?ns=team"),
        ("consul://../kv/secret", "../kv/secret", "is not the name of a Consul service"),
        ("consul://web%2f..%2fkv", "web%2f..%2fkv", "is not the name of a Consul service"),
        ("consul://web?tags=a", "tags", "It has dc, near, node-meta, ns, partition, prepared, stale, tag, warning"),
        ("consul://web?tag=", "", "is no tag"),
        ("consul://web?tag=a,,b", "", "is no tag"),
        ("consul://web?dc=a/b", "a/b", "is not the name of a datacenter"),
        ("consul://web?near=", "", "is not the name of a node"),
        ("consul://web?ns=*", "*", "is not the name of a namespace"),
        ("consul://web?node-meta=rack", "rack", "Write rack=VALUE"),
        ("consul://web?node-meta=r%20k=7", "r k", "is no key of metadata"),
        ("consul://web?node-meta=a=1,a=2", "a", "two values"),
        ("consul://web?stale=0", "0.0", "above 0"),
        ("consul://web?stale=nan", "nan", "above 0"),
        ("consul://web?stale=soon", "soon", "above 0"),
        ("consul://web?warning=maybe", "maybe", "neither True nor False"),
        ("consul://web?prepared=yes&tag=a", "tags", "takes no tags"),
        ("consul://web?prepared=yes&node-meta=a=1", "node_meta", "takes no node_meta"),
        ("consul://web?prepared=yes&stale=5", "stale", "takes no stale"),
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
        lambda: Consul(5),
        lambda: Consul("web", tags="a"),
        lambda: Consul("web", tags=[5]),
        lambda: Consul("web", tags=["x" * 256]),
        lambda: Consul("web", tags=["a\n"]),
        lambda: Consul("web", node_meta="a=1"),
        lambda: Consul("web", node_meta=5),
        lambda: Consul("web", node_meta={"a": 5}),
        lambda: Consul("web", node_meta={"a": "x" * 513}),
        lambda: Consul("web", stale=True),
        lambda: Consul("web", warning="yes"),  # type: ignore[arg-type]
        lambda: Consul("web", datacenter=5),  # type: ignore[arg-type]
        lambda: parse(b"endpoints://web"),  # type: ignore[arg-type]
        lambda: parse("endpoints://" + "x" * 3000),
    ],
    ids=map(str, range(34)),
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
