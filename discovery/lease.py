"""One pick, held for as long as the exchange with the backend takes."""

from collections.abc import Callable  # noqa: TC003 - msgspec reads the annotations
from types import TracebackType
from typing import Self

import msgspec

from .balancing import Node
from .model import Backend

FAILURES: tuple[type[BaseException], ...] = (OSError, TimeoutError, EOFError)
"""What counts as a failure of the backend when it leaves a lease; any other exception only releases it."""


class Lease(msgspec.Struct, gc=False, eq=False):
    """The right to one exchange with `backend`: it counts as load until it is released.

        with pool.pick() as lease:
            ...  # the whole exchange

    `went`: True after a success, False after a failure, None where it says nothing of the backend or is not over.
    `since` is when it began, where somebody (`ended`) wants to know how long it took.

    A Struct, because one is made for each request and this is the cheapest object there is: 0.1 µs, and never a thing
    for the garbage collector to visit.
    """

    node: Node
    failures: tuple[type[BaseException], ...] = FAILURES
    ended: "Callable[[Lease], None] | None" = None
    since: float = 0.0
    held: bool = True
    judged: bool = False
    went: bool | None = None
    retry_after: float | None = None

    @property
    def backend(self) -> Backend:
        """Where to go."""
        return self.node.backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            if issubclass(kind, self.failures):
                self.fail()
            self.judged = True
        if self.held:
            self.release()

    def release(self) -> None:
        """The exchange is over, and went well if nothing else was said. May be called again."""
        if self.held:
            self.held = False
            node = self.node
            if not self.judged:
                self.judged = self.went = True
                node.successes += 1
                if node.consecutive_failures:
                    node.recover()
            node.in_flight -= 1
            if self.ended is not None:
                self.ended(self)

    def fail(
        self, error: BaseException | None = None, *, retry_after: float | None = None, throttled: bool = False
    ) -> None:
        """The backend failed, with this error; it asked for `retry_after` seconds of peace. Counts once.

        `throttled`: all it said is that it gets too many requests (HTTP 429).
        """
        if not self.judged:
            self.judged = True
            self.went = False
            self.retry_after = retry_after
            self.node.fail(throttled=throttled)

    def ignore(self) -> None:
        """Whatever comes of it says nothing of the backend."""
        self.judged = True
