"""The order in which a name is tried: absolute names once, relative ones by the search list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.dns.names import LONGEST_NAME, candidates
from discovery.dns.resolv_conf import ResolvConf

POD = ResolvConf(search=("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"), ndots=5)
HOST = ResolvConf(search=("example", "corp.example"))


@pytest.mark.parametrize(
    ("conf", "name", "expected"),
    [
        (POD, "web", ["web.shop.svc.cluster.local", "web.svc.cluster.local", "web.cluster.local", "web"]),
        (POD, "web.", ["web"]),
        (POD, "web.shop.svc.cluster.local.", ["web.shop.svc.cluster.local"]),
        (
            POD,
            "db.example.com",
            [
                *("db.example.com.shop.svc.cluster.local", "db.example.com.svc.cluster.local"),
                *("db.example.com.cluster.local", "db.example.com"),
            ],
        ),
        (
            POD,
            "_http._tcp.web.shop.svc",  # four dots
            [
                *("_http._tcp.web.shop.svc.shop.svc.cluster.local", "_http._tcp.web.shop.svc.svc.cluster.local"),
                *("_http._tcp.web.shop.svc.cluster.local", "_http._tcp.web.shop.svc"),
            ],
        ),
        (HOST, "web", ["web.example", "web.corp.example", "web"]),
        (HOST, "web.corp", ["web.corp", "web.corp.example", "web.corp.corp.example"]),
        (ResolvConf(search=("example",), ndots=0), "web", ["web", "web.example"]),
        (ResolvConf(), "web", ["web"]),
    ],
)
def test_a_name_is_tried_in_the_order_of_resolv_conf(conf: ResolvConf, name: str, expected: list[str]) -> None:
    assert list(candidates(name, conf)) == expected


def test_a_name_that_would_be_too_long_is_left_out() -> None:
    name = ".".join(["a" * 60] * 4)
    assert candidates(name, ResolvConf(search=("short", "too-long.example"), ndots=5)) == (f"{name}.short", name)


LABELS = st.lists(st.text("ab", min_size=1, max_size=63), min_size=1, max_size=4).map(".".join)
CONFS = st.builds(
    lambda search, ndots: ResolvConf(search=tuple(search), ndots=ndots),
    st.lists(LABELS, max_size=4),
    st.integers(0, 15),
)


@given(LABELS.filter(lambda name: len(name) <= LONGEST_NAME), CONFS)
def test_each_is_tried_once_and_none_that_is_too_long_to_exist(name: str, conf: ResolvConf) -> None:
    found = candidates(name, conf)
    assert len(set(found)) == len(found)
    assert name in found
    assert all(len(one) <= LONGEST_NAME for one in found)
    assert {one for one in found if one != name} <= {f"{name}.{domain}" for domain in conf.search}
