"""`/v1/agent`, `/v1/status`, `/v1/acl` and `/v1/query`: the server itself, its tokens, and prepared queries."""

import uuid

import attrs
from aiohttp import web

from .. import bodies
from ..acl import Tokens
from ..faults import Faults
from ..reads import Reads
from ..refusals import Refused
from ..tables import State
from .answers import ACCESS, Answers, json, number, token


@attrs.frozen(kw_only=True)
class Identity:
    """What the server says of itself."""

    node: str
    datacenter: str
    version: str


class ServerRoutes:
    """What there is besides the catalog and the keys."""

    def __init__(
        self, answers: Answers, state: State, reads: Reads, tokens: Tokens, faults: Faults, identity: Identity
    ) -> None:
        self._answers = answers
        self._state = state
        self._reads = reads
        self._tokens = tokens
        self._faults = faults
        self._identity = identity

    def routes(self) -> list[web.RouteDef]:
        """Which request does what."""
        return [
            web.get("/v1/agent/self", self._self),
            web.get("/v1/status/leader", self._leader),
            web.post("/v1/query", self._create_query),
            web.get("/v1/query/{id}/execute", self._execute_query),
            web.post("/v1/acl/login", self._login),
            web.post("/v1/acl/logout", self._logout),
            web.get("/v1/acl/token/self", self._token),
        ]

    async def _self(self, request: web.Request) -> web.Response:
        identity = self._identity
        request[ACCESS].demand("agent", identity.node, "read")
        config = {
            "Datacenter": identity.datacenter,
            "PrimaryDatacenter": identity.datacenter,
            "NodeName": identity.node,
            "NodeID": "",
            "Revision": "",
            "Server": True,
            "Version": identity.version,
        }
        return json({"Config": config, "Member": {"Name": identity.node, "Addr": "127.0.0.1"}, "Meta": None})

    async def _leader(self, _request: web.Request) -> web.Response:
        return json("" if self._faults.leaderless else "127.0.0.1:8300")

    # Prepared queries

    async def _create_query(self, request: web.Request) -> web.Response:
        wanted = bodies.read(await request.read(), bodies.PreparedQuery, "Request decode failed")
        request[ACCESS].demand("query", wanted.name or "", "write")
        service = {
            "Service": wanted.service.service,
            "OnlyPassing": wanted.service.only_passing,
            "Tags": wanted.service.tags or [],
            "NodeMeta": wanted.service.node_meta or {},
        }
        query_id = str(uuid.uuid4())
        with self._state.write() as at:
            row = {"ID": query_id, "Name": wanted.name or "", "Service": service}
            self._state.queries.put(query_id, {**row, "CreateIndex": at, "ModifyIndex": at})
        return json({"ID": query_id})

    async def _execute_query(self, request: web.Request) -> web.Response:
        limit = number(request.query.get("limit", "0"))
        found = self._reads.prepared(request.match_info["id"], limit, request[ACCESS])
        return json({**found, "Datacenter": self._identity.datacenter}, self._answers.headers(request, index=0))

    # Tokens

    async def _login(self, request: web.Request) -> web.Response:
        self._need_acls()
        wanted = bodies.read(await request.read(), bodies.Login, "Failed to decode request body")
        return json(self._tokens.login(wanted.auth_method, wanted.bearer_token))

    async def _logout(self, request: web.Request) -> web.Response:
        self._need_acls()
        if not token(request):
            raise Refused("Supplied token does not exist", 401)
        self._tokens.logout(token(request))
        return json(True)

    async def _token(self, request: web.Request) -> web.Response:
        self._need_acls()
        return json(self._tokens.described(token(request)))

    def _need_acls(self) -> None:
        if not self._tokens.enabled:
            raise Refused("ACL support disabled", 401)
