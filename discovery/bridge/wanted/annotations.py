"""What a Service's annotations ask for, read as consul-k8s reads them: its users keep theirs. Pure.

Where consul-k8s logs a bad value and goes on with half of what was asked, this refuses the whole: a Service is
registered as its owner wants it, or stays as it was.
"""

import re
from collections.abc import Mapping
from typing import NoReturn

import attrs

from ...errors import quote
from ..records import Pairs
from .unusable import Unusable

PREFIX = "consul.hashicorp.com/"
SYNC = PREFIX + "service-sync"
NAME = PREFIX + "service-name"
PORT = PREFIX + "service-port"
TAGS = PREFIX + "service-tags"
META = PREFIX + "service-meta-"
WEIGHT = PREFIX + "service-weight"

YES = frozenset({"1", "t", "T", "TRUE", "true", "True"})
NO = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""What Go's `strconv.ParseBool` takes."""

LONGEST_KEY = 128
LONGEST_VALUE = 512
"""Bytes of a key and of a value of metadata: Consul's limits."""

_KEY = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[0-9]{1,5}")
_COMMA = re.compile(r"(?<!\\),")


@attrs.frozen(kw_only=True)
class Wishes:
    """What the annotations of a Service ask for.

    Attributes:
        sync: whether it is registered; None is as the bridge's options say.
        name: its Consul service's, whole; None is the one made of its own.
        port: the main one, by name or by number; None is the first.
        tags: beside those of the options.
        meta: beside ours, sorted.
        weight: of each instance, 1 to 65535.
    """

    sync: bool | None = None
    name: str | None = None
    port: str | int | None = None
    tags: tuple[str, ...] = ()
    meta: Pairs = ()
    weight: int = 1


NONE = Wishes()


def read(annotations: Mapping[str, str] | None) -> Wishes:
    """What they ask for. Annotations of others, and unknown ones, mean nothing.

    Raises:
        Unusable: a value cannot be used.
    """
    if not annotations or not any(key.startswith(PREFIX) for key in annotations):
        return NONE
    return Wishes(
        sync=_sync(annotations),
        name=_name(annotations.get(NAME)),
        port=_port(annotations.get(PORT)),
        tags=_tags(annotations.get(TAGS, "")),
        meta=tuple(sorted(_pair(key, value) for key, value in annotations.items() if key.startswith(META))),
        weight=_weight(annotations.get(WEIGHT)),
    )


def asked(annotations: Mapping[str, str] | None, *, otherwise: bool) -> bool:
    """Whether it is to be registered; so it is where that cannot be read, for then `read` says what is wrong."""
    value = (annotations or {}).get(SYNC)
    if value is None:
        return otherwise
    return value not in NO


def _sync(annotations: Mapping[str, str]) -> bool | None:
    value = annotations.get(SYNC)
    if value is None:
        return None
    if value not in YES and value not in NO:
        _refuse(SYNC, value, "Use true or false")
    return value in YES


def _name(value: str | None) -> str | None:
    """Trimmed; whether DNS can carry it is looked at with the other names."""
    if value is None:
        return None
    if not value.strip():
        _refuse(NAME, value, "Give it a name, or remove the annotation")
    return value.strip()


def _port(value: str | None) -> str | int | None:
    """No name of a port is only digits."""
    return int(value) if value is not None and _NUMBER.fullmatch(value) else value


def _tags(value: str) -> tuple[str, ...]:
    """Separated by commas; one with a backslash before it is part of its tag."""
    tags = (tag.replace("\\,", ",").strip() for tag in _COMMA.split(value))
    found = tuple(dict.fromkeys(tag for tag in tags if tag))
    for tag in found:
        if not tag.isprintable():
            _refuse(TAGS, tag, "A tag is printable text")
    return found


def _pair(annotation: str, value: str) -> tuple[str, str]:
    key = annotation.removeprefix(META)
    if not _KEY.fullmatch(key) or len(key) > LONGEST_KEY:
        raise Unusable(
            f"the annotation {quote(annotation)} names a key that Consul does not take",
            reason="annotation",
            next_step=f"Up to {LONGEST_KEY} of A-Z, a-z, 0-9, _ and -",
        )
    if key.startswith("consul-"):
        raise Unusable(
            f"the annotation {quote(annotation)} names a key that Consul keeps for itself",
            reason="annotation",
            next_step="Begin it with something else than consul-",
        )
    if len(value.encode("utf-8", "surrogatepass")) > LONGEST_VALUE:
        _refuse(annotation, value, f"Consul takes {LONGEST_VALUE} bytes at most")
    return key, value


def _weight(value: str | None) -> int:
    if value is None:
        return 1
    if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= 65535:
        _refuse(WEIGHT, value, "A whole number from 1 to 65535")
    return int(value)


def _refuse(annotation: str, value: str, next_step: str) -> NoReturn:
    name = quote(annotation)[1:-1]
    raise Unusable(f"the annotation {name} is {quote(value)}", reason="annotation", next_step=next_step)
