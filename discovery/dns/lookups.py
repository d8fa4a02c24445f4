"""Looks up names by the search list.

There is no cache here: who asks keeps what was found for as long as it holds. Making one reads and contacts nothing;
dnspython is imported, in a thread, with the first lookup.
"""

import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ResolutionError
from ..targets import dns as target
from . import resolv_conf
from .answers import ABSENT, Answer, Kind
from .names import candidates
from .resolv_conf import ResolvConf, Server

if TYPE_CHECKING:
    from .asking import Asking

REREAD = 5.0
"""Seconds after which it is looked at whether resolv.conf has changed."""

OTHER: dict[Kind, Kind] = {"A": "AAAA", "AAAA": "A"}
"""The kind of the other family's addresses."""


class Lookups:
    """Asks DNS servers. Belongs to the event loop that first uses it.

    Args:
        servers: each as `targets.Dns(server=)` takes it; None are those of the file.
        resolv_conf: the file, read at the first lookup and again when it has changed. It gives the search list and the
            timeouts in any case.

    Raises:
        InvalidTarget: a server cannot be read.
    """

    def __init__(self, servers: Sequence[str] | None = None, *, resolv_conf: Path = resolv_conf.PATH) -> None:
        self._servers = None if servers is None else tuple(map(target.server, servers))
        self._file = _File(resolv_conf)
        self._opening = asyncio.Lock()
        self._asking: Asking | None = None
        self._closed = False

    async def find(self, name: str, kind: Kind, server: str | None = None) -> Answer:
        """The records of a name: absolute where it ends with a dot, else by the search list.

        The first name of the list that has records counts. A server that fails ends the search, because a name further
        down is another one.

        Args:
            name: a host name.
            kind: of records.
            server: ask only this one.

        Raises:
            ResolutionError: there are none, or no server would say; see its `reason`.
        """
        asking, conf = await self._opened(), self._file.conf()
        servers = (target.server(server),) if server is not None else self._servers or conf.servers
        absent: list[ResolutionError] = []
        names = candidates(name, conf)
        for one in names:
            try:
                return await asking.find(one, kind, servers, conf)
            except ResolutionError as error:
                if error.reason not in ABSENT:
                    raise
                absent.append(error.with_traceback(None))
            more = one != names[-1]
            if more and absent[-1].reason == "no-data" and await _has(asking, one, OTHER.get(kind), servers, conf):
                break  # this is the name that is meant, and all its addresses are of the other family
        raise _absence(absent)

    async def aclose(self) -> None:
        """Look up no more. Lookups under way are ended by who cancels them."""
        self._closed = True

    async def _opened(self) -> "Asking":
        if self._closed:
            raise RuntimeError("these lookups are closed")
        async with self._opening:
            if self._asking is None:
                asking = await asyncio.to_thread(importlib.import_module, "discovery.dns.asking")
                self._asking = asking.Asking()
        return self._asking


async def _has(asking: "Asking", name: str, kind: Kind | None, servers: tuple[Server, ...], conf: ResolvConf) -> bool:
    """Whether an absolute name has records of this kind."""
    if kind is None:
        return False
    try:
        await asking.find(name, kind, servers, conf)
    except ResolutionError as error:
        if error.reason not in ABSENT:
            raise
        return False
    return True


def _absence(absent: list[ResolutionError]) -> ResolutionError:
    """One error for all names of a search list: a name that is there says more than those that are not."""
    told = next((error for error in absent if error.reason == "no-data"), absent[0])
    told.ttl = min(error.ttl for error in absent)
    return told


class _File:
    """A resolv.conf that is read when it is needed, and again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._conf: ResolvConf | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = 0.0

    def conf(self) -> ResolvConf:
        """What it says; without it, the defaults. It is small and local: it is read at once."""
        now = asyncio.get_running_loop().time()
        if self._conf is None or now - self._looked_at >= REREAD:
            self._looked_at = now
            self._look()
        assert self._conf is not None
        return self._conf

    def _look(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            if self._conf is None or stamp != self._stamp:
                self._conf, self._stamp = resolv_conf.read(self._path.read_text(errors="replace")), stamp
        except OSError:  # as it was before, while an editor replaces it
            self._conf = self._conf or ResolvConf()
