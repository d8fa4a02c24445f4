"""What every route needs: how a request is read, and how a read is answered."""

from typing import Any

import msgspec
from aiohttp import web

from .. import durations
from ..acl import ANONYMOUS, Access
from ..blocking import WAIT, Query, answered
from ..faults import Faults
from ..filters import Fields, compiled
from ..narrowing import Narrowing
from ..refusals import Refused, quoted
from ..tables import State

ACCESS = web.RequestKey("access", Access)
"""What the token of a request allows."""

_TRUE = ("", "1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Answers:
    """Answers reads of a state, blocking as the request asks."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    async def read(self, request: web.Request, query: Query, *, none: bool = False) -> web.Response:
        """Run a query. Rows that are None are 404, or with `none` the body `null`.

        Raises:
            Refused: the parameters cannot be used (400).
        """
        ask = request.query
        if "stale" in ask and "consistent" in ask:
            raise Refused("Cannot specify ?stale with ?consistent, conflicting semantics.", 400)
        wait = durations.seconds(ask.get("wait", ""))
        if wait is None:
            raise Refused("Invalid wait time", 400)
        if not ask.get("index", "0").isdecimal():
            raise Refused("Invalid index", 400)
        asked = int(ask.get("index", "0"))
        index, rows, filtered = await answered(self._state, query, asked, wait or WAIT, request[ACCESS])
        told = filtered and request[ACCESS].accessor != ANONYMOUS  # who has no token is not told that there is more
        headers = self.headers(request, index=index, filtered=told)
        if rows is None and not none:
            return web.Response(status=404, headers=headers)
        return json(rows, headers)

    def headers(self, request: web.Request, *, index: int | None = None, filtered: bool = False) -> dict[str, str]:
        """What a read says besides its rows; None as its index is a read that has none."""
        leaderless = self._faults.leaderless
        headers = {
            "X-Consul-KnownLeader": "false" if leaderless else "true",
            "X-Consul-LastContact": "5000" if leaderless else "0",
        }
        if index is not None:
            headers["X-Consul-Index"] = str(max(index, 1))  # at 0 a client would never wait
        if request.path.startswith(("/v1/catalog/", "/v1/health/", "/v1/query/")):
            mode = next((mode for mode in ("stale", "consistent") if mode in request.query), "leader")
            headers["X-Consul-Effective-Consistency"] = mode
        if filtered or self._faults.incomplete:
            headers["X-Consul-Results-Filtered-By-ACLs"] = "true"
        return headers


def json(value: Any, headers: dict[str, str] | None = None, status: int = 200) -> web.Response:
    """A value as JSON."""
    body = msgspec.json.encode(value)
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def token(request: web.Request) -> str:
    """The secret that came with a request; "" where none did."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return request.headers.get("X-Consul-Token") or request.query.get("token") or bearer


def number(text: str) -> int:
    """A parameter that is a number; Refused where it is none."""
    if not text.isdecimal():
        raise Refused(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    return int(text)


def narrowing(request: web.Request, fields: Fields) -> Narrowing:
    """Which rows a request asks for, of those that have such fields."""
    ask = request.query
    passing = ask.get("passing", "0")
    if passing not in _TRUE + _FALSE:
        raise Refused("Invalid value for ?passing", 400)
    pairs = [pair.partition(":") for pair in ask.getall("node-meta", [])]
    return Narrowing(
        predicate=compiled(ask.get("filter", ""), fields),
        node_meta=tuple((key, value) for key, _, value in pairs),
        tags=tuple(ask.getall("tag", [])),
        passing=passing in _TRUE,
    )
