"""What a check has found. Pure."""

from typing import Literal

import attrs

from ..errors import DiscoveryError

State = Literal["ok", "warning", "failed", "skipped"]


@attrs.frozen(kw_only=True)
class Finding:
    """What a check has found.

    Attributes:
        name: of the check; "" until it has one.
        state: "ok"; "warning" where it works, but not as well as it could; "failed"; "skipped", not looked
            at.
        seen: in one sentence, without a secret.
        next_step: what to do about it, "" where that is nothing.
        error: why it failed; None where it did not.
    """

    state: State
    seen: str
    next_step: str = ""
    name: str = ""
    error: DiscoveryError | None = attrs.field(default=None, repr=False, eq=False)

    def as_json(self) -> dict[str, str]:
        """For a program."""
        return {"name": self.name, "state": self.state, "seen": self.seen, "next_step": self.next_step}


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(state="ok", seen=seen)


def warning(seen: str, next_step: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(state="warning", seen=seen, next_step=next_step)


def skipped(seen: str, next_step: str = "") -> Finding:
    """It was not looked at, for this reason."""
    return Finding(state="skipped", seen=seen, next_step=next_step)


def failed(error: DiscoveryError) -> Finding:
    """It does not work: the error's message and its next step, apart."""
    seen = str(error).removesuffix(f". {error.next_step}") if error.next_step else str(error)
    return Finding(state="failed", seen=seen, next_step=error.next_step, error=error)
