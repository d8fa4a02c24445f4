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


class Noted:
    """What has changed since it was last taken: of each backend only the newest."""

    def __init__(self) -> None:
        self.changed: dict[BackendId, Backend] = {}
        self.removed: dict[BackendId, None] = {}

    def note(self, old: Backend | None, new: Backend | None) -> None:
        """One backend became another, came (`old` is None) or went (`new` is None)."""
        if old is not None and (new is None or old.id != new.id):
            self.changed.pop(old.id, None)
            self.removed[old.id] = None
        if new is not None:
            self.removed.pop(new.id, None)
            self.changed[new.id] = new

    def take(self, withheld: Withheld) -> Delta:
        """All of it, once; `withheld` is of those that changed."""
        delta = Delta(tuple(self.changed.values()), tuple(self.removed), withheld)
        self.changed, self.removed = {}, {}
        return delta


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
