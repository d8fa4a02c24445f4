"""The time to live of the simulated server's sessions: after twice of it, unless renewed, one is invalidated."""

import asyncio

from . import durations
from .sessions import Sessions
from .tables import Json, State

MULTIPLIER = 2
"""How often its time to live a session lives; Consul promises no upper bound, and does it so."""


class Timers:
    """One timer for each session that has a time to live."""

    def __init__(self, state: State, sessions: Sessions) -> None:
        self._state = state
        self._sessions = sessions
        self._running: dict[str, asyncio.TimerHandle] = {}

    def start(self, session: Json) -> None:
        """Count anew."""
        self._stop(session["ID"])
        ttl = durations.seconds(session["TTL"])
        if ttl:
            loop = asyncio.get_running_loop()
            self._running[session["ID"]] = loop.call_later(ttl * MULTIPLIER, self.end, session["ID"])

    def end(self, session_id: str) -> None:
        """Invalidate a session, if it is still there."""
        self._stop(session_id)
        if self._state.sessions.get(session_id) is not None:
            with self._state.write() as at:
                self._sessions.end(at, session_id)

    def stop(self) -> None:
        """End the counting, not the sessions."""
        for session_id in tuple(self._running):
            self._stop(session_id)

    def _stop(self, session_id: str) -> None:
        running = self._running.pop(session_id, None)
        if running is not None:
            running.cancel()
