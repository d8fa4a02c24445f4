"""How a read of Consul is asked for, and what its answer says of itself."""

from typing import Any, Generic, Literal, TypeVar

import attrs

from ..checks import number, whole
from ..errors import ConfigurationError, quote

T = TypeVar("T")

Consistency = Literal["default", "consistent", "stale"]

LONGEST_WAIT = 600.0
"""Seconds that Consul lets a query block, at most."""


@attrs.frozen
class Answer(Generic[T]):
    """What Consul answered, and how far it is to be believed.

    Attributes:
        value: the answer itself.
        index: to ask with next, see `next_index`; 0 where an answer has none (a prepared query).
        known_leader: whether the server that answered knew of a leader.
        last_contact: seconds since it last heard from the leader; 0 where the leader answered.
        filtered: parts were left out for want of rights: the answer is not all there is.
    """

    value: T
    index: int = 0
    known_leader: bool = True
    last_contact: float = 0.0
    filtered: bool = False


def _consistency(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value not in ("default", "consistent", "stale"):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} is unknown", next_step="One of default, consistent, stale"
        )


@attrs.frozen(kw_only=True)
class Read:
    """How a read is asked for.

    Attributes:
        index: above 0, the query blocks until Consul has come further than that, or `wait` is over.
        wait: seconds to block at most, up to 600; Consul adds up to a sixteenth. Without effect where `index` is 0.
        consistency: "default" is the leader's word, "consistent" is that after the leader has made sure that it is one,
            "stale" is any server's: see `last_contact` of the answer.
        datacenter: another one than the settings say.
        near: a node from which the answer is sorted, nearest first; `_agent` is that of the agent asked.
        filter: an expression that cuts the answer, such as `Meta["owner-id"] == "prod"`. It does not cut wake-ups.
    """

    index: int = attrs.field(default=0, validator=whole(least=0))
    wait: float = attrs.field(default=300.0, validator=number(above=0, most=LONGEST_WAIT))
    consistency: Consistency = attrs.field(default="default", validator=_consistency)
    datacenter: str | None = None
    near: str | None = None
    filter: str | None = None

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The parameters of the query, but for the datacenter, which the settings may say too."""
        query = [(name, value) for name, value in (("near", self.near), ("filter", self.filter)) if value]
        if self.index > 0:
            query += [("index", str(self.index)), ("wait", f"{max(1, round(self.wait * 1000))}ms")]
        if self.consistency != "default":
            query.append((self.consistency, ""))
        return tuple(query)


ONCE = Read()
"""Read what there is, from the leader, and do not block."""
