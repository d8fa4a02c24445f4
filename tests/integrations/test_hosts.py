"""Which host names mean a Service, and which are none of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.integrations.hosts import Name, name_of
from discovery.targets import LABEL, Endpoints

LABELS = st.from_regex(LABEL, fullmatch=True)


def meant(host: str, *, short_names: bool = False, domain: str = "cluster.local") -> Name | None:
    return name_of(host, domain, short_names=short_names)


@pytest.mark.parametrize("short_names", [False, True])
@pytest.mark.parametrize(
    "host",
    [
        "web.shop.svc",
        "web.shop.svc.",
        "WEB.Shop.SVC",
        "web.shop.svc.cluster.local",
        "web.shop.svc.cluster.local.",
        "Web.shop.svc.Cluster.LOCAL.",
    ],
)
def test_a_service_has_its_dns_names_in_any_case_with_or_without_a_last_dot(host: str, short_names: bool) -> None:
    assert meant(host, short_names=short_names) == Name("web", "shop")


@pytest.mark.parametrize("host", ["db-0.db.shop.svc", "DB-0.db.shop.svc.", "db-0.db.shop.svc.cluster.local"])
def test_a_name_may_begin_with_a_hostname_within_the_service(host: str) -> None:
    assert meant(host) == Name("db", "shop", "db-0")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("web", Name("web", None, short=True)),
        ("WEB.", Name("web", None, short=True)),
        ("web.shop", Name("web", "shop", short=True)),
        ("localhost.shop", Name("localhost", "shop", short=True)),
        ("a.svc", Name("a", "svc", short=True)),
    ],
)
def test_short_names_are_names_only_if_wanted_and_are_marked(host: str, name: Name) -> None:
    assert meant(host, short_names=True) == name
    assert meant(host) is None


@pytest.mark.parametrize("short_names", [False, True])
@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "localhost",
        "LocalHost.",
        "127.0.0.1",
        "10.0.0.1",
        "::1",
        "fe80::1",
        "www.example.com",
        "api.github.com",
        "a.b.c.d.svc",
        "a.b.c.svc.example.com",
        "web.shop.svc.other.domain",
        "web.shop.svc..",
        ".shop.svc",
        "web..svc",
        "-web.shop.svc",
        "web_1.shop.svc",
        "wéb.shop.svc",
        "web.shop.svc.cluster",
        "web.cluster.local",
        "web.shop.cluster.local",
        f"{'a' * 64}.shop.svc",
    ],
)
def test_what_is_no_name_of_a_service_is_none(host: str, short_names: bool) -> None:
    assert meant(host, short_names=short_names) is None


def test_the_domain_is_the_clusters_own_in_any_case() -> None:
    assert meant("web.shop.svc.k8s.corp", domain="K8s.Corp") == Name("web", "shop")
    assert meant("web.shop.svc.cluster.local", domain="k8s.corp") is None


@given(LABELS, LABELS, st.sampled_from(["", ".", ".cluster.local", ".cluster.local."]))
def test_every_name_that_kubernetes_allows_is_found_in_every_form(service: str, namespace: str, end: str) -> None:
    assert meant(f"{service}.{namespace}.svc{end}".upper()) == Name(service, namespace)


@given(st.text(max_size=80), st.booleans())
def test_no_text_breaks_it_and_what_it_finds_is_a_target(host: str, short_names: bool) -> None:
    name = meant(host, short_names=short_names)
    if name is not None:
        assert isinstance(name.target(80), Endpoints)


def test_the_target_of_a_name_is_a_port_of_the_service_or_of_the_one_pod() -> None:
    assert str(Name("web", "shop").target(8080)) == "endpoints://shop/web:8080"
    assert str(Name("db", "shop", "db-0").target(80)) == "endpoints://shop/db:80?hostname=db-0"
    assert Name("web", None).target(80).namespace is None
