"""Keeps a file as a pool's backends are, and sees to it that its reader knows.

What is new is written at once, and what follows within a second is written together. What goes wrong (a check that
refuses the file, a full disk, a reload that fails) is tried again with the next change, and every few seconds: the
reader must not stay with an old file. While the source of the pool cannot be read, the file says what was last known.
"""

import asyncio
import contextlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import NotReady
from ..events import Event, Hook, emitter
from ..model import Backend, Snapshot
from ..pool import Pool
from .command import Command
from .errors import RenderError
from .template import Template
from .writing import Place

T = TypeVar("T")

EVERY = 1.0
"""Seconds between two looks at what changed: a file is written, and its reader told, no more often than that."""

AGAIN = 5.0
"""Seconds after which what failed is tried again, if nothing changes before."""


class Renderer:
    """Writes the backends of a pool into a file through a template, whole, and only where it differs.

        async with disco.pool("node-port://shop/web:http") as pool:
            await Renderer("haproxy", to="/etc/haproxy/web.cfg", run="systemctl reload haproxy").follow(pool)

    A file that is there keeps its mode and owner. What a command may take is 30 s; no shell reads it, and `{}` in it is
    the file. Where nothing is usable any more, and the source has said so itself, the file says that as well.

    Args:
        template: a `Template`; or the name of one that comes with this (`haproxy`, `nginx`, `prometheus`), or a path.
        to: the file, in a directory that is there.
        run: the command that tells its reader of it, run when it was written. If it fails it is run again until it
            does not, also by the next process.
        check: a command that is given the new file, before it is in its place: `haproxy -c -f main.cfg -f {}`. If it
            fails, the old file stays.
        keep_last: where nothing is usable, leave the file as it is: connections to what is gone, rather than none.
        on_event: takes each `Event`; None writes them to the `discovery` logger.

    Raises:
        ConfigurationError: the template, the file or a command cannot be used as it is, and why.
    """

    def __init__(
        self,
        template: Template | str | os.PathLike[str],
        *,
        to: str | os.PathLike[str],
        run: str | Sequence[str] | None = None,
        check: str | Sequence[str] | None = None,
        keep_last: bool = False,
        on_event: Hook | None = None,
    ) -> None:
        self._template = template if isinstance(template, Template) else Template.find(template)
        self._place = Place(to)
        self._run = None if run is None else Command(run)
        self._check = None if check is None else Command(check)
        self._keep_last = keep_last
        self._emit = emitter(on_event)
        self._wrong: tuple[str, int] | None = None  # in which stage, and with which version of the pool

    def __repr__(self) -> str:
        return f"<Renderer {self._template.name} to {self.path}{', failing' if self._wrong else ''}>"

    @property
    def path(self) -> Path:
        """Where the file is, every symbolic link followed."""
        return self._place.path

    async def follow(self, pool: Pool) -> None:
        """Keep the file as the pool is, until the pool is closed. A pool that knows nothing yet changes nothing.

        Failures are events (`render.failed`), and are made good later.
        """
        clock = asyncio.get_running_loop().time
        seen, again = -1, math.inf
        while not pool.closed:
            snapshot = pool.snapshot
            if snapshot.synced_at is None or (snapshot.version == seen and clock() < again):
                await _turned(pool, again)
                continue
            seen = snapshot.version
            kept = await self._kept(pool.name, snapshot)
            again = math.inf if kept else clock() + AGAIN
            await asyncio.sleep(EVERY)

    async def write(self, pool: Pool) -> bool:
        """Write the file once, as the pool is now, and have its reader told.

        Returns:
            Whether it was written; False where it was so already.

        Raises:
            NotReady: the pool knows nothing yet.
            RenderError: the file is not current, or its reader does not know.
        """
        snapshot = pool.snapshot
        if snapshot.synced_at is None:
            raise NotReady(f"{pool.name} is not known yet, so nothing is written", next_step="Wait: await pool.ready()")
        return await self._keep(pool.name, snapshot.backends)

    async def _kept(self, target: str, snapshot: Snapshot) -> bool:
        try:
            await self._keep(target, snapshot.backends)
        except RenderError as error:
            wrong = error.stage, snapshot.version
            if self._wrong != wrong:  # else it has been said
                self._wrong = wrong
                data = {"error": str(error), "stage": error.stage, "output": error.output}
                self._emit(Event("render.failed", str(self.path), data))
            return False
        self._wrong = None
        return True

    async def _keep(self, target: str, backends: Sequence[Backend]) -> bool:
        try:
            file = await _through(lambda: self._stage(target, backends))
            if file is not None:
                await self._put(file, target, len(backends))
        finally:
            await _through(self._place.discard)
        await self._tell()
        return file is not None

    def _stage(self, target: str, backends: Sequence[Backend]) -> Path | None:
        """In a thread: render, and put it beside the file; None where the file is right as it is."""
        if self._keep_last and not backends and self._place.exists:
            return None
        data = self._template.render(target, backends).encode(errors="backslashreplace")
        return None if self._place.holds(data) else self._place.stage(data)

    async def _put(self, file: Path, target: str, backends: int) -> None:
        if self._check is not None:
            await self._check.run(file, stage="check")
        await _through(lambda: self._place.put(owe=self._run is not None))
        self._emit(Event("render.written", str(self.path), {"target": target, "backends": backends}))

    async def _tell(self) -> None:
        if self._run is None or not await _through(lambda: self._place.owes):
            return
        await self._run.run(self.path, stage="command")
        await _through(self._place.settle)
        self._emit(Event("render.reloaded", str(self.path)))


async def _turned(pool: Pool, until: float) -> None:
    """Wait for something new about a pool, or for a time of the loop's clock."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(None if until == math.inf else until):
            await pool.turned()


async def _through(work: Callable[[], T]) -> T:
    """Do it in a thread, to its end: a cancellation waits for that, so that no file is left half-way."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # nobody else asks for it
        raise
