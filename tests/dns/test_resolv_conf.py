"""What a resolv.conf says, as resolv.conf(5) and a kubelet mean it."""

import ipaddress
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.dns.resolv_conf import ResolvConf, read

KUBELET = """\
search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""


def test_a_pods_file_is_read() -> None:
    assert read(KUBELET) == ResolvConf(
        servers=(("10.96.0.10", 53),),
        search=("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"),
        ndots=5,
    )


def test_an_empty_file_means_a_server_on_this_host() -> None:
    assert read("") == ResolvConf(servers=(("127.0.0.1", 53),), search=(), ndots=1, timeout=5, attempts=2)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nameserver FD00::000A", {"servers": (("fd00::a", 53),)}),
        ("nameserver fe80::1%eth0", {"servers": (("fe80::1%eth0", 53),)}),
        ("nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4",
         {"servers": (("1.1.1.1", 53), ("2.2.2.2", 53), ("3.3.3.3", 53))}),
        ("  nameserver\t1.1.1.1  # behind it", {"servers": (("1.1.1.1", 53),)}),
        ("search A.example. b.example", {"search": ("a.example", "b.example")}),
        ("search a.example\nsearch b.example", {"search": ("b.example",)}),
        ("search a.example\ndomain b.example c.example", {"search": ("b.example",)}),
        ("search .", {}),
        ("options ndots:0", {"ndots": 0}),
        ("options ndots:15 timeout:30 attempts:5", {"ndots": 15, "timeout": 30, "attempts": 5}),
        ("options ndots:16 timeout:31 attempts:6", {"ndots": 15, "timeout": 30, "attempts": 5}),
        ("options timeout:0 attempts:0", {"timeout": 1, "attempts": 1}),
        ("options ndots:2\noptions rotate timeout:3", {"ndots": 2, "timeout": 3}),
        ("options ndots:99999999999999999999", {"ndots": 15}),
    ],
)  # fmt: skip
def test_a_line_means_what_the_manual_says(line: str, expected: dict[str, Any]) -> None:
    assert read(line) == attrs.evolve(ResolvConf(), **expected)


@pytest.mark.parametrize(
    "line",
    [
        "# nameserver 1.1.1.1",
        "; nameserver 1.1.1.1",
        "nameserver",
        "nameserver localhost",
        "nameserver 10.0.0.256",
        "nameserver 1.1.1.1:53",
        "search",
        "search -bad- no_.way..twice",
        "options ndots timeout: attempts:x ndots:-1 ndots:+2 ndots:٣ edns0 single-request",
        "sortlist 130.155.160.0/255.255.240.0",
        "Nameserver 1.1.1.1",
    ],
)
def test_what_cannot_be_read_is_passed_over_and_the_rest_kept(line: str) -> None:
    assert read(line) == ResolvConf()
    assert read(f"{line}\n{KUBELET}") == read(KUBELET)


WORDS = st.sampled_from(
    ["nameserver", "search", "domain", "options", "ndots:", "timeout:7", "1.1.1.1", "a.b", "\n", "#"]
)


@given(st.lists(WORDS | st.text(max_size=8)).map(" ".join) | st.text())
def test_no_text_is_too_wild_and_all_figures_are_in_their_range(text: str) -> None:
    conf = read(text)
    assert 1 <= len(conf.servers) <= 3
    assert all(ipaddress.ip_address(address) for address, _ in conf.servers)
    assert 0 <= conf.ndots <= 15
    assert 1 <= conf.timeout <= 30
    assert 1 <= conf.attempts <= 5
