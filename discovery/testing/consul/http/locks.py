"""`/v1/kv` and `/v1/session`: what a lock is made of."""

import base64
from collections.abc import Mapping

from aiohttp import web

from .. import bodies, rows
from ..catalog import may_set
from ..faults import Faults
from ..lock_reads import LockReads
from ..refusals import Refused
from ..sessions import Sessions, drop_key, lock_key, put_key, unlock_key
from ..tables import Json, State
from ..timers import Timers
from .answers import ACCESS, Answers, json, number


class LockRoutes:
    """Keys, and the sessions that hold them. `node` is where a session belongs that does not say."""

    def __init__(
        self,
        answers: Answers,
        state: State,
        reads: LockReads,
        sessions: Sessions,
        timers: Timers,
        faults: Faults,
        *,
        node: str,
    ) -> None:
        self._answers = answers
        self._state = state
        self._reads = reads
        self._sessions = sessions
        self._timers = timers
        self._faults = faults
        self._node = node

    def routes(self) -> list[web.RouteDef]:
        """Which request does what."""
        return [
            web.get("/v1/kv/{key:.*}", self._get),
            web.put("/v1/kv/{key:.*}", self._put),
            web.delete("/v1/kv/{key:.*}", self._delete),
            web.put("/v1/session/create", self._create),
            web.put("/v1/session/destroy/{id}", self._destroy),
            web.put("/v1/session/renew/{id}", self._renew),
            web.get("/v1/session/info/{id}", self._session),
            web.get("/v1/session/list", self._session_list),
        ]

    # Keys

    async def _get(self, request: web.Request) -> web.Response:
        key, ask = request.match_info["key"], request.query
        if "keys" in ask:
            return await self._answers.read(request, self._reads.key_names(key))
        if "recurse" in ask:
            return await self._answers.read(request, self._reads.keys(key))
        if not key:
            raise Refused("Missing key name", 400)
        response = await self._answers.read(request, self._reads.key(key, request[ACCESS]))
        row = self._state.keys.get(key)
        if "raw" in ask and response.status == 200 and row is not None:
            headers = {name: value for name, value in response.headers.items() if name.startswith("X-Consul")}
            return web.Response(body=base64.b64decode(row["Value"] or ""), headers=headers, content_type="text/plain")
        return response

    async def _put(self, request: web.Request) -> web.Response:
        key, ask = request.match_info["key"], request.query
        if not key:
            raise Refused("Missing key name", 400)
        _one_of(request, "cas", "acquire", "release")
        row = {"Key": key, "Flags": number(ask.get("flags", "0")), "Value": None}
        index = number(ask.get("cas", "0"))
        value = await request.read()
        if len(value) > self._faults.max_body:
            raise Refused(f"Request body({len(value)} bytes) too large, max size: {self._faults.max_body} bytes.", 413)
        request[ACCESS].demand("key", key, "write")
        if "acquire" in ask and self._sessions.delayed(key):
            return json(False)
        row["Value"] = base64.b64encode(value).decode() or None
        try:
            with self._state.write() as at:
                return json(self._written(at, row, ask, index))
        except Refused as refused:
            raise Refused(f"raft apply failed: {refused.what}") from None

    def _written(self, at: int, row: Json, ask: Mapping[str, str], index: int) -> bool:
        if "acquire" in ask:
            return lock_key(self._state, at, row, ask["acquire"]) is not None
        if "release" in ask:
            return unlock_key(self._state, at, row, ask["release"]) is not None
        if "cas" in ask and not may_set(self._state.keys.get(row["Key"]), index):
            return False
        put_key(self._state, at, row)
        return True

    async def _delete(self, request: web.Request) -> web.Response:
        key, ask, state = request.match_info["key"], request.query, self._state
        _one_of(request, "recurse", "cas")
        if not key and "recurse" not in ask:
            raise Refused("Missing key name", 400)
        index = number(ask.get("cas", "0"))
        request[ACCESS].demand("key", key, "write")
        with state.write() as at:
            stored = state.keys.get(key)
            if "cas" in ask and stored is not None and stored["ModifyIndex"] != index:
                return json(False)
            doomed = [name for name in state.keys.rows if name.startswith(key)] if "recurse" in ask else [key]
            for name in doomed:
                drop_key(state, at, name)
        return json(True)

    # Sessions

    async def _create(self, request: web.Request) -> web.Response:
        wanted = bodies.read(await request.read() or b"{}", bodies.Session, "Request decode failed")
        row = rows.session_row(wanted, self._node)
        request[ACCESS].demand("session", row["Node"], "write")
        with self._state.write() as at:
            made = self._sessions.begin(at, row)
        self._timers.start(made)
        return json({"ID": made["ID"]})

    async def _destroy(self, request: web.Request) -> web.Response:
        session = self._state.sessions.get(request.match_info["id"])
        if session is not None:
            request[ACCESS].demand("session", session["Node"], "write")
            self._timers.end(session["ID"])
        return json(True)

    async def _renew(self, request: web.Request) -> web.Response:
        session_id = request.match_info["id"]
        session = self._state.sessions.get(session_id)
        if session is None:
            raise Refused(f"Session id '{session_id}' not found", 404)
        request[ACCESS].demand("session", session["Node"], "write")
        self._timers.start(session)
        return json([session])

    async def _session(self, request: web.Request) -> web.Response:
        return await self._answers.read(request, self._reads.session(request.match_info["id"]))

    async def _session_list(self, request: web.Request) -> web.Response:
        return await self._answers.read(request, self._reads.sessions())


def _one_of(request: web.Request, *flags: str) -> None:
    if sum(flag in request.query for flag in flags) > 1:
        raise Refused(f"Conflicting flags: {'&'.join(sorted(request.query_string.split('&')))}\n", 400)
