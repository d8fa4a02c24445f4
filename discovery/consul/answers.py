"""The bodies of Consul's answers, typed. A long list is decoded piece by piece, so that the loop goes on meanwhile."""

import math
from typing import Any, Generic, TypeVar

import msgspec

from ..turns import Turns
from .exchange import Reply
from .failures import unusable
from .objects import AgentService, Check, HealthEntry, KvEntry, Node, NodeServices, PreparedAnswer, TokenSelf
from .reads import Answer

T = TypeVar("T")
U = TypeVar("U")

LONG = 2**18
"""Bytes that are decoded in one go: about a millisecond."""


class Body(Generic[T]):
    """How a body is decoded that is one value."""

    def __init__(self, of: Any) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(of)

    def read(self, reply: Reply, what: str) -> T:
        """The value.

        Raises:
            ConsulError: it is something else.
        """
        try:
            return self._decoder.decode(reply.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise unusable(reply.where, what, error) from error


class Sequenced(Generic[T]):
    """How a body is decoded that is a list, or null for an empty one."""

    def __init__(self, item: Any) -> None:
        self._item: msgspec.json.Decoder[T] = msgspec.json.Decoder(item)
        self._whole: Body[tuple[T, ...] | None] = Body(tuple[item, ...] | None)

    async def read(self, reply: Reply, what: str) -> tuple[T, ...]:
        """The items.

        Raises:
            ConsulError: it is something else.
        """
        if len(reply.body) < LONG:
            return self._whole.read(reply, what) or ()
        return await self.pieces(_PIECES.read(reply, what) or [], reply.where, what)

    async def pieces(self, pieces: list[msgspec.Raw], where: str, what: str) -> tuple[T, ...]:
        """The items, each still encoded."""
        turns, items = Turns(), []
        for piece in pieces:
            try:
                items.append(self._item.decode(piece))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise unusable(where, what, error) from error
            if turns.due():
                await turns.give()
        return tuple(items)


class _RawNodeServices(msgspec.Struct, gc=False):
    node: Node | None = msgspec.field(default=None, name="Node")
    services: list[msgspec.Raw] | None = msgspec.field(default=None, name="Services")


_PIECES: Body[list[msgspec.Raw] | None] = Body(list[msgspec.Raw] | None)
_RAW: Body[_RawNodeServices | None] = Body(_RawNodeServices | None)
_SERVICES: Sequenced[AgentService] = Sequenced(AgentService)

NODES: Sequenced[Node] = Sequenced(Node)
CHECKS: Sequenced[Check] = Sequenced(Check)
HEALTH: Sequenced[HealthEntry] = Sequenced(HealthEntry)
KEYS: Sequenced[KvEntry] = Sequenced(KvEntry)
NAMES: Body[dict[str, tuple[str, ...] | None] | None] = Body(dict[str, tuple[str, ...] | None] | None)
PREPARED: Body[PreparedAnswer] = Body(PreparedAnswer)
TOKEN: Body[TokenSelf] = Body(TokenSelf)
TRUTH: Body[bool] = Body(bool)
TEXT: Body[str] = Body(str)
"""The bodies that are read here."""


async def read_node_services(reply: Reply, what: str) -> NodeServices:
    """A node and its services; the answer is null, or has a node that is null, where there is no such node.

    Raises:
        ConsulError: it is something else.
    """
    raw = _RAW.read(reply, what)
    if raw is None:
        return NodeServices()
    return NodeServices(node=raw.node, services=await _SERVICES.pieces(raw.services or [], reply.where, what))


def answer(reply: Reply, value: U, what: str, *, indexed: bool = True) -> Answer[U]:
    """The value, with what the headers say of it.

    Raises:
        ConsulError: there is no index, where every Consul gives one: a proxy or a page has answered.
    """
    index = reply.headers.get("X-Consul-Index", "")
    if indexed and not _is_number(index):
        raise unusable(reply.where, what, "it has no X-Consul-Index", status=reply.status)
    contact = reply.headers.get("X-Consul-LastContact", "0")
    return Answer(
        value,
        index=int(index) if indexed else 0,
        known_leader=reply.headers.get("X-Consul-KnownLeader", "true") == "true",
        last_contact=int(contact) / 1000 if _is_number(contact) else math.inf,
        filtered=_filtered(reply, value),
    )


def _filtered(reply: Reply, value: object) -> bool:
    """Whether parts may have been left out.

    To who has no token Consul does not say so, only what its default is. An agent may have lent a token of its own, so
    only an answer with nothing in it is doubted for that.
    """
    if reply.headers.get("X-Consul-Results-Filtered-By-ACLs", "") == "true":
        return True
    nothing = not value or value == NodeServices()
    return nothing and reply.anonymous and reply.headers.get("X-Consul-Default-ACL-Policy", "") == "deny"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
