"""What the objects of a cluster come to, for one target: the pure part of a way of finding backends."""

from typing import Protocol

import attrs

from ..errors import DiscoveryError
from ..model import Backend, BackendId
from . import NONE_WITHHELD, Remark, Withheld


@attrs.frozen
class Delta:
    """What is different since the last time. `withheld` is of `changed`: see `Sink`."""

    changed: tuple[Backend, ...]
    removed: tuple[BackendId, ...]
    withheld: Withheld = NONE_WITHHELD


class Derived(Protocol):
    """What the objects come to. To be inherited from."""

    unreadable: int = 0
    """Addresses passed over since it was last set to 0, because they cannot be read."""

    def take(self) -> Delta:
        """What changed since it was last asked, once."""

    def problem(self) -> DiscoveryError | None:
        """Why there can be nothing to pick from, or what is wrong with what there is; None where nothing is."""

    def remarks(self) -> tuple[Remark, ...]:
        """What is worth knowing and is no error."""
        return ()
