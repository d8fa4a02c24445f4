"""What an answer means: clocks, tokens, versions, places. Pure; the time is a parameter."""

import base64
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

import attrs
import msgspec

from ..errors import quote
from ..model import Backend
from .finding import Finding, ok, skipped, warning

MOST_SKEW = 5.0
"""Seconds by which a clock may be off before it is worth a word."""

SOON = 60.0
"""Seconds of life left, below which a token ought to have been renewed: a kubelet does it at 80 % of an hour."""

OLDEST = (1, 21)
"""Kubernetes since then serves EndpointSlices as v1."""

OLDEST_CONSUL = (1, 14)
"""Consul since then takes 128 operations in a transaction."""

MOST_TRIED = 3
"""Backends of a target that are connected to."""

_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})")


@attrs.frozen
class Claims:
    """What a bearer token says of itself, unchecked. `expires` is a Unix time, None where it does not say."""

    subject: str = ""
    expires: float | None = None


class _Payload(msgspec.Struct):
    sub: str = ""
    exp: float | None = None


def claims(header: str | None) -> Claims:
    """Those in an Authorization header, where its token is a JWT. Never the token itself."""
    parts = (header or "").removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return Claims()
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        read = msgspec.json.decode(raw, type=_Payload)
    except (ValueError, msgspec.MsgspecError):
        return Claims()
    return Claims(read.sub, read.exp)


def token(said: Claims, now: float) -> Finding:
    """A token that has just been accepted, by how long it will be."""
    who = f" as {quote(said.subject)}" if said.subject else ""
    if said.expires is None:
        return ok(f"accepted{who}")
    left = said.expires - now
    if left < SOON:
        return warning(
            f"accepted{who}, but the token {'expires' if left > 0 else 'has expired'} ({duration(left)})",
            "Renew it: a kubelet renews a mounted token by itself, minutes before its end, unless this clock is wrong",
        )
    return ok(f"accepted{who}, until {duration(left)} from now")


def duration(seconds: float) -> str:
    """So long, in the largest unit of which it is one or more."""
    size = abs(seconds)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if size >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def skew(date: str, sent: float, received: float) -> float | None:
    """Seconds by which a server is ahead of us, at least; negative where it is behind, None where it does not say.

    Args:
        date: its `Date` header, made at some time between the other two, and cut to a whole second.
        sent: our Unix time when it was asked.
        received: likewise when it answered.
    """
    try:
        said = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    if said > received:
        return said - received
    return min(0.0, said + 1 - sent)


def clock(ahead: float | None) -> Finding:
    """Our clock against a server's."""
    if ahead is None:
        return skipped("the API server sends no date")
    if abs(ahead) <= MOST_SKEW:
        return ok(f"as the API server's, within {max(1.0, abs(ahead)):.0f} s")
    direction = "behind" if ahead > 0 else "ahead of"
    return warning(
        f"{duration(abs(ahead))} {direction} the API server's",
        "Set the clock by NTP: tokens and certificates are judged by it, and refused where it is far off",
    )


def version(text: str) -> Finding:
    """A version of Kubernetes, such as v1.31.2."""
    found = _VERSION.match(text)
    if found is not None and (int(found[1]), int(found[2])) < OLDEST:
        return warning(
            f"Kubernetes {quote(text)}, which has no EndpointSlices of v1",
            "Upgrade it: the older Endpoints are read instead, without zones and at most 1000 of a Service",
        )
    return ok(f"Kubernetes {quote(text)}")


def consul_version(found: Sequence[int]) -> Finding:
    """A version of Consul."""
    text = ".".join(map(str, found))
    if tuple(found[:2]) < OLDEST_CONSUL:
        return warning(
            f"Consul {text} takes 64 operations in a transaction", "Upgrade to 1.14 or later, which takes 128"
        )
    return ok(f"Consul {text}")


def place(environ: Mapping[str, str], *, inside: bool) -> Finding:
    """Whether a client in a pod knows its node and zone."""
    if not inside:
        return skipped("outside a pod there is no node and no zone of our own")
    lacking = [name for name in ("NODE_NAME", "NODE_ZONE") if not environ.get(name)]
    if not lacking:
        return ok(f"the node {quote(environ['NODE_NAME'])} in the zone {quote(environ['NODE_ZONE'])}")
    if lacking == ["NODE_ZONE"]:
        return ok(f"the node {quote(environ['NODE_NAME'])}; the zone is that of any endpoint on it")
    costs = "traffic policies Local and hints for a node are not followed"
    if len(lacking) == 2:
        costs += ", and no backend counts as near"
    return warning(
        f"{' and '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} not set: {costs}",
        "Set NODE_NAME in the pod's env, by valueFrom.fieldRef.fieldPath: spec.nodeName; the zone is found by it",
    )


def spread(backends: Sequence[Backend]) -> list[Backend]:
    """A few of them, on as many nodes as there are: what cannot be reached is often one node."""
    firsts: dict[str, Backend] = {}
    others = []
    for one in backends:
        if one.node and one.node not in firsts:
            firsts[one.node] = one
        else:
            others.append(one)
    return [*firsts.values(), *others][:MOST_TRIED]


def buffered(opened: float, first: float | None, ended: float) -> bool:
    """Whether a watch of one second was held back until its end.

    Args:
        opened: seconds until its headers came.
        first: likewise its first event; None where none came.
        ended: likewise its end.
    """
    began = opened if first is None else first
    return ended >= 0.9 and began > 0.9 * ended
