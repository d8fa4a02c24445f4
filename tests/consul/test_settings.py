"""Settings: every official variable is read as Consul's own programs read it, and no secret is ever shown."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.consul.addresses import Address, parse_addresses
from discovery.consul.settings import SERVICE_ACCOUNT_TOKEN, Login, Settings
from discovery.errors import ConfigurationError

SECRET = "s3cr3t-0f-th1s-t3st"


def read(url: str | None = None, /, **environ: str) -> Settings:
    return Settings.read(url, environ)


# Variables


def test_nothing_set_is_the_agent_on_this_machine() -> None:
    assert read() == Settings() == Settings(address="http://127.0.0.1:8500")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("CONSUL_HTTP_TOKEN", "token", SECRET),
        ("CONSUL_HTTP_TOKEN_FILE", "token_file", "/run/token"),
        ("CONSUL_HTTP_AUTH", "auth", "me:" + SECRET),
        ("CONSUL_CACERT", "ca_file", "/ca.pem"),
        ("CONSUL_CAPATH", "ca_path", "/certs"),
        ("CONSUL_CLIENT_CERT", "client_cert", "/client.crt"),
        ("CONSUL_CLIENT_KEY", "client_key", "/client.key"),
        ("CONSUL_TLS_SERVER_NAME", "tls_server_name", "server.dc1.consul"),
        ("CONSUL_NAMESPACE", "namespace", "team"),
        ("CONSUL_PARTITION", "partition", "part"),
        ("CONSUL_DATACENTER", "datacenter", "dc2"),
    ],
)
def test_each_variable_sets_its_field_alone(name: str, field: str, value: str) -> None:
    changed: dict[str, Any] = {field: value}
    assert read(**{name: value}) == attrs.evolve(Settings(), **changed)


def test_an_empty_variable_is_as_one_that_is_not_set() -> None:
    empty = dict.fromkeys(("CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL", "CONSUL_LOGIN_AUTH_METHOD"), "")
    assert Settings.read(None, empty) == Settings()


def test_what_is_given_wins_over_the_environment() -> None:
    assert read("http://a:1", CONSUL_HTTP_ADDR="http://b:2").address == "http://a:1"


@pytest.mark.parametrize("value", ["1", "t", "T", "true", "TRUE", "True"])
def test_ssl_makes_https_of_what_is_not(value: str) -> None:
    assert read(CONSUL_HTTP_ADDR="consul:8501", CONSUL_HTTP_SSL=value).address == "https://consul:8501"
    assert read(CONSUL_HTTP_ADDR="http://consul:8501", CONSUL_HTTP_SSL=value).address == "https://consul:8501"


@pytest.mark.parametrize("value", ["0", "f", "F", "false", "FALSE", "False"])
def test_verification_can_be_switched_off(value: str) -> None:
    assert read(CONSUL_HTTP_SSL_VERIFY=value).verify is False
    assert read(CONSUL_HTTP_SSL=value) == Settings()


@pytest.mark.parametrize("name", ["CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY"])
def test_what_is_neither_true_nor_false_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}='maybe' is neither true nor false"):
        read(**{name: "maybe"})


def test_a_login_is_read_as_in_consul_k8s() -> None:
    made = read(
        CONSUL_LOGIN_AUTH_METHOD="k8s",
        CONSUL_LOGIN_BEARER_TOKEN_FILE="/run/jwt",
        CONSUL_LOGIN_META="pod=shop/web-1,component=sync",
        CONSUL_LOGIN_DATACENTER="dc1",
        CONSUL_LOGIN_NAMESPACE="auth",
        CONSUL_LOGIN_PARTITION="p",
    ).login
    meta = {"pod": "shop/web-1", "component": "sync"}
    assert made == Login(
        method="k8s", bearer_token_file="/run/jwt", meta=meta, datacenter="dc1", namespace="auth", partition="p"
    )


def test_a_login_proves_itself_with_the_service_account_by_itself() -> None:
    login = read(CONSUL_LOGIN_AUTH_METHOD="k8s").login
    assert login is not None
    assert login.bearer_token_file == SERVICE_ACCOUNT_TOKEN


def test_meta_that_is_no_pair_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="key=value"):
        read(CONSUL_LOGIN_AUTH_METHOD="k8s", CONSUL_LOGIN_META="pod")


# Secrets


def test_no_secret_is_in_a_repr() -> None:
    assert SECRET not in repr(Settings(token=SECRET, auth=f"me:{SECRET}"))


@pytest.mark.parametrize("token", ["", " ", "two\nlines" + SECRET, "ü" + SECRET, "\x00" + SECRET])
def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings(token=token)
    assert SECRET not in str(refused.value)


def test_white_space_around_a_token_is_no_part_of_it() -> None:
    assert read(CONSUL_HTTP_TOKEN=f" {SECRET}\n").token == SECRET


@pytest.mark.parametrize("auth", [SECRET, f"me:{SECRET}\r\nX: y"])
def test_basic_credentials_that_cannot_be_used_are_refused_without_being_shown(auth: str) -> None:
    with pytest.raises(ConfigurationError, match="user:password") as refused:
        Settings(auth=auth)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f"http://me:{SECRET}@consul:8500", f"me:{SECRET}@consul", f"a:1,https://{SECRET}@b"])
def test_credentials_in_an_address_are_refused_without_being_shown(url: str) -> None:
    for environ in ({}, {"CONSUL_HTTP_ADDR": url}):
        with pytest.raises(ConfigurationError, match="CONSUL_HTTP_AUTH") as refused:
            Settings.read(None if environ else url, environ)
        assert SECRET not in str(refused.value)
    with pytest.raises(ConfigurationError, match="CONSUL_HTTP_AUTH"):
        Settings(address=url)


# Addresses


@pytest.mark.parametrize(
    ("text", "base", "where"),
    [
        ("consul:8500", "http://consul:8500", "consul:8500"),
        ("10.0.0.1:8500", "http://10.0.0.1:8500", "10.0.0.1:8500"),
        ("http://consul", "http://consul", "consul:80"),
        ("https://consul", "https://consul", "consul:443"),
        ("https://consul:8501/", "https://consul:8501", "consul:8501"),
        ("https://gateway/consul/", "https://gateway/consul", "gateway:443"),
        ("[::1]:8500", "http://[::1]:8500", "[::1]:8500"),
    ],
)
def test_an_address_is_what_requests_are_appended_to(text: str, base: str, where: str) -> None:
    (one,) = parse_addresses(text)
    assert (one.base, one.where, one.tls, one.socket) == (base, where, base.startswith("https"), None)


def test_a_socket_is_an_address_too() -> None:
    (one,) = parse_addresses("unix:///run/consul.sock")
    assert one == Address(
        url="unix:///run/consul.sock", base="http://localhost", where="/run/consul.sock", socket="/run/consul.sock"
    )


def test_several_addresses_are_kept_in_their_order_and_once() -> None:
    settings = read(CONSUL_HTTP_ADDR="a:1, b:2,a:1 ,https://c:3")
    assert [one.where for one in settings.addresses] == ["a:1", "b:2", "c:3"]
    assert settings.address == "http://a:1,http://b:2,https://c:3"


@pytest.mark.parametrize(
    "text",
    ["", "a:1,", "ftp://a", "http://", "http://a:99999", "http://a:b", "http://[::1", "unix://a", "http://a?x=y",
     "http://a b", "http://a#b", "a\x00:1", "unix:///a\nb"],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_where_it_is_written(text: str) -> None:
    with pytest.raises(ConfigurationError, match="unix:///PATH"):
        Settings(address=text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        made = parse_addresses(text)
    except ConfigurationError:
        return
    assert made
    assert parse_addresses(",".join(one.url for one in made)) == made


@given(st.dictionaries(st.sampled_from([name.upper() for name in attrs.fields_dict(Settings)]), st.text()))
def test_what_is_no_variable_of_consul_changes_nothing(environ: dict[str, Any]) -> None:
    assert Settings.read(None, environ) == Settings()


@pytest.mark.parametrize("address", ["http://h:8500/?token=SECRET", "h:8500#SECRET", "ftp://h/?token=SECRET"])
def test_what_follows_an_address_may_be_a_secret_and_is_not_shown(address: str) -> None:
    with pytest.raises(ConfigurationError, match="CONSUL_HTTP_TOKEN") as caught:
        Settings.read(address, {})
    assert "SECRET" not in str(caught.value)
