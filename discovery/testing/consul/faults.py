"""What a test can make go wrong at the simulated Consul server."""

import asyncio
from typing import TYPE_CHECKING

import attrs

from .acl import Tokens
from .tables import State

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_ELSEWHERE = "rate limit exceeded, try again later or against a different server"
RETRY_LATER = "rate limit exceeded for operation that can only be performed by the leader, try again later"
NO_LEADER = "No cluster leader"

BODY_LIMIT = 512 * 1024
"""Bytes of a transaction, and of a key's value."""


@attrs.define
class _Planned:
    status: int
    text: str
    left: int | None
    path: str
    method: str

    def fits(self, method: str, path: str) -> bool:
        return path.startswith(self.path) and self.method in ("", method)


class Faults:
    """Set on a `FakeConsul`: `consul.faults.answer(503)`. `heal()` ends all of them."""

    def __init__(self, state: State, tokens: Tokens) -> None:
        self._state = state
        self._tokens = tokens
        self._answers: list[_Planned] = []
        self._lost: list[_Planned] = []
        self._going = asyncio.Event()
        self._going.set()
        self.connections: set[Callable[[], None]] = set()
        self.pause = 0.0
        self.max_body = BODY_LIMIT
        self.leaderless = False
        self.limited = False
        self.incomplete = False

    def answer(
        self, status: int, text: str = "", *, times: int | None = None, path: str = "", method: str = ""
    ) -> None:
        """Answer requests with this and do nothing, the next `times` of them (None: until healed).

        Args:
            status: of HTTP.
            text: the body.
            times: how often.
            path: only those whose path begins so, such as "/v1/txn"; "" is all.
            method: only this one; "" is all.
        """
        self._answers.append(_Planned(status, text, times, path, method))

    def lose_answer(self, *, times: int | None = 1, path: str = "", method: str = "PUT") -> None:
        """Do what is asked, and break the connection instead of an answer: the next `times` (None: until healed)."""
        self._lost.append(_Planned(0, "", times, path, method))

    def hang(self) -> None:
        """Keep every connection open and answer nothing: what a peer that vanished looks like."""
        self._going.clear()

    def resume(self) -> None:
        """End `hang`; what was held back is answered."""
        self._going.set()

    def slow(self, seconds: float) -> None:
        """Wait so long before each request is looked at."""
        self.pause = seconds

    def cut(self) -> None:
        """Reset every open connection, with the blocking queries on them."""
        for end in tuple(self.connections):
            end()

    def no_leader(self) -> None:
        """Have no leader: everything is refused (500), but for stale reads."""
        self.leaderless = True

    def rate_limit(self) -> None:
        """Refuse reads with 429 and writes with 503, as `request_limits` do."""
        self.limited = True

    def deny_service(self, name: str) -> None:
        """Have no token allow to write this service: its operations are refused, in a transaction with 409."""
        self._tokens.denied_services.add(name)

    def filtered(self) -> None:
        """Say of every read that rows were left out for want of rights."""
        self.incomplete = True

    def index_back(self) -> None:
        """Have all content under new and smaller indexes, as a rebuilt server does. Blocking queries end."""
        self._state.renumber()

    def body_limit(self, size: int) -> None:
        """Take no transaction of more bytes (413)."""
        self.max_body = size

    def heal(self) -> None:
        """End all faults."""
        self._answers.clear()
        self._lost.clear()
        self._tokens.denied_services.clear()
        self.pause = 0.0
        self.max_body = BODY_LIMIT
        self.leaderless = self.limited = self.incomplete = False
        self.resume()

    # Asked by the server

    async def going(self) -> None:
        """Wait while it hangs, and as long as it is slow."""
        await self._going.wait()
        if self.pause:
            await asyncio.sleep(self.pause)

    def planned(self, method: str, path: str) -> tuple[int, str] | None:
        """The status and text that were ordered for the next request of this kind."""
        found = _next(self._answers, method, path)
        return None if found is None else (found.status, found.text)

    def loses(self, method: str, path: str) -> bool:
        """Whether the answer to this one is to be lost."""
        return _next(self._lost, method, path) is not None


def _next(planned: list[_Planned], method: str, path: str) -> _Planned | None:
    for one in planned:
        if one.fits(method, path):
            if one.left is not None:
                one.left -= 1
                if one.left <= 0:
                    planned.remove(one)
            return one
    return None
