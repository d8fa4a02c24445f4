"""What templates make of backends. Pure.

Text from a cluster is untrusted, and a line break or a quote in it could write configuration of its own: what goes into
a file passes `word`, `json`, or the choice of `usable` here.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import InvalidTarget
from ..model import Backend
from ..targets import checks

_UNSAFE = re.compile(r"[^A-Za-z0-9_.:-]")
_UNNAMABLE = re.compile(r"[^A-Za-z0-9_.-]+")


def word(value: object) -> str:
    """The text as one word that nothing takes for more than a name: what is not of `A-Za-z0-9_.:-` becomes `_`."""
    return _UNSAFE.sub("_", str(value))


def as_json(value: object) -> str:
    """Any value of text, numbers, lists and objects as JSON on one line, in ASCII."""
    return json.dumps(value, sort_keys=True)


def name_of(target: str) -> str:
    """What to call a target in a configuration: `node-port://shop/web:http?family=ipv4` is `shop-web-http`."""
    place = target.partition("://")[2] or target
    return _UNNAMABLE.sub("-", place.partition("?")[0]).strip("-") or "backends"


def usable(backends: Iterable[Backend]) -> list[Backend]:
    """Each place once, in the order of its address and port; without what is neither an IP address nor a host name.

    A pod and its successor may be told at one address for a moment: it is one server all the same, the one that is
    ready.
    """
    found: dict[tuple[str, int], Backend] = {}
    for backend in sorted(backends, key=lambda one: (one.address, one.port, not one.ready, one.id.uid)):
        if _is_place(backend.address):
            found.setdefault((backend.address, backend.port), backend)
    return list(found.values())


def _is_place(address: str) -> bool:
    try:
        checks.host(address)
    except InvalidTarget:
        return False
    return "%" not in address and "[" not in address  # a zone may be any text, and brackets are for URLs


def weighted(backends: Sequence[Backend], most: int = 256) -> Iterator[tuple[Backend, int]]:
    """Each backend and its weight as a whole number of at most `most`.

    Whole weights that fit stay what they are, so that one that comes changes nothing about the others. Else the largest
    is `most`, and what is not 0 is at least 1. Where all are 0, all are 1: nothing else would be served.
    """
    return zip(backends, _whole([backend.weight for backend in backends], most), strict=True)


def _whole(weights: Sequence[float], most: int) -> list[int]:
    largest = max(weights, default=0.0)
    if largest == 0:
        return [1] * len(weights)
    if largest <= most and all(weight == math.floor(weight) for weight in weights):
        return [int(weight) for weight in weights]
    return [max(1, round(weight / largest * most)) if weight else 0 for weight in weights]
