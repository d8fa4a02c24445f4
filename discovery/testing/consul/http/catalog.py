"""`/v1/txn`, `/v1/catalog` and `/v1/health`."""

from aiohttp import web

from .. import bodies, filters
from ..faults import Faults
from ..reads import Reads
from ..refusals import Refused
from ..registering import Registering
from ..txn import OPERATIONS, Failed, Transactions, is_write
from .answers import ACCESS, Answers, json, narrowing

_DOCS = "https://www.consul.io/docs/agent/config/config-files#txn_max_req_len"


class CatalogRoutes:
    """Nodes, instances and checks: read, and written in transactions or one by one."""

    def __init__(
        self, answers: Answers, reads: Reads, transactions: Transactions, registering: Registering, faults: Faults
    ) -> None:
        self._answers = answers
        self._reads = reads
        self._transactions = transactions
        self._registering = registering
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Which request does what."""
        return [
            web.put("/v1/txn", self._txn),
            web.put("/v1/catalog/register", self._register),
            web.put("/v1/catalog/deregister", self._deregister),
            web.get("/v1/catalog/nodes", self._nodes),
            web.get("/v1/catalog/services", self._services),
            web.get("/v1/catalog/service/{name:.+}", self._instances),
            web.get("/v1/catalog/node/{name:.+}", self._node_map),
            web.get("/v1/catalog/node-services/{name:.+}", self._node_services),
            web.get("/v1/health/service/{name:.+}", self._health),
            web.get("/v1/health/node/{name:.+}", self._node_checks),
            web.get("/v1/health/checks/{name:.+}", self._service_checks),
            web.get("/v1/health/state/{name:.+}", self._checks_in),
        ]

    # Writes

    async def _txn(self, request: web.Request) -> web.Response:
        most, size = self._faults.max_body, request.content_length or 0
        if size > most:
            raise Refused(f"Request body({size} bytes) too large, max size: {most} bytes. See {_DOCS}.", 413)
        body = await request.read()
        if len(body) > most:
            raise Refused(f"Request body too large, max size: {most} bytes. See {_DOCS}.", 413)
        operations = bodies.read(body, list[bodies.Operation], "Failed to parse body")
        if len(operations) > OPERATIONS:
            raise Refused(f"Transaction contains too many operations ({len(operations)} > {OPERATIONS})", 413)
        headers = None if any(map(is_write, operations)) else self._answers.headers(request)
        try:
            results = self._transactions.apply(operations, request[ACCESS])
        except Failed as failed:
            return json({"Results": None, "Errors": failed.errors}, headers, status=409)
        return json({"Results": results, "Errors": None}, headers)

    async def _register(self, request: web.Request) -> web.Response:
        wanted = bodies.read(await request.read(), bodies.Registration, "Request decode failed")
        self._registering.register(wanted, request[ACCESS])
        return json(True)

    async def _deregister(self, request: web.Request) -> web.Response:
        wanted = bodies.read(await request.read(), bodies.Deregistration, "Request decode failed")
        self._registering.deregister(wanted, request[ACCESS])
        return json(True)

    # Reads

    async def _nodes(self, request: web.Request) -> web.Response:
        return await self._answers.read(request, self._reads.nodes(narrowing(request, filters.NODE)))

    async def _services(self, request: web.Request) -> web.Response:
        return await self._answers.read(request, self._reads.services(narrowing(request, filters.SERVICE_NODE)))

    async def _instances(self, request: web.Request) -> web.Response:
        query = self._reads.instances(_name(request), narrowing(request, filters.SERVICE_NODE))
        return await self._answers.read(request, query)

    async def _node_map(self, request: web.Request) -> web.Response:
        query = self._reads.node_services(_name(request), narrowing(request, filters.SERVICE), as_map=True)
        return await self._answers.read(request, query, none=True)

    async def _node_services(self, request: web.Request) -> web.Response:
        query = self._reads.node_services(_name(request), narrowing(request, filters.SERVICE), as_map=False)
        return await self._answers.read(request, query)

    async def _health(self, request: web.Request) -> web.Response:
        return await self._answers.read(request, self._reads.health(_name(request), narrowing(request, filters.ENTRY)))

    async def _node_checks(self, request: web.Request) -> web.Response:
        query = self._reads.node_checks(_name(request), narrowing(request, filters.CHECK))
        return await self._answers.read(request, query)

    async def _service_checks(self, request: web.Request) -> web.Response:
        query = self._reads.service_checks(_name(request), narrowing(request, filters.CHECK))
        return await self._answers.read(request, query)

    async def _checks_in(self, request: web.Request) -> web.Response:
        query = self._reads.checks_in(_name(request), narrowing(request, filters.CHECK))
        return await self._answers.read(request, query)


def _name(request: web.Request) -> str:
    return request.match_info["name"]
