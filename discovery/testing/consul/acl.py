"""Tokens of the simulated server and what they allow: Consul's rules, by prefix, the longest that fits."""

import secrets
import uuid
from collections.abc import Mapping
from typing import Literal

import attrs

from .refusals import Refused, quoted
from .tables import Json

Level = Literal["read", "write", "deny"]
Resource = Literal["agent", "key", "node", "query", "service", "session"]

ANONYMOUS = "00000000-0000-0000-0000-000000000002"

_EVERYWHERE: Mapping[str, Level] = {"": "write"}


@attrs.frozen(kw_only=True)
class Rules:
    """What a token allows: for each resource, by prefix of its name, `read`, `write` (which is both) or `deny`.

    Rules(node={"": "read", "k8s-prod-": "write"}, service={"": "write"}, key={"locks/": "write"})
    """

    agent: Mapping[str, Level] = {}
    key: Mapping[str, Level] = {}
    node: Mapping[str, Level] = {}
    query: Mapping[str, Level] = {}
    service: Mapping[str, Level] = {}
    session: Mapping[str, Level] = {}

    def allow(self, resource: Resource, name: str, level: Level) -> bool:
        """Whether something of that name may be read or written."""
        rules: Mapping[str, Level] = getattr(self, resource)
        fitting = [prefix for prefix in rules if name.startswith(prefix)]
        granted = rules[max(fitting, key=len)] if fitting else "deny"
        return granted in ("write", level) and granted != "deny"


MANAGEMENT = Rules(
    agent=_EVERYWHERE, key=_EVERYWHERE, node=_EVERYWHERE, query=_EVERYWHERE, service=_EVERYWHERE, session=_EVERYWHERE
)


@attrs.frozen
class Access:
    """Who asks, and what that one may do. `denied_services` may be written by nobody."""

    accessor: str
    rules: Rules
    denied_services: frozenset[str] = frozenset()

    def allows(self, resource: Resource, name: str, level: Level) -> bool:
        """Whether something of that name may be read or written."""
        if resource == "service" and level == "write" and name in self.denied_services:
            return False
        return self.rules.allow(resource, name, level)

    def demand(self, resource: Resource, name: str, level: Level) -> None:
        """Raises Refused (403), in Consul's words, where that may not be."""
        if self.allows(resource, name, level):
            return
        lacks = f"lacks permission '{resource}:{level}' on {quoted(name)}"
        if self.accessor == ANONYMOUS:
            hint = ". The anonymous token is used implicitly when a request does not specify a token."
            raise Refused(f"Permission denied: anonymous token {lacks}{hint}", 403)
        raise Refused(f"Permission denied: token with AccessorID '{self.accessor}' {lacks}", 403)


class Tokens:
    """The tokens that there are.

    Args:
        enabled: False is a server without ACLs: everybody may do everything.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.denied_services: set[str] = set()
        self._known: dict[str, tuple[str, Rules]] = {}
        self._methods: dict[tuple[str, str], Rules] = {}

    def create(self, rules: Rules) -> str:
        """Make a token; gives the secret."""
        secret = str(uuid.uuid4())
        self._known[secret] = (str(uuid.uuid4()), rules)
        return secret

    def revoke(self, secret: str) -> None:
        """Delete a token; KeyError where there is none."""
        del self._known[secret]

    def trust(self, method: str, bearer: str, rules: Rules) -> None:
        """Have an auth method give such tokens for a bearer token."""
        self._methods[method, bearer] = rules

    def access(self, secret: str) -> Access:
        """What a secret ("" is none) allows; Refused (403) where there is no such token."""
        denied = frozenset(self.denied_services)
        if not self.enabled:
            return Access(ANONYMOUS, MANAGEMENT, denied)
        if not secret:
            return Access(ANONYMOUS, Rules(), denied)
        if secret not in self._known:
            raise Refused("ACL not found", 403)
        return Access(*self._known[secret], denied)

    # Over HTTP

    def login(self, method: str, bearer: str) -> Json:
        """Trade a bearer token for a token."""
        if not any(method == name for name, _ in self._methods):
            raise Refused(f'ACL not found: auth method "{method}" not found', 403)
        for (name, known), rules in self._methods.items():
            if name == method and secrets.compare_digest(known, bearer):
                return self.described(self.create(rules))
        raise Refused("Permission denied", 403)

    def logout(self, secret: str) -> None:
        """Delete the token that is used for it."""
        self.access(secret)
        self.revoke(secret)

    def described(self, secret: str) -> Json:
        """A token as `/v1/acl/token/self` tells it."""
        accessor = self.access(secret).accessor
        return {
            "CreateIndex": 1,
            "ModifyIndex": 1,
            "AccessorID": accessor,
            "SecretID": secret,
            "Description": "",
            "Policies": [],
            "Local": False,
            "CreateTime": "2026-01-01T00:00:00Z",
        }
