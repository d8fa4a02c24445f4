"""One file a way of finding backends, each: target in, backends out.

A resolver finds them and says so to its sink; what is picked, counted and shown is not its affair. Users may write
their own: whatever has `run` can be given to `Discovery.pool` in place of a target.
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from ..model import Backend, BackendId


class Sink(Protocol):
    """Where a resolver tells what it found. Each call is one change: nobody sees half of it."""

    def replace(self, backends: Iterable[Backend]) -> None:
        """These are all there are, and the source speaks."""

    def update(self, changed: Iterable[Backend], removed: Iterable[BackendId]) -> None:
        """These are new or different, and those are gone."""

    def synced(self) -> None:
        """All that is there has been told, and the source speaks (again)."""

    def failed(self, error: Exception, since: float | None = None) -> None:
        """The source cannot be read; what was told holds on. `since` is when it last spoke, in the loop's time."""

    def note(self, error: Exception | None) -> None:
        """What is wrong with what the source says, such as a port that is not there; None when nothing is."""


@runtime_checkable
class Resolver(Protocol):
    """A way of finding backends."""

    async def run(self, sink: Sink) -> None:
        """Tell `sink` what there is, and each change, until cancelled.

        An exception is reported as a failure, and `run` is called again after a pause: it may start from nothing.
        """


__all__ = ["Resolver", "Sink"]
