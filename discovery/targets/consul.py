"""Services as Consul knows them."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import attrs

from ..checks import is_seconds
from ..errors import InvalidTarget
from ..errors import quote as quoted
from . import checks
from .services import print_options

OPTIONS = frozenset({"tag", "dc", "near", "node-meta", "stale", "warning", "prepared", "ns", "partition"})
"""Those of the text. Lists are separated by commas; a comma or backslash within an entry has a backslash before it."""

LONGEST_TAG = 255
LONGEST_VALUE = 512
"""Of a node's metadata, as Consul has it."""

_SERVICE = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,253}[A-Za-z0-9_])?")
_PLACE = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,126}[A-Za-z0-9_])?")
_META_KEY = re.compile(r"[-A-Za-z0-9_]{1,128}")
_PARTS = re.compile(r"\\(.)|(,)|([^\\,]+)|(\\$)", re.DOTALL)


def _name(text: object) -> str:
    if isinstance(text, str) and _SERVICE.fullmatch(text):
        return text
    raise InvalidTarget(
        f"{quoted(text)} is not the name of a Consul service: at most 255 letters, digits and ._-, no . or - at an end",
        part=str(text),
        next_step=_meant(text) if isinstance(text, str) else "",
    )


def _meant(text: str) -> str:
    name, mark, rest = text.rpartition(":")
    if mark and _SERVICE.fullmatch(name):
        return f"Write consul://{name}: Consul tells the port of each instance"
    name, mark, rest = text.partition("/")
    if mark and _PLACE.fullmatch(name) and _SERVICE.fullmatch(rest):
        return f"A namespace of Consul Enterprise is written consul://{rest}?ns={name}"
    return "Write consul://NAME?tag=...&dc=..."


def _place(kind: str) -> Callable[[object, checks.Attribute, object], None]:
    """A validator: a name that can stand in a query, or None."""

    def check(_instance: object, _attribute: checks.Attribute, value: object) -> None:
        if value is not None and not (isinstance(value, str) and _PLACE.fullmatch(value)):
            raise InvalidTarget(f"{quoted(value)} is not the name of a {kind}", part=str(value))

    return check


def _tags(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidTarget(f"{quoted(given)} is no list of tags", part=str(given), next_step='Write ["primary"]')
    tags = tuple(given)
    for tag in tags:
        if not isinstance(tag, str) or not tag.isprintable() or not 1 <= len(tag) <= LONGEST_TAG:
            raise InvalidTarget(f"{quoted(tag)} is no tag: 1 to 255 printable characters", part=str(tag))
    return tuple(sorted(set(tags)))


def _pairs(given: object) -> tuple[tuple[str, str], ...]:
    found = given.items() if isinstance(given, Mapping) else given
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise InvalidTarget(f"{quoted(given)} is no metadata", part=str(given), next_step='Write {"rack": "7"}')
    pairs = tuple(map(_pair, found))
    keys = sorted(key for key, _ in set(pairs))
    twice = next((key for key, other in pairwise(keys) if key == other), None)
    if twice is not None:
        raise InvalidTarget(f"two values are given for the key {twice}", part=twice)
    return tuple(sorted(set(pairs)))


def _pair(given: object) -> tuple[str, str]:
    key, value = given if isinstance(given, tuple | list) and len(given) == 2 else (given, None)
    if not isinstance(key, str) or not _META_KEY.fullmatch(key):
        raise InvalidTarget(f"{quoted(key)} is no key of metadata: letters, digits, - and _", part=str(key))
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_VALUE:
        said = f"the value {quoted(value)} of {key} is no text" if value is not None else f"{key} has no value"
        raise InvalidTarget(
            f"{said}: at most {LONGEST_VALUE} printable characters", part=key, next_step=f"Write {key}=VALUE"
        )
    return key, value


def _stale(given: Any) -> float | None:
    if given is None or is_seconds(given):
        return None if given is None else float(given)
    raise InvalidTarget(
        f"stale={quoted(given)} is not a number of seconds above 0",
        part=str(given),
        next_step="Left out, the leader is asked",
    )


def _flag(_instance: object, attribute: checks.Attribute, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidTarget(f"{attribute.name}={quoted(value)} is neither True nor False", part=str(value))


@attrs.frozen(kw_only=True)
class Consul:
    """The passing instances of a service in Consul's catalog, or of a prepared query.

    Args:
        name: the service's, or with `prepared` the query's name or id.
        tags: an instance is wanted if it has all of these.
        datacenter: whose catalog is asked; None is that of the agent asked, or of the settings.
        near: a node, `_agent` for that of the agent asked, or `_ip` for our own address. The three usable instances
            that are nearest to it have priority 0, all others 1.
        node_meta: metadata that an instance's node must have.
        stale: any server's answer will do if that server has heard of the leader in the last so many seconds. None
            asks the leader.
        warning: instances with a check that warns are usable, with the weight that they have then.
        prepared: it is a prepared query, which chooses tags and metadata itself; asked every 5 seconds.
        namespace: of Consul Enterprise; None is that of the settings.
        partition: likewise, an admin partition.

    Raises:
        InvalidTarget: one of these cannot be what it is to be, or `tags`, `node_meta` or `stale` with `prepared`.
    """

    name: str = attrs.field(kw_only=False, converter=_name)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tags)
    datacenter: str | None = attrs.field(default=None, validator=_place("datacenter"))
    near: str | None = attrs.field(default=None, validator=_place("node"))
    node_meta: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    stale: float | None = attrs.field(default=None, converter=_stale)
    warning: bool = attrs.field(default=False, validator=_flag)
    prepared: bool = attrs.field(default=False, validator=_flag)
    namespace: str | None = attrs.field(default=None, validator=_place("namespace"))
    partition: str | None = attrs.field(default=None, validator=_place("partition"))

    def __attrs_post_init__(self) -> None:
        own = {"tags": self.tags, "node_meta": self.node_meta, "stale": self.stale}
        unfit = next((name for name, value in own.items() if value), None)
        if self.prepared and unfit is not None:
            raise InvalidTarget(
                f"the prepared query {self.name} takes no {unfit}",
                part=unfit,
                next_step="The query's definition says which instances are wanted",
            )

    def __str__(self) -> str:
        given = {
            "tag": _join(self.tags),
            "dc": self.datacenter,
            "near": self.near,
            "node-meta": _join(f"{key}={value}" for key, value in self.node_meta),
            "stale": None if self.stale is None else repr(self.stale).removesuffix(".0"),
            "warning": "yes" if self.warning else None,
            "prepared": "yes" if self.prepared else None,
            "ns": self.namespace,
            "partition": self.partition,
        }
        return f"consul://{self.name}" + print_options({key: value for key, value in given.items() if value})


def read(body: str, options: Mapping[str, str]) -> Consul:
    """A target from its text, whose options are decoded.

    Raises:
        InvalidTarget: with the wrong part quoted.
    """
    return Consul(
        body,
        tags=_split(options["tag"]) if "tag" in options else (),
        datacenter=options.get("dc"),
        near=options.get("near"),
        node_meta=[_cut(one) for one in _split(options["node-meta"])] if "node-meta" in options else (),
        stale=_seconds(options.get("stale")),
        warning=_word(options.get("warning")),
        prepared=_word(options.get("prepared")),
        namespace=options.get("ns"),
        partition=options.get("partition"),
    )


def _join(entries: Iterable[str]) -> str:
    return ",".join(entry.replace("\\", "\\\\").replace(",", "\\,") for entry in entries)


def _split(text: str) -> list[str]:
    """The reverse of `_join`: an escaped character stands for itself, as in consul-k8s' annotations."""
    entries = [""]
    for escaped, comma, plain, last in _PARTS.findall(text):
        if comma:
            entries.append("")
        else:
            entries[-1] += escaped or plain or last
    return entries


def _cut(entry: str) -> tuple[str, str | None]:
    key, mark, value = entry.partition("=")
    return key, value if mark else None


def _word(text: str | None) -> Any:
    """What a flag's word means; another one is left for the class to refuse."""
    return False if text is None else checks.WORDS.get(text, text)


def _seconds(text: str | None) -> Any:
    """A number, or what was written, likewise."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
