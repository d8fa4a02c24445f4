"""The simulated Consul server, as a test sees it."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from . import bodies, rows
from .acl import MANAGEMENT, Access, Rules, Tokens
from .api import Api, Asked
from .catalog import Catalog
from .faults import Faults
from .http.answers import Answers
from .http.catalog import CatalogRoutes
from .http.locks import LockRoutes
from .http.server import Identity, ServerRoutes
from .lock_reads import LockReads
from .reads import Reads
from .registering import Registering
from .sessions import Sessions
from .tables import INDEXES, Json, Snapshot, State
from .timers import Timers
from .txn import Transactions

_SOMEBODY = Access("somebody", MANAGEMENT)


class FakeConsul:
    """A Consul server on a loopback socket that behaves as the real one in what discovery needs of it, in memory.

        async with FakeConsul() as consul:
            consul.register(node="db-1", address="10.0.0.7", service="postgres", port=5432, status="passing")
            ... consul.url ...

    It has itself in its catalog, as a real server has: a node with `serfHealth` and the service `consul`. It is alone:
    another datacenter is refused, while namespaces and partitions are taken and make no difference.

    Args:
        acls: True is a server that denies everything to who has no token; `token` may do everything.
        node: its own node's name.
        datacenter: its own.
        version: what `/v1/agent/self` says.
        session_ttl_min: the shortest time to live of a session, in seconds (Consul has 10).
        clock: the time in seconds, for lock delays.

    Attributes:
        faults: what goes wrong.
        state: what is stored, in tables.
        token: of management; "" without ACLs.
        url: where it listens.
    """

    def __init__(
        self,
        *,
        acls: bool = False,
        node: str = "consul-server",
        datacenter: str = "dc1",
        version: str = "1.20.1",
        session_ttl_min: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = state = State()
        self.url = ""
        self._tokens = tokens = Tokens(enabled=acls)
        self.token = tokens.create(MANAGEMENT) if acls else ""
        self.faults = faults = Faults(state, tokens)
        sessions = Sessions(state, clock, session_ttl_min)
        self._timers = Timers(state, sessions)
        self._catalog = Catalog(state, sessions)
        self._registering = Registering(state, self._catalog, datacenter)
        self._reads = reads = Reads(state)
        answers = Answers(state, faults)
        transactions = Transactions(state, self._catalog, sessions, datacenter)
        identity = Identity(node=node, datacenter=datacenter, version=version)
        routes = [
            *CatalogRoutes(answers, reads, transactions, self._registering, faults).routes(),
            *LockRoutes(answers, state, LockReads(state), sessions, self._timers, faults, node=node).routes(),
            *ServerRoutes(answers, state, reads, tokens, faults, identity).routes(),
        ]
        self._api = Api(routes, faults, tokens, datacenter)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.register(node=node, address="127.0.0.1", service="consul", port=8300)
        self.set_check(node, "serfHealth", "passing", name="Serf Health Status")

    def __repr__(self) -> str:
        state = self.state
        size = f"{len(state.nodes.rows)} nodes {len(state.services.rows)} instances"
        return f"<FakeConsul {self.url or 'not started'} {size}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, again on the same port if it was stopped. Sessions begin their time anew, as after an election."""
        if self._runner is not None:
            return
        runner = web.AppRunner(
            self._api.application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=0,
            max_line_size=2**20,
            handler_cancellation=True,
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024, reuse_address=True).start()
        self._port = int(runner.addresses[0][1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._runner = runner
        for session in self.state.sessions.all():
            self._timers.start(session)

    async def stop(self) -> None:
        """Be gone: connections are reset, new ones are refused. What is stored stays."""
        runner, self._runner = self._runner, None
        self._timers.stop()
        if runner is None:
            return
        for site in tuple(runner.sites):
            await site.stop()
        if runner.server is not None:
            for connection in runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        await runner.cleanup()

    # What was asked

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request that reached the server. The list may be cleared."""
        return self._api.asked

    @property
    def writes(self) -> int:
        """How many of them were transactions, or other writes to the catalog."""
        return self._api.writes

    def on_request(self, look: Callable[[Asked], None]) -> None:
        """Call this with every request, before it is answered."""
        self._api.listeners.add(look)

    # What somebody else does

    def register(
        self,
        *,
        node: str,
        address: str = "127.0.0.1",
        node_meta: Mapping[str, str] | None = None,
        service: str = "",
        id: str = "",  # noqa: A002 - as Consul calls it
        service_address: str = "",
        port: int = 0,
        tags: Sequence[str] | None = None,
        meta: Mapping[str, str] | None = None,
        weights: tuple[int, int] | None = None,
        status: str = "",
    ) -> None:
        """Write a node and, if it is named, an instance on it, with a check where there is a status.

        Args:
            node: on which.
            address: the node's.
            node_meta: the node's.
            service: the instance's service; "" writes the node alone.
            id: the instance's; "" is the service's name.
            service_address: the instance's own; "" is that of its node.
            port: the instance's.
            tags: the instance's.
            meta: the instance's.
            weights: the instance's, while it passes and while it warns.
            status: of the instance's check `service:ID`, or without an instance of the node's, `node`.
        """
        registration = bodies.Registration(
            node=node, address=address, node_meta=None if node_meta is None else dict(node_meta)
        )
        if service:
            registration.service = bodies.Service(
                id=id,
                service=service,
                address=service_address,
                port=port,
                tags=None if tags is None else list(tags),
                meta=None if meta is None else dict(meta),
                weights=None if weights is None else bodies.Weights(*weights),
            )
        if status:
            service_id = id or service
            check_id = f"service:{service_id}" if service else "node"
            registration.check = bodies.Check(check_id=check_id, name=check_id, status=status, service_id=service_id)
        self._registering.register(registration, _SOMEBODY)

    def set_check(self, node: str, id: str, status: str, *, instance: str = "", name: str = "") -> None:  # noqa: A002
        """Write a check of a node, or of an instance on it; KeyError where there is no such node or instance."""
        if instance:
            self.state.services.rows[node.lower(), instance.lower()]
        self.state.nodes.rows[node.lower()]
        check = bodies.Check(node=node, check_id=id, name=name or id, status=status, service_id=instance)
        with self.state.write() as at:
            self._catalog.put_check(at, rows.check_row(check, node, in_transaction=False))

    def deregister(self, *, node: str, id: str = "", check: str = "") -> None:  # noqa: A002
        """Remove an instance by its id, or a check, or the whole node."""
        self._registering.deregister(bodies.Deregistration(node=node, service_id=id, check_id=check), _SOMEBODY)

    def expire_session(self, session: str) -> None:
        """Invalidate a session at once, as after twice its time to live; KeyError where there is none."""
        self.state.sessions.rows[session]
        self._timers.end(session)

    # Tokens

    def create_token(self, rules: Rules) -> str:
        """A new token that allows so much; gives its secret."""
        return self._tokens.create(rules)

    def revoke_token(self, token: str) -> None:
        """Delete a token; KeyError where there is none."""
        self._tokens.revoke(token)

    def trust(self, method: str, bearer: str, rules: Rules) -> None:
        """Have an auth method give tokens that allow so much to who logs in with this bearer token."""
        self._tokens.trust(method, bearer, rules)

    # What is there

    def services(self) -> dict[str, tuple[str, ...]]:
        """Names of the services, and the ids of their instances."""
        found: dict[str, tuple[str, ...]] = {}
        for row in self.state.services.all():
            found[row["Service"]] = (*found.get(row["Service"], ()), row["ID"])
        return found

    def instances(self, service: str) -> list[Json]:
        """The instances of a service, each with `Node`, `Service` and `Checks`, as `/v1/health/service` has them."""
        return [self._reads.entry(key) for key in self.state.services.keys_by("service", service.lower())]

    def dump(self, *, volatile: bool = True) -> Json:
        """All that is stored, by name: nodes with their services and checks, keys and sessions.

        Args:
            volatile: with the indexes. Without them, two dumps are equal when the content is.
        """
        state = self.state

        def shown(row: Json) -> Json:
            return {name: value for name, value in row.items() if volatile or name not in INDEXES}

        nodes = {
            row["Node"]: shown(row)
            | {
                "Services": {one["ID"]: shown(one) for one in state.services.by("node", key)},
                "Checks": {one["CheckID"]: shown(one) for one in state.checks.by("node", key)},
            }
            for key, row in sorted(state.nodes.rows.items())
        }
        return {
            "nodes": nodes,
            "keys": {row["Key"]: shown(row) for row in state.keys.all()},
            "sessions": {row["ID"]: shown(row) for row in state.sessions.all()},
        }

    def snapshot(self) -> Snapshot:
        """What is stored, for `restore`."""
        return self.state.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Be as then: the indexes of answers go back, blocking queries end."""
        self.state.restore(snapshot)
