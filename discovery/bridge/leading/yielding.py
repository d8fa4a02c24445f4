"""When a bridge that cannot read the cluster leaves the lead to one that can. Pure.

Who leads and is blind still keeps what it knows; but another replica may see. It cannot be asked, so the lead is
offered: given up for a moment, in which only those take it who see. Where nobody does, it is taken back.
"""

from typing import Final

PATIENCE: Final = 30.0
"""Seconds of blindness after which the lead is offered: watches break off and come back."""

OFFER: Final = 5.0
"""Seconds for which nobody must have led until a blind bridge takes the lead."""

AGAIN: Final = 300.0
"""Seconds between two offers of one that stays blind."""


class Yielding:
    """Whether a bridge stands for leader.

    Args:
        patience: seconds of blindness after which the lead is offered.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._free_since: float | None = None
        self._offered: float | None = None
        self.at: float | None = None
        """When to ask again, even if nothing happens; None for never."""

    def stands(self, now: float, *, leading: bool, known: bool, silent_for: float) -> bool:
        """Whether it does now.

        Args:
            now: monotonic, in seconds.
            leading: it leads.
            known: somebody is known to lead.
            silent_for: seconds since all that it reads of the cluster was current; 0 while it is.
        """
        if silent_for <= 0:
            self._free_since = self._offered = self.at = None
            return True
        if leading:
            self._free_since = None
            due = now - silent_for + self._patience if self._offered is None else self._offered + AGAIN
            if now < due:
                self.at = due
                return True
            self._offered = now
        if known and not leading:
            self._free_since = self.at = None
            return False
        if self._free_since is None:
            self._free_since = now
        self.at = self._free_since + OFFER
        if now < self.at:
            return False
        self.at = None
        return True
