"""One request of a program, in as many attempts as it takes."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import attrs
import httpx

from ...attempts import Rules
from ...balancing import Key, Node
from ...caller import Options
from ...calling import call
from ...lease import Lease
from ...pool import Pool
from .. import directory
from ..http import announced, is_idempotent, judge_backend, unwanted
from ..places import Places
from .attempt import Body, Progress, failed
from .errors import judge, judge_once


def _url(scheme: str, node: Node, raw_path: bytes) -> httpx.URL:
    """Httpx takes 30 µs to make one, a tenth of what it needs for all else: so they are kept."""
    return httpx.URL(scheme=scheme, host=node.backend.address, port=node.backend.port, raw_path=raw_path)


@attrs.define(eq=False, kw_only=True)
class Host(directory.Host):
    """A host, with the rules of its attempts and its URLs at each backend."""

    rules: Rules = attrs.field(init=False)
    places: Places[bytes, httpx.URL] = attrs.field(init=False)

    def use(self, pool: Pool) -> None:
        """Pick from this pool from now on."""
        super().use(pool)
        self.rules = attrs.evolve(pool.rules(judge), discard=httpx.Response.aclose)
        self.places = Places(partial(_url, self.scheme))


class Directory(directory.Directory[Host]):
    """The hosts that a transport has met."""

    kind: ClassVar[type[directory.Host]] = Host


@attrs.define(eq=False)
class Delivery:
    """A request for a host.

    `transport` sends it to a backend, and `tells` of its steps, as httpcore does. `asked`: what the program says of it
    with `discovery.options`. `end`: when the time for all of it is over, in the loop's time.
    """

    transport: httpx.AsyncBaseTransport
    tells: bool
    request: httpx.Request
    host: Host
    key: Key
    asked: Options | None
    end: float | None

    async def send(self, first: Node) -> httpx.Response:
        """Make every attempt, the first at this backend."""
        return await call(
            self._attempt,
            self.host.pool.lease(first),
            self._pick_other,
            idempotent=is_idempotent(self.request.method, self.request.headers, self.asked),
            rules=self.host.rules if self._replays else attrs.evolve(self.host.rules, judge=judge_once, latencies=None),
            end=self.end,
        )

    @property
    def _replays(self) -> bool:
        """Whether the body is in memory: one that is made as it is read cannot be sent by two, nor twice."""
        return isinstance(self.request.stream, httpx.ByteStream)

    def _pick_other(self, tried: Sequence[Node]) -> Lease:
        return self.host.pool.pick_other(tried, self.key)

    async def _attempt(self, lease: Lease, number: int) -> httpx.Response:
        trace = self.request.extensions.get("trace")
        progress = Progress(self._limit, self.end, trace, tells=self.tells)
        try:
            request = self._addressed(lease.node, number)
            if self._limit() is not None:
                request.extensions["trace"] = progress
            async with progress.limit:
                response = await self.transport.handle_async_request(request)
        except BaseException as error:  # noqa: BLE001 - it ends in a raise
            late = isinstance(error, TimeoutError) and progress.limit.expired()
            raise failed(lease, progress.late(lease.backend.netloc, self.host.name) if late else error)  # noqa: B904
        return self._answered(response, lease)

    def _answered(self, response: httpx.Response, lease: Lease) -> httpx.Response:
        """The headers are there. Until the body has been closed, the backend works."""
        judge_backend(lease, response.status_code, response.headers)
        self.host.pool.answered(lease)
        if response.is_closed:  # read already, as a transport that keeps answers has it: nobody will close it again
            lease.release()
        else:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = Body(response.stream, lease)
        statuses = self.host.options.retry.statuses
        asking = unwanted(response, response.status_code, response.headers, statuses) if self._replays else None
        if asking is not None:
            raise asking
        return response

    def _addressed(self, node: Node, number: int) -> httpx.Request:
        """The request as it goes to the backend: by its address, with all else as the program and the name have it."""
        request, host = self.request, self.host
        extensions = {**request.extensions, "timeout": self._timeouts()}
        if host.certified is not None:
            extensions.setdefault("sni_hostname", host.certified)
        headers = httpx.Headers(request.headers)
        headers.update(announced(number, None if self.end is None else self.end - host.loop.time()))
        place = host.places[node, request.url.raw_path]
        return httpx.Request(request.method, place, headers=headers, stream=request.stream, extensions=extensions)

    def _timeouts(self) -> dict[str, float | None]:
        """The program's limits of time, with ours on connecting where that is less."""
        given: dict[str, float | None] = dict(self.request.extensions.get("timeout") or {})
        ours, theirs = self.host.options.retry.connect_timeout, given.get("connect")
        return {**given, "connect": ours if theirs is None else min(ours, theirs)}

    def _limit(self) -> float | None:
        return self.host.rules.limit(self.end)
