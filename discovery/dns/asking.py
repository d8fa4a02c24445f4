"""Asks for one absolute name: one server after the other, and along aliases.

It imports dnspython, which takes a while: import this module where names are looked up, not before.
"""

import asyncio

import attrs

from ..errors import ResolutionError
from . import reading
from .answers import ABSENT, Answer, Kind
from .exchange import NoName, Unreadable, ask
from .resolv_conf import ResolvConf, Server

AT_ONCE = 64
"""Questions that wait for their answers at once, of one Discovery: each holds a socket."""

AVOIDED = 30.0
"""Seconds for which a server that did not answer is asked after the others."""

MOST_ALIASES = 8
"""Questions along one chain of aliases. A recursive server follows them itself: one is the rule."""


class Asking:
    """Bounds how much is asked at once, and remembers which servers are silent. Belongs to one event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._silent_at: dict[Server, float] = {}

    async def find(self, name: str, kind: Kind, servers: tuple[Server, ...], conf: ResolvConf) -> Answer:
        """The records of an absolute name, written without its last dot, or of that which it is an alias for.

        Raises:
            ResolutionError: there are none, or no server would say.
        """
        ttl, last = float("inf"), name
        for _ in range(MOST_ALIASES):
            try:
                answer = await self._any(last, kind, servers, conf)
            except reading.Elsewhere as alias:
                ttl, last = min(ttl, alias.ttl), alias.name
            else:
                return attrs.evolve(answer, ttl=min(answer.ttl, ttl))
        raise reading.unusable(name, kind, reading.LOOPING)

    async def _any(self, name: str, kind: Kind, servers: tuple[Server, ...], conf: ResolvConf) -> Answer:
        """What the first server says that knows.

        Those that are silent are asked again, as often as resolv.conf has it; those that fail are not.
        """
        left = self._silent_last(servers)
        wrong: ResolutionError | None = None
        for _ in range(conf.attempts):
            for server in tuple(left):
                found = await self._one(name, kind, server, conf.timeout)
                if isinstance(found, Answer):
                    return found
                wrong = found
                if found.reason != "timeout":
                    left.remove(server)
        assert wrong is not None
        raise wrong

    async def _one(self, name: str, kind: Kind, server: Server, timeout: float) -> Answer | ResolutionError:
        """What one server says; as an error that is returned, why it says nothing."""
        try:
            async with self._turns, asyncio.timeout(timeout):
                message = await ask(name, kind, server)
        except TimeoutError:
            self._silent_at[server] = asyncio.get_running_loop().time()
            return reading.silent(name, kind, server, timeout)
        except OSError as error:
            return reading.unreached(name, kind, server, error)
        except Unreadable as error:
            return reading.unusable(name, kind, str(error))
        except NoName as error:
            return reading.impossible(name, str(error))
        self._silent_at.pop(server, None)
        try:
            return reading.read(message, name, kind, server)
        except ResolutionError as error:
            if error.reason in ABSENT:
                raise
            return error

    def _silent_last(self, servers: tuple[Server, ...]) -> list[Server]:
        """In their order, but those that have just been silent come after the others."""
        now = asyncio.get_running_loop().time()
        return sorted(servers, key=lambda one: self._silent_at.get(one, now - AVOIDED) > now - AVOIDED)
