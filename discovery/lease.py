"""One pick, held for as long as the exchange with the backend takes."""

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

    A Struct, because one is made for each request and this is the cheapest object there is: 0.1 µs, and never a thing
    for the garbage collector to visit.
    """

    node: Node
    failures: tuple[type[BaseException], ...] = FAILURES
    held: bool = True
    judged: bool = False

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
            node.in_flight -= 1
            if not self.judged:
                self.judged = True
                node.successes += 1
                node.consecutive_failures = 0

    def fail(self, error: BaseException | None = None, *, retry_after: float | None = None) -> None:
        """The backend failed, with this error; it asked for `retry_after` seconds of peace. Counts once."""
        if not self.judged:
            self.judged = True
            self.node.failures += 1
            self.node.consecutive_failures += 1

    def ignore(self) -> None:
        """Whatever comes of it says nothing of the backend."""
        self.judged = True
