"""Where Consul is and how to speak to it: read from the environment variables that Consul's own programs know.

No secret is in the repr of what is made here, nor in an error.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

import attrs

from ..errors import ConfigurationError, quote
from .addresses import Address, parse_addresses

DEFAULT_ADDRESS = "http://127.0.0.1:8500"
"""The agent on this machine."""

SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path, no secret
"""What a pod proves with who it is."""

_HEADER = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""As Go reads a bool."""


def check_token(token: str, what: str) -> str:
    """The token without white space around it.

    Raises:
        ConfigurationError: it is empty, or a header cannot carry it. The error does not show it.
    """
    plain = token.strip()
    if not _HEADER.fullmatch(plain):
        wrong = "has characters that no header can carry" if plain else "is empty"
        raise ConfigurationError(f"{what} {wrong}", next_step="Give the secret id of one ACL token, on one line")
    return plain


def _token(_instance: Any, _attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None:
        check_token(value, "the ACL token")


def _auth(_instance: Any, _attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None and (":" not in value or not value.isprintable()):
        raise ConfigurationError(
            "the credentials for HTTP basic authentication cannot be used", next_step="Write them as user:password"
        )


def _address(_instance: Any, _attribute: "attrs.Attribute[Any]", value: str) -> None:
    parse_addresses(value)


@attrs.frozen(kw_only=True)
class Login:
    """A token by an auth method: logged in when first needed, and out at the end.

    Args:
        method: the name of the auth method.
        bearer_token_file: the file of the token that proves who we are, such as that of a ServiceAccount. It is read
            at each login.
        meta: kept with the token in Consul, for whoever lists tokens.
        datacenter: where to log in; None is where the agent is.
        namespace: of the auth method, in Consul Enterprise; likewise partition.
        partition: of the auth method.
    """

    method: str
    bearer_token_file: str = SERVICE_ACCOUNT_TOKEN
    meta: Mapping[str, str] = attrs.field(factory=dict)
    datacenter: str | None = None
    namespace: str | None = None
    partition: str | None = None


@attrs.frozen(kw_only=True)
class Settings:
    """Where Consul is and how to speak to it. Each default is that of Consul's own programs.

    Args:
        address: `http://host:8500`, `https://host:8501`, `host:8500` or `unix:///path`; several, separated by commas,
            are tried in turn.
        token: an ACL token's secret id.
        token_file: its file, which wins over `token`; read again when it changes and when Consul refuses.
        auth: `user:password` for a proxy in front that asks for basic authentication.
        ca_file: certificates that are trusted, PEM; None is the system's.
        ca_path: a folder of such files.
        client_cert: our certificate, PEM.
        client_key: its key.
        tls_server_name: the name that the server's certificate must have, where that is not its host.
        verify: whether the server's certificate is checked at all.
        namespace: of Consul Enterprise, for every request; likewise partition.
        partition: an admin partition.
        datacenter: asked where a read names none.
        login: how to get a token instead; wins over both others.
    """

    address: str = attrs.field(default=DEFAULT_ADDRESS, validator=_address)
    token: str | None = attrs.field(default=None, repr=False, validator=_token)
    token_file: str | None = None
    auth: str | None = attrs.field(default=None, repr=False, validator=_auth)
    ca_file: str | None = None
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    tls_server_name: str | None = None
    verify: bool = True
    namespace: str | None = None
    partition: str | None = None
    datacenter: str | None = None
    login: Login | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Each address, in the order given."""
        return parse_addresses(self.address)

    @classmethod
    def read(cls, url: str | None, environ: Mapping[str, str]) -> Self:
        """What the environment says. A variable that is empty is as one that is not set.

        Args:
            url: of Consul; None is what CONSUL_HTTP_ADDR says.
            environ: the variables, such as `os.environ`.

        Raises:
            ConfigurationError: something of it cannot be used.
        """
        given = {name: value for name, value in environ.items() if value}
        tls = _bool(given, "CONSUL_HTTP_SSL", default=False)
        addresses = parse_addresses(url or given.get("CONSUL_HTTP_ADDR", DEFAULT_ADDRESS), tls=tls)
        return cls(
            address=",".join(one.url for one in addresses),
            token=_text(given, "CONSUL_HTTP_TOKEN", check_token),
            token_file=given.get("CONSUL_HTTP_TOKEN_FILE"),
            auth=given.get("CONSUL_HTTP_AUTH"),
            ca_file=given.get("CONSUL_CACERT"),
            ca_path=given.get("CONSUL_CAPATH"),
            client_cert=given.get("CONSUL_CLIENT_CERT"),
            client_key=given.get("CONSUL_CLIENT_KEY"),
            tls_server_name=given.get("CONSUL_TLS_SERVER_NAME"),
            verify=_bool(given, "CONSUL_HTTP_SSL_VERIFY", default=True),
            namespace=given.get("CONSUL_NAMESPACE"),
            partition=given.get("CONSUL_PARTITION"),
            datacenter=given.get("CONSUL_DATACENTER"),
            login=_login(given),
        )


def _text(given: Mapping[str, str], name: str, check: Any) -> str | None:
    return check(given[name], name) if name in given else None


def _bool(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = given.get(name)
    if value is None:
        return default
    if value not in _TRUE | _FALSE:
        raise ConfigurationError(f"{name}={quote(value)} is neither true nor false")
    return value in _TRUE


def _login(given: Mapping[str, str]) -> Login | None:
    """Named as in consul-k8s."""
    method = given.get("CONSUL_LOGIN_AUTH_METHOD")
    if method is None:
        return None
    return Login(
        method=method,
        bearer_token_file=given.get("CONSUL_LOGIN_BEARER_TOKEN_FILE", SERVICE_ACCOUNT_TOKEN),
        meta=_meta(given.get("CONSUL_LOGIN_META", "")),
        datacenter=given.get("CONSUL_LOGIN_DATACENTER"),
        namespace=given.get("CONSUL_LOGIN_NAMESPACE"),
        partition=given.get("CONSUL_LOGIN_PARTITION"),
    )


def _meta(text: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in text.split(",") if one]
    if not all(name and separator for name, separator, _ in pairs):
        raise ConfigurationError(
            f"CONSUL_LOGIN_META={quote(text)} cannot be read", next_step="Write key=value,key=value"
        )
    return {name: value for name, _, value in pairs}
