"""Whether we lead, until when, and who does else: one truth for the tasks of an election and for whoever writes."""

import secrets
import socket
from collections.abc import Callable
from typing import Protocol

from ...errors import ConsulError, DiscoveryError, quote
from ...events import Event, Hook

LONGEST_NAME = 253
"""Characters of a holder's name that are shown."""


CANDIDATE = "candidate"
"""What fails where a candidate cannot ask for the lock, or take it."""


class NotLeading(DiscoveryError):
    """Another bridge acts, or none that is known: no write may be begun."""


def identity() -> str:
    """A name for this process among the candidates: the host's (a pod's is its name), and what makes it unique.

    A container that is restarted keeps its host name, and must not take the lock of its former self for its own.
    """
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Leadership(Protocol):
    """Whether this bridge is the one that acts."""

    @property
    def leading(self) -> bool:
        """Whether it is, right now: judged by the clock at each call, not by what a task has noticed."""
        ...

    @property
    def known(self) -> bool:
        """Whether some leader is known, ourselves included."""
        ...

    @property
    def holder(self) -> str:
        """Who leads, "" where nobody is known to."""
        ...

    @property
    def error(self) -> Exception | None:
        """Why the lock cannot be asked for, taken or renewed, as of the last try; None while it can be."""
        ...

    @property
    def fence(self) -> bytes | None:
        """The operation that must begin each transaction, for a deposed leader's to fail; None where there is none.

        It is to be read once, when a pass is decided on: a later term has another fence.
        """
        ...

    def check(self) -> None:
        """Let a write begin.

        Raises:
            NotLeading: it must not.
        """
        ...

    async def run(self, changed: Callable[[], None]) -> None:
        """Stand for election until cancelled; then give up what is held, within two seconds.

        Args:
            changed: called at each change of `leading`, `known`, `holder` or `error`; must not raise, nor take long.
        """
        ...


class Term:
    """What is known of the election.

    `leading` is judged by the clock at each call: a process that was suspended, or whose loop was stalled, does not
    lead when it wakes up, although no task of its own has run yet.

    Args:
        subject: what is contended for, for events and errors.
        holder: our own name.
        emit: takes `leader.gained`, `leader.lost`, `leader.changed`, `leader.failed`,
            `leader.retry` and `leader.recovered`.
        clock: monotonic, in seconds.
    """

    def __init__(self, subject: str, holder: str, *, emit: Hook, clock: Callable[[], float]) -> None:
        self.subject = subject
        self.own = holder
        self._emit = emit
        self.clock = clock
        self._held = False
        self._until = 0.0
        self._holder = ""
        self._told = ""
        self._failing: dict[str, Exception] = {}
        self.changed: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"<Term {self.subject} leading={self.leading} holder={self.holder!r}>"

    @property
    def leading(self) -> bool:
        """Whether we lead, right now."""
        return self._held and self.clock() < self._until

    @property
    def until(self) -> float:
        """When we stop leading, by the clock, unless that is put off by then."""
        return self._until

    @property
    def holder(self) -> str:
        """Who leads, "" where nobody is known to."""
        if self._held:
            return self.own if self.leading else ""
        return self._holder

    @property
    def error(self) -> Exception | None:
        """What failed last, of all that fails; None while nothing does."""
        return next(reversed(self._failing.values()), None)

    def check(self) -> None:
        """Let a write begin.

        Raises:
            NotLeading: we do not lead.
        """
        if not self.leading:
            other = f"{self._holder} does" if self._holder else "nobody is known to"
            raise NotLeading(
                f"this bridge ({self.own}) does not lead for {self.subject}; {other}",
                next_step="It stands by; what is registered stays as it is",
            )

    def gain(self, until: float) -> None:
        """We lead, until then."""
        self._held, self._until = True, until
        self._holder = self._told = self.own
        self._failing.clear()
        self._emit(Event("leader.gained", self.subject, {"holder": self.own}))
        self.changed()

    def extend(self, until: float) -> None:
        """We lead on, until then."""
        self._until = max(self._until, until)

    def lose(self, reason: str) -> None:
        """We do not lead any more, against our will; nothing where we did not."""
        self._end(Event("leader.lost", self.subject, {"holder": self.own, "reason": reason}))

    def release(self) -> None:
        """We do not lead any more, for this bridge ends; nothing where we did not."""
        self._end(Event("leader.released", self.subject, {"holder": self.own}))

    def _end(self, event: Event) -> None:
        if self._held:
            self._held, self._holder = False, ""
            error = self.error
            self._failing = {} if error is None else {CANDIDATE: error}
            self._emit(event)
            self.changed()

    def see(self, holder: str) -> None:
        """Somebody else leads, or ("") nobody is known to. For a candidate: who leads looks at nobody else."""
        holder = holder if holder.isprintable() and len(holder) <= LONGEST_NAME else quote(holder)
        if holder == self._holder:
            return
        self._holder = holder
        if holder and holder != self._told:
            self._told = holder
            self._emit(Event("leader.changed", self.subject, {"holder": holder}))
        self.changed()

    def failed(self, what: str, error: Exception) -> None:
        """Something failed: told aloud once, until all that failed works again."""
        name = "leader.retry" if self._failing else "leader.failed"
        self._failing.pop(what, None)  # the last is to be the last
        self._failing[what] = error
        reason = error.reason if isinstance(error, ConsulError) else type(error).__name__
        self._emit(Event(name, self.subject, {"error": str(error), "reason": reason}))
        self.changed()

    def worked(self, what: str) -> None:
        """That works (again)."""
        if self._failing.pop(what, None) is not None and not self._failing:
            self._emit(Event("leader.recovered", self.subject))
            self.changed()


class Candidate:
    """Who stands for election, as others see it: all of it is as its term says. To be inherited from."""

    def __init__(self, term: Term) -> None:
        self._term = term

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._term.subject} leading={self.leading} holder={self.holder!r}>"

    @property
    def leading(self) -> bool:
        """Whether we lead. Not so, whatever others say, once no renewal has been acknowledged in time."""
        return self._term.leading

    @property
    def known(self) -> bool:
        """Whether some leader is known."""
        return bool(self.holder)

    @property
    def holder(self) -> str:
        """Who leads, "" where nobody is known to: it is free or has run out, or cannot be asked for."""
        return self._term.holder

    @property
    def error(self) -> Exception | None:
        """Why it cannot be asked for, taken or renewed, as of the last try; None while it can be."""
        return self._term.error

    def check(self) -> None:
        """Let a write begin.

        Raises:
            NotLeading: it must not.
        """
        self._term.check()


def _nothing() -> None:
    """Before anybody wants to know."""
