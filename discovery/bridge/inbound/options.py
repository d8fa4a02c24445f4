"""What an import is told: checked where it is made, so that a wrong one never starts."""

from fnmatch import fnmatchcase
from typing import Any, Literal

import attrs

from ...checks import number, seconds, whole
from ...errors import ConfigurationError, InvalidTarget, quote
from ...targets import check_namespace
from ..options import owner_id, texts

MOST = 150
"""Services of one import at most: each has a blocking query, and Consul takes 200 connections of a client
(http_max_conns_per_client)."""

CONSUL = "consul"
"""The service that Consul's own servers are: imported only where a pattern is exactly its name."""

_PREFIX_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _namespace(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    try:
        check_namespace(value)
    except InvalidTarget as error:
        raise ConfigurationError(f"{attribute.name}: {error}") from error
    if value is None:
        raise ConfigurationError(f"{attribute.name} is missing", next_step="Name the namespace that is written into")


def _patterns(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    wrong = [one for one in value if not isinstance(one, str) or not one.strip() or not one.isprintable()]
    if wrong or not value:
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} names no service", next_step="Name some, such as db-*; * is all"
        )


def _tags(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    wrong = [one for one in value if not isinstance(one, str) or not one.strip() or not one.isprintable()]
    if wrong:
        raise ConfigurationError(f"{attribute.name}: {quote(wrong[0])} is no tag")


def _prefix(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    fits = isinstance(value, str) and len(value) <= 40 and set(value) <= _PREFIX_CHARACTERS
    if not fits or value[:1].isdigit() or value.startswith("-"):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} cannot begin a name",
            next_step="Up to 40 of a-z, 0-9 and -, a letter first, such as consul-",
        )


def _warning(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value not in ("ready", "unready"):
        raise ConfigurationError(f"{attribute.name}={quote(value)} is unknown", next_step="One of ready, unready")


@attrs.frozen(kw_only=True)
class ImportOptions:
    """All that an import is told.

    Args:
        owner: the id under which it owns its objects, the same for all replicas; two imports into one namespace have
            two of them.
        namespace: that is written into. Objects in it that do not carry our labels and this owner are never touched.
        services: the names in Consul, as patterns of a shell (`db-*`); at least one, and together at most 150 services.
        tags: only instances that have all of them.
        prefix: put before each name in Kubernetes.
        warning: whether an instance with a check that warns is "ready", as it is for Consul's DNS, or "unready".
        debounce: seconds after a change in which others are waited for, before all of them are written.
        repair: seconds between two readings of our objects in Kubernetes, which put right what others did to them.
        confirm_after: seconds between the two answers of Consul that lack a service, before that is believed.
        max_deletes: a pass that would delete more Services holds all of these deletions back, unless
        max_delete_percent: of our Services would be more.
    """

    owner: str = attrs.field(validator=owner_id("Consul"))
    namespace: str = attrs.field(validator=_namespace)
    services: tuple[str, ...] = attrs.field(converter=texts, validator=_patterns)
    tags: tuple[str, ...] = attrs.field(default=(), converter=texts, validator=_tags)
    prefix: str = attrs.field(default="", validator=_prefix)
    warning: Literal["ready", "unready"] = attrs.field(default="ready", validator=_warning)
    debounce: float = attrs.field(default=0.1, validator=seconds())
    repair: float = attrs.field(default=300.0, validator=seconds())
    confirm_after: float = attrs.field(default=10.0, validator=seconds())
    max_deletes: int = attrs.field(default=10, validator=whole(least=0))
    max_delete_percent: float = attrs.field(default=20.0, validator=number(least=0.0, most=100.0))

    def wants(self, service: str, tags: tuple[str, ...] = ()) -> bool:
        """Whether a service of this name is imported, whose instances have these tags between them."""
        if service == CONSUL and CONSUL not in self.services:
            return False
        return set(self.tags) <= set(tags) and any(fnmatchcase(service, pattern) for pattern in self.services)

    def may_delete(self, owned: int) -> int:
        """How many Services one pass may delete, where so many are ours."""
        return max(self.max_deletes, int(owned * self.max_delete_percent / 100))
