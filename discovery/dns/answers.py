"""What a name in the DNS stands for, as the rest talks about it. Pure."""

from collections.abc import Mapping
from typing import Literal

import attrs

Kind = Literal["A", "AAAA", "SRV"]

ABSENT = ("no-such-name", "no-data")
"""Reasons of a `ResolutionError` that are answers: the name is not there, or has no records of the kind."""


@attrs.frozen(order=True)
class Srv:
    """One SRV record (RFC 2782): a lower `priority` goes first, `weight` is relative within it.

    `target` is a host name in lower case without its last dot; "" says that there is no such service.
    """

    priority: int
    weight: int
    port: int
    target: str


@attrs.frozen(kw_only=True)
class Answer:
    """The records of one kind, each once and sorted.

    Attributes:
        addresses: of A and AAAA, in their one spelling.
        services: of SRV.
        additional: what else was told: the addresses of targets, by name as in `Srv.target`.
        ttl: seconds for which all of it holds: the least of the whole chain of CNAMEs.
    """

    addresses: tuple[str, ...] = ()
    services: tuple[Srv, ...] = ()
    additional: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    ttl: float = 0.0
