"""Whatever becomes of many requests at once, in whatever order: every count is right, and nothing is left behind.

In virtual time, without sockets: what `handler` would do is drawn.
"""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import aiohttp
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

import discovery
from discovery import Discovery, Hedging, PeakEwma, RetryPolicy
from discovery.integrations import aiohttp as integration

from ...virtual import run

TICK = 0.125
"""Exact in binary, so that things happen at one moment."""

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tries": {"retry": RetryPolicy(per_try_timeout=4 * TICK, connect_timeout=4 * TICK)},
    "deadline": {"retry": RetryPolicy(deadline=8 * TICK)},
    "limited": {"max_in_flight": 4, "max_in_flight_per_backend": 2},
    "learning": {"balancer": PeakEwma()},
    "hedged": {"hedging": Hedging(minimum_delay=2 * TICK, ratio=1)},
    "all": {
        "retry": RetryPolicy(attempts=4, per_try_timeout=4 * TICK, deadline=16 * TICK),
        "hedging": Hedging(minimum_delay=2 * TICK, ratio=1),
        "balancer": PeakEwma(),
        "max_in_flight": 6,
    },
}

ENDS = ("answer", "empty", "busy", "failed", "cut", "refused", "wrong")


@attrs.define(eq=False)
class Connection:
    """What tells when a response is over."""

    callbacks: list[Callable[[], None]] = attrs.field(factory=list)

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)


class Content:
    def exception(self) -> None:
        return None


@attrs.define(eq=False)
class Response:
    """As much of a `ClientResponse` as a middleware sees."""

    status: int
    connection: Connection | None = attrs.field(factory=Connection)
    headers: dict[str, str] = attrs.field(factory=dict)
    content: Content = attrs.field(factory=Content)

    def release(self) -> None:
        connection, self.connection = self.connection, None
        for callback in [] if connection is None else connection.callbacks:
            callback()


@attrs.frozen
class Plan:
    """One request: when it begins, what its attempts come to and after how long, and when its caller goes away."""

    begins: int
    method: str
    attempts: tuple[tuple[int, int, str], ...]
    gives_up: int | None
    reads: int
    words: dict[str, Any]


plans = st.builds(
    Plan,
    begins=st.integers(0, 8),
    method=st.sampled_from(["GET", "POST"]),
    attempts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from(ENDS)), min_size=1).map(tuple),
    gives_up=st.none() | st.integers(0, 20),
    reads=st.integers(0, 6),
    words=st.sampled_from([{}, {}, {"idempotent": True}, {"deadline": 6 * TICK}, {"key": b"k"}]),
)

BROKEN = (aiohttp.ClientError, ValueError)


class Run:
    """The requests of several plans through one middleware."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    async def all(self, plans: list[Plan]) -> None:
        async with Discovery(on_event=lambda event: None) as disco, aiohttp.ClientSession() as http:
            target = "static://10.0.0.1:80,10.0.0.2:80,10.0.0.3:80"
            middleware: Any = disco.middleware(routes={"web": target}, **self._options)
            before = asyncio.all_tasks()
            await asyncio.gather(*(self._one(middleware, http, plan) for plan in plans))
            nodes = disco.pool(target)._membership.nodes
            assert [node.in_flight for node in nodes] == [0, 0, 0]
            assert asyncio.all_tasks() - before <= {asyncio.current_task(), *resolving()}
            assert isinstance(middleware, integration.Middleware)
            (host,) = middleware.finding.directory.hosts.values()
            assert host.pool._held == 0 or not self._options.get("max_in_flight")
            assert host.waiting == 0

    async def _one(self, middleware: Any, http: aiohttp.ClientSession, plan: Plan) -> None:
        await asyncio.sleep(plan.begins * TICK)
        asking = asyncio.create_task(self._ask(middleware, http, plan))
        if plan.gives_up is not None:
            await asyncio.wait([asking], timeout=plan.gives_up * TICK)
            asking.cancel()
        await asyncio.wait([asking])
        if not asking.cancelled():
            error = asking.exception()
            assert error is None or isinstance(error, BROKEN), error

    async def _ask(self, middleware: Any, http: aiohttp.ClientSession, plan: Plan) -> None:
        attempts = iter(plan.attempts)

        async def handler(request: aiohttp.ClientRequest) -> Response:
            connecting, answering, end = next(attempts, (0, 0, "answer"))
            await asyncio.sleep(connecting * TICK)
            if end == "refused":
                raise aiohttp.ConnectionTimeoutError
            request.response = Response(200)  # type: ignore[assignment] # sent
            await asyncio.sleep(answering * TICK)
            if end == "cut":
                raise aiohttp.ServerDisconnectedError
            if end == "wrong":
                raise ValueError("a bug")
            status = {"busy": 503, "failed": 500}.get(end, 200)
            return Response(status, None if end == "empty" else Connection())

        loop = asyncio.get_running_loop()
        request = aiohttp.ClientRequest(plan.method, URL("http://web/a?b"), loop=loop, session=http)
        headers = dict(request.headers)
        try:
            with discovery.options(**plan.words) if plan.words else nullcontext():
                response: Response = await middleware(request, handler)
            try:
                await asyncio.sleep(plan.reads * TICK)
            finally:
                response.release()
        finally:
            assert str(request.url) == "http://web/a?b"
            assert dict(request.headers) == headers


def resolving() -> list["asyncio.Task[Any]"]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("resolve ")]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=100, deadline=None)
@given(plans=st.lists(plans, min_size=1, max_size=12))
def test_any_requests_in_any_order_leave_every_count_at_nothing(way: str, plans: list[Plan]) -> None:
    run(Run(**WAYS[way]).all(plans))


@settings(max_examples=40, deadline=None)
@given(plans=st.lists(plans, min_size=1, max_size=6))
def test_hedges_that_are_sent_leave_nothing_either(plans: list[Plan]) -> None:
    known = Plan(0, "GET", ((0, 1, "empty"),), None, 0, {})
    later = [attrs.evolve(plan, begins=plan.begins + 8) for plan in plans]
    run(Run(hedging=Hedging(minimum_delay=TICK / 2, ratio=1)).all([known] * 110 + later))
