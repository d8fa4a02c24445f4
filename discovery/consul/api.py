"""The requests to Consul that are made here, typed: one method each.

A method asks once. What is asked for again, and when, is for the caller to decide: see `blocking`. Every method raises
`ConsulError`, or `ConfigurationError` where a file, a token or a certificate cannot be used.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote as quoted

import attrs
import msgspec

from ..errors import ConsulError, quote
from ..events import Hook
from .answers import (
    CHECKS,
    HEALTH,
    KEYS,
    NAMES,
    NODES,
    PREPARED,
    TEXT,
    TOKEN,
    TRUTH,
    Body,
    answer,
    read_node_services,
)
from .exchange import Call, Exchange, Reply
from .failures import unusable
from .objects import Check, HealthEntry, KvEntry, Node, NodeServices, PreparedAnswer, TokenSelf
from .reads import ONCE, Answer, Read
from .settings import Settings
from .txn import Result, TxnRefused, read_results, refusal

__all__ = ["ONCE", "Answer", "Consul", "Read", "Result", "TxnRefused"]

Parameters = tuple[tuple[str, str], ...]


class _Session(msgspec.Struct):
    id: str = msgspec.field(name="ID")


class _Config(msgspec.Struct):
    version: str = msgspec.field(name="Version")


class _Agent(msgspec.Struct):
    config: _Config = msgspec.field(name="Config")


_SESSION: Body[_Session] = Body(_Session)
_AGENT: Body[_Agent] = Body(_Agent)
_VERSION = re.compile(r"\d{1,6}(?:\.\d{1,6})*")


class Consul:
    """One Consul. Opens nothing before its first request; `aclose()` ends it."""

    def __init__(self, settings: Settings, *, emit: Hook, rng: random.Random) -> None:
        self._settings = settings
        self._exchange = Exchange(settings, emit=emit, rng=rng)
        self.writes = 0

    def __repr__(self) -> str:
        return f"<Consul at {self.where}, {self.requests} requests>"

    @property
    def where(self) -> str:
        """The address in use, as `host:port` or the path of a socket: for messages."""
        return self._exchange.where

    @property
    def requests(self) -> int:
        """How many requests have been sent, logins included."""
        return self._exchange.requests

    async def aclose(self) -> None:
        """Log out where logged in, and close every connection."""
        await self._exchange.aclose()

    # The catalog

    async def nodes(self, read: Read = ONCE) -> Answer[tuple[Node, ...]]:
        """All nodes: `/v1/catalog/nodes`."""
        what = "list the nodes"
        reply = await self._read("/v1/catalog/nodes", what, read)
        return answer(reply, await NODES.read(reply, what), what)

    async def node_services(self, node: str, read: Read = ONCE) -> Answer[NodeServices]:
        """A node and its services: `/v1/catalog/node-services/NODE`; `value.node` is None where there is none."""
        what = f"read the services of the node {quote(node)}"
        reply = await self._read(f"/v1/catalog/node-services/{quoted(node, '')}", what, read)
        return answer(reply, await read_node_services(reply, what), what)

    async def node_checks(self, node: str, read: Read = ONCE) -> Answer[tuple[Check, ...]]:
        """The checks of a node and of its services: `/v1/health/node/NODE`. To block on it is to be woken by any."""
        what = f"read the checks of the node {quote(node)}"
        reply = await self._read(f"/v1/health/node/{quoted(node, '')}", what, read)
        return answer(reply, await CHECKS.read(reply, what), what)

    async def services(self, read: Read = ONCE) -> Answer[dict[str, tuple[str, ...]]]:
        """The names of all services, each with the tags of all its instances: `/v1/catalog/services`."""
        what = "list the services"
        reply = await self._read("/v1/catalog/services", what, read)
        names = NAMES.read(reply, what) or {}
        return answer(reply, {name: tags or () for name, tags in names.items()}, what)

    async def health(
        self,
        service: str,
        read: Read = ONCE,
        *,
        tags: Sequence[str] = (),
        passing: bool = False,
        node_meta: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> Answer[tuple[HealthEntry, ...]]:
        """The instances of a service with their nodes and checks: `/v1/health/service/NAME`.

        Args:
            service: its name.
            read: how it is asked for.
            tags: that an instance must have, all of them.
            passing: only instances all of whose checks pass.
            node_meta: metadata that the node must have, all of it.
        """
        what = f"read the health of the service {quote(service)}"
        pairs = node_meta.items() if isinstance(node_meta, Mapping) else node_meta
        query = [("tag", tag) for tag in tags] + [("node-meta", f"{name}:{value}") for name, value in pairs]
        query += [("passing", "true")] if passing else []
        reply = await self._read(f"/v1/health/service/{quoted(service, '')}", what, read, query)
        return answer(reply, await HEALTH.read(reply, what), what)

    async def prepared(
        self, query: str, read: Read = ONCE, *, near: str | None = None, datacenter: str | None = None, limit: int = 0
    ) -> Answer[PreparedAnswer]:
        """What a prepared query comes to: `/v1/query/NAME/execute`. It does not block.

        Args:
            query: its name or id.
            read: how it is asked for, without its index.
            near: as in `Read`; likewise datacenter.
            datacenter: where it begins; it may fail over to others.
            limit: at most so many instances, 0 for all.
        """
        what = f"execute the prepared query {quote(query)}"
        asked = attrs.evolve(read, index=0, near=near or read.near, datacenter=datacenter or read.datacenter)
        most = [("limit", str(limit))] if limit > 0 else []
        reply = await self._read(f"/v1/query/{quoted(query, '')}/execute", what, asked, most)
        return answer(reply, PREPARED.read(reply, what), what, indexed=False)

    async def transact(self, operations: Sequence[bytes]) -> tuple[Result, ...]:
        """All of these operations or none: `PUT /v1/txn`. With no operation, nothing is asked.

        Args:
            operations: each an encoded object, such as `{"Service":{"Verb":"cas",...}}`; Consul takes 128 at most.

        Returns:
            What each of them left behind, in their order.

        Raises:
            TxnRefused: nothing was done; its `errors` are all operations at fault.
        """
        if not operations:
            return ()
        what = "write a transaction"
        self.writes += 1
        reply = await self._write("/v1/txn", what, b"[" + b",".join(operations) + b"]", accepted=(409,))
        try:
            if reply.status == 200:
                return read_results(operations, reply.body)
            refused = refusal(reply.body, reply.where)
        except (ValueError, RecursionError) as error:
            raise unusable(reply.where, what, error, status=reply.status) from error
        raise refused

    # Sessions and keys

    async def create_session(self, *, name: str, ttl: float, lock_delay: float = 0.0) -> str:
        """The id of a new session, which ends with its TTL alone: it hangs on no check of a node.

        Args:
            name: for whoever lists sessions.
            ttl: seconds, 10 to 86400; Consul may let it live for twice as long.
            lock_delay: seconds, up to 60, for which a lock stays shut after its session has ended unreleased.
        """
        what = "create a session"
        body = {"Name": name, "TTL": _duration(ttl), "LockDelay": _duration(lock_delay)}
        encoded = msgspec.json.encode(body | {"Behavior": "release", "NodeChecks": []})
        reply = await self._write("/v1/session/create", what, encoded)
        return _SESSION.read(reply, what).id

    async def renew_session(self, session: str) -> bool:
        """Start its TTL anew. False: it is gone, and what it locked is free."""
        what = "renew the session"
        reply = await self._write(f"/v1/session/renew/{quoted(session, '')}", what, accepted=(404,))
        if reply.status == 404 and session.encode() not in reply.body:
            raise unusable(reply.where, what, f"404: {reply.body[:200].decode(errors='replace')}", status=404)
        return reply.status == 200

    async def destroy_session(self, session: str) -> None:
        """End it, and release what it locked; nothing happens where it is gone."""
        await self._write(f"/v1/session/destroy/{quoted(session, '')}", "destroy the session")

    async def key(self, key: str, read: Read = ONCE) -> Answer[KvEntry | None]:
        """A key and its value, None where there is no such key: `/v1/kv/KEY`."""
        what = f"read the key {quote(key)}"
        reply = await self._read(_of_key(key), what, read, accepted=(404,))
        entries = await KEYS.read(reply, what) if reply.status == 200 else ()
        return answer(reply, entries[0] if entries else None, what)

    async def acquire(self, key: str, value: bytes, session: str) -> bool:
        """Lock a key for a session, and write its value. False: another session holds it, or its delay lasts."""
        return await self._put_key(key, value, ("acquire", session))

    async def release(self, key: str, session: str) -> bool:
        """Unlock a key, which stays, with an empty value. False: this session does not hold it."""
        return await self._put_key(key, b"", ("release", session))

    async def put_key(self, key: str, value: bytes, *, cas: int | None = None) -> bool:
        """Write a key's value. With `cas`, only where its ModifyIndex is that; 0 is where there is no such key.

        Returns:
            Whether it was written.
        """
        return await self._put_key(key, value, *([] if cas is None else [("cas", str(cas))]))

    async def delete_key(self, key: str, *, cas: int | None = None) -> bool:
        """Delete a key, with `cas` only where its ModifyIndex is that. A key that is not there counts as deleted."""
        what = f"delete the key {quote(key)}"
        query = [] if cas is None else [("cas", str(cas))]
        return TRUTH.read(await self._write(_of_key(key), what, method="DELETE", query=query), what)

    async def _put_key(self, key: str, value: bytes, *query: tuple[str, str]) -> bool:
        what = f"write the key {quote(key)}"
        return TRUTH.read(await self._write(_of_key(key), what, value, query=query), what)

    # Consul itself

    async def version(self) -> tuple[int, ...]:
        """The version of the agent asked, such as (1, 22, 0). Needs `agent:read`."""
        what = "read the version of the agent"
        reply = await self._exchange.ask(Call(method="GET", path="/v1/agent/self", what=what))
        text = _AGENT.read(reply, what).config.version
        found = _VERSION.match(text)
        if found is None:
            raise unusable(reply.where, what, text)
        return tuple(int(part) for part in found.group().split("."))

    async def leader(self) -> str:
        """The leader's address, `host:port` between servers; "" where there is none. Needs no rights."""
        what = "ask for the leader"
        reply = await self._exchange.ask(
            Call(method="GET", path="/v1/status/leader", what=what, query=self._scope(None))
        )
        return TEXT.read(reply, what)

    async def token_self(self) -> TokenSelf | None:
        """The token in use, without its secret; None where ACLs are off: `/v1/acl/token/self`."""
        what = "read the token in use"
        try:
            reply = await self._read("/v1/acl/token/self", what, ONCE)
        except ConsulError as error:
            if error.status == 401 and "ACL support disabled" in str(error):
                return None
            raise
        return TOKEN.read(reply, what)

    # Asking

    async def _read(
        self,
        path: str,
        what: str,
        read: Read,
        query: Sequence[tuple[str, str]] = (),
        *,
        accepted: tuple[int, ...] = (),
    ) -> Reply:
        asked = (*self._scope(read.datacenter), *read.parameters(), *query)
        blocking = read.wait if read.index > 0 else 0.0
        return await self._exchange.ask(
            Call(method="GET", path=path, what=what, query=asked, accepted=accepted, blocking=blocking)
        )

    async def _write(
        self,
        path: str,
        what: str,
        body: bytes = b"",
        *,
        method: str = "PUT",
        query: Sequence[tuple[str, str]] = (),
        accepted: tuple[int, ...] = (),
    ) -> Reply:
        asked = (*self._scope(None), *query)
        return await self._exchange.ask(
            Call(method=method, path=path, what=what, query=asked, body=body, accepted=accepted)
        )

    def _scope(self, datacenter: str | None) -> Parameters:
        """Where in Consul: the datacenter, the namespace and the partition."""
        settings = self._settings
        given: dict[str, Any] = {"dc": datacenter or settings.datacenter}
        given |= {"ns": settings.namespace, "partition": settings.partition}
        return tuple((name, value) for name, value in given.items() if value)


def _duration(seconds: float) -> str:
    """As Go reads it."""
    return f"{round(seconds * 1000)}ms"


def _of_key(key: str) -> str:
    return f"/v1/kv/{quoted(key, '/')}"
