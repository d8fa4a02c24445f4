"""One file a way of finding backends, each: target in, backends out.

A resolver finds them and says so to its sink; what is picked, counted and shown is not its affair. Users may write
their own: whatever has `run` can be given to `Discovery.pool` in place of a target.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import attrs

from ..model import Backend, BackendId

Withheld = Mapping[BackendId, str]
"""Backends that are known but must not be picked, and why."""

NONE_WITHHELD: Withheld = {}


@attrs.frozen
class Remark:
    """Something that is worth knowing about a target and is no error; with `warning` it is said aloud, once."""

    text: str
    warning: bool = False


class Sink(Protocol):
    """Where a resolver tells what it found. Each call is one change: nobody sees half of it.

    `withheld` names those of the backends told in the same call that are shown but not picked, and why: by a policy,
    or for a fault of their own. One that is told again without it may be picked again.
    """

    def replace(self, backends: Iterable[Backend], withheld: Withheld = NONE_WITHHELD) -> None:
        """These are all there are, and the source speaks."""

    def update(
        self, changed: Iterable[Backend], removed: Iterable[BackendId], withheld: Withheld = NONE_WITHHELD
    ) -> None:
        """These are new or different, and those are gone."""

    def synced(self) -> None:
        """All that is there has been told, and the source speaks (again)."""

    def failed(self, error: Exception, since: float | None = None) -> None:
        """The source cannot be read; what was told holds on. `since` is when it last spoke, in the loop's time."""

    def note(self, error: Exception | None) -> None:
        """What is wrong with what the source says, such as a port that is not there; None when nothing is."""

    def remark(self, remarks: tuple[Remark, ...]) -> None:
        """What is worth knowing and is no error: all that holds now."""


@runtime_checkable
class Resolver(Protocol):
    """A way of finding backends."""

    async def run(self, sink: Sink) -> None:
        """Tell `sink` what there is, and each change, until cancelled.

        An exception is reported as a failure, and `run` is called again after a pause: it may start from nothing.
        """


__all__ = ["NONE_WITHHELD", "Remark", "Resolver", "Sink", "Withheld"]
