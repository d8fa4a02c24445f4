"""A Consul server under test, spoken to in plain HTTP: nothing of discovery is between the test and the wire."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import attrs

Json = dict[str, Any]

Rules = Mapping[str, Mapping[str, str]]
"""By resource, prefixes of names and what of them is allowed: `{"service": {"web": "write"}}`."""

_names = itertools.count(1)


@attrs.frozen
class Answer:
    """A status and what came with it; a body that is no JSON is its text."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def index(self) -> int:
        """X-Consul-Index."""
        return int(self.headers["X-Consul-Index"])

    @property
    def errors(self) -> list[tuple[int, str]]:
        """Of a transaction that was refused: which operation, and why."""
        assert self.status == 409, self
        assert self.body["Results"] is None
        return [(error["OpIndex"], error["What"]) for error in self.body["Errors"]]

    @property
    def results(self) -> list[Json]:
        """Of a transaction that was applied."""
        assert self.status == 200, self
        assert self.body["Errors"] is None
        return list(self.body["Results"])


@attrs.define
class Consul:
    """Where the server is. Names that a test makes up with `name` are its own, on a server that others use too."""

    url: str
    token: str
    node: str
    http: aiohttp.ClientSession
    make_token: Callable[[Rules], Awaitable[str]]

    def name(self, stem: str) -> str:
        """One that no other test uses."""
        return f"{stem}-{next(_names)}"

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, **query: Any) -> Answer:
        """One request; a body that is bytes is sent as it is."""
        secret = self.token if token is None else token
        headers = {"X-Consul-Token": secret} if secret else {}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = self.http.request(method, self.url + path, headers=headers, params=query, data=data)
        async with asyncio.timeout(20), sent as response:
            text = await response.text()
            try:
                read = json.loads(text)
            except ValueError:
                read = text
            return Answer(response.status, read, response.headers)

    async def get(self, path: str, **query: Any) -> Answer:
        """A read."""
        return await self.ask("GET", path, **query)

    async def txn(self, *operations: Json, token: str | None = None) -> Answer:
        """A transaction."""
        return await self.ask("PUT", "/v1/txn", list(operations), token=token)

    async def session(self, **body: Any) -> str:
        """A new session's id; without checks and lock delay unless they are given."""
        made = await self.ask("PUT", "/v1/session/create", {"NodeChecks": [], "LockDelay": "0s", **body})
        assert made.status == 200, made
        return str(made.body["ID"])


def node(name: str, verb: str = "set", **fields: Any) -> Json:
    """An operation on a node."""
    return {"Node": {"Verb": verb, "Node": {"Node": name, "Address": "10.0.0.1", **fields}}}


def service(on: str, service_id: str, name: str, verb: str = "set", **fields: Any) -> Json:
    """An operation on an instance."""
    return {"Service": {"Verb": verb, "Node": on, "Service": {"ID": service_id, "Service": name, **fields}}}


def check(on: str, check_id: str, verb: str = "set", **fields: Any) -> Json:
    """An operation on a check."""
    return {"Check": {"Verb": verb, "Check": {"Node": on, "CheckID": check_id, "Name": check_id, **fields}}}


def key(verb: str, name: str, **fields: Any) -> Json:
    """An operation on a key."""
    return {"KV": {"Verb": verb, "Key": name, **fields}}
