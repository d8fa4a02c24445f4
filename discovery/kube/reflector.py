"""List and watch as a state machine: what to ask the API server next, and when.

Pure: the driver (`informer`) does the asking, tells what came of it, and gets the next thing to do. Objects never
come here, only versions and outcomes. The rules are client-go's (tools/cache/reflector.go); where theirs and the
published checklists differ, the stricter was taken:

- The first list may be answered from the watch cache (version "0"), no later one may: that would be time travel.
- A version the server calls expired, or too new, is never asked for again: the next list is of the latest ("").
- A watch that ends in peace is taken up where it ended. One that ends at once with nothing said is a failure, and
  the list is read again: some servers close a stream with an expired version instead of answering 410.
- Being refused (connection, 429) costs a pause and no list; an error within a watch, or a failure of the server to
  start one, costs a list.
- There is a pause after every failure, and it grows until there has been calm.
"""

import random
from typing import Literal

import attrs

LATEST = ""
ANY = "0"

SHORT_WATCH = 1.0
"""Seconds. A watch over sooner than this without an event is a failure (client-go: VeryShortWatchError)."""

CALM = 120.0
"""Seconds of health after which the pauses start from the smallest again (client-go: backoff reset)."""

WATCH_SECONDS = (300, 600)
"""Range of a watch's length as asked for, drawn evenly so that clients part (client-go: minWatchTimeout)."""


@attrs.frozen
class Backoff:
    """Pauses of U(0, min(cap, base·2^n)) seconds: exponential with full jitter."""

    base: float
    cap: float

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after the `failures`-th failure in a row (from 1)."""
        return rng.uniform(0, min(self.cap, self.base * 2.0 ** min(failures - 1, 32)))

    def pause(self, failures: int, retry_after: float | None, rng: random.Random) -> float:
        """The same after what the server asked for, of which no more than the cap is granted."""
        return self.delay(failures, rng) + min(retry_after or 0.0, self.cap)


UNREACHABLE = Backoff(base=0.2, cap=5.0)
"""Nobody answers: asking costs the server nothing, and it should be found again soon after its return."""

REFUSED = Backoff(base=0.8, cap=30.0)
"""It answers 429, 5xx or 403: client-go's figures."""

Phase = Literal["list", "watch"]

Failure = Literal["unreachable", "busy", "error", "denied", "expired"]
"""Why something failed: no connection or a cut one; 429; 5xx or nonsense; 401, 403 or 404; the version is gone."""


@attrs.frozen
class State:
    """Where a reflector stands.

    `version` is the newest collection version known; `synced` is whether a list has ever been complete;
    `relist_latest` remembers that the version is not to be trusted for the next list. `expiries`, `unreachable` and
    `failures` count since there was calm: versions that were gone, a server that was not there, all else.
    """

    phase: Phase = "list"
    version: str = ANY
    synced: bool = False
    relist_latest: bool = False
    expiries: int = 0
    unreachable: int = 0
    failures: int = 0


@attrs.frozen
class Listed:
    """A list was read to its end and taken over; `version` is the list's own."""

    version: str


@attrs.frozen
class Ended:
    """A watch ended without an error, after `lasted` seconds and with or without anything heard.

    `due` is whether the list should be read again all the same: a reconciliation.
    """

    version: str
    lasted: float
    heard: bool
    due: bool = False


@attrs.frozen
class Failed:
    """The list or watch failed. `version` is the newest seen before it; `lasted` how long a watch had stood."""

    failure: Failure
    version: str
    lasted: float = 0.0
    retry_after: float | None = None


@attrs.frozen
class List:
    """Read the collection at `version` after `delay` seconds."""

    version: str
    delay: float = 0.0


@attrs.frozen
class Watch:
    """Watch from `version` for at most `seconds`, after `delay` seconds."""

    version: str
    seconds: int
    delay: float = 0.0


Outcome = Listed | Ended | Failed
Effect = List | Watch


def start(state: State, rng: random.Random) -> Effect:
    """What a reflector in this state does, without a pause."""
    if state.phase == "watch":
        return Watch(state.version, rng.randint(*WATCH_SECONDS))
    if state.relist_latest:
        return List(LATEST)
    return List(state.version if state.synced else ANY)


def step(state: State, outcome: Outcome, rng: random.Random) -> tuple[State, Effect]:
    """The next state and what to do in it. Total: every outcome is right in every phase."""
    if isinstance(outcome, Listed):
        state = attrs.evolve(state, phase="watch", version=outcome.version, synced=True, relist_latest=False)
        return state, start(state, rng)
    if outcome.lasted >= CALM:
        state = attrs.evolve(state, failures=0, unreachable=0, expiries=0)
    return _ended(state, outcome, rng) if isinstance(outcome, Ended) else _failed(state, outcome, rng)


def _ended(state: State, outcome: Ended, rng: random.Random) -> tuple[State, Effect]:
    state = attrs.evolve(state, version=outcome.version)
    if outcome.lasted >= SHORT_WATCH:
        if outcome.due:
            state = attrs.evolve(state, phase="list")
        return state, start(state, rng)
    if outcome.heard:
        return _pause(state, UNREACHABLE, None, rng)
    return _pause(attrs.evolve(state, phase="list"), REFUSED, None, rng)


def _failed(state: State, outcome: Failed, rng: random.Random) -> tuple[State, Effect]:
    if outcome.failure == "expired":
        # The first time the latest is read at once: nothing is wrong with the server. Again, and there is.
        state = attrs.evolve(state, phase="list", relist_latest=True, expiries=state.expiries + 1)
        if state.expiries == 1:
            return state, start(state, rng)
        return state, attrs.evolve(start(state, rng), delay=REFUSED.delay(state.expiries - 1, rng))
    state = attrs.evolve(state, version=outcome.version)
    if outcome.failure == "unreachable":
        return _pause(state, UNREACHABLE, None, rng)
    if outcome.failure != "busy":
        state = attrs.evolve(state, phase="list")
    return _pause(state, REFUSED, outcome.retry_after, rng)


def _pause(state: State, backoff: Backoff, retry_after: float | None, rng: random.Random) -> tuple[State, Effect]:
    """One more failure, and the wait for it: at least what the server asked for, within the cap."""
    if backoff is UNREACHABLE:
        state = attrs.evolve(state, unreachable=state.unreachable + 1)
        failures = state.unreachable
    else:
        state = attrs.evolve(state, failures=state.failures + 1)
        failures = state.failures
    return state, attrs.evolve(start(state, rng), delay=backoff.pause(failures, retry_after, rng))
