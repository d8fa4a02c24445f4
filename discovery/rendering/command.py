"""Commands that check a file or tell its reader: without a shell, bounded in time, never left behind."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import attrs

from ..errors import ConfigurationError, quote
from .errors import RenderError, Stage

PATIENCE = 30.0
"""Seconds that a command may take."""

GRACE = 2.0
"""Seconds that it has to end in, once it is told to."""

KEPT = 4096
"""Bytes of what it says that are kept: the last ones."""

FILE = "{}"
"""Stands for the file, wherever it is in a word."""


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(given)) if isinstance(given, str) else tuple(given)
    except ValueError as error:
        raise ConfigurationError(f"the command {quote(given)} cannot be read: {error}") from error
    if not words or not all(isinstance(word, str) for word in words):
        raise ConfigurationError(f"{quote(given)} is no command", next_step="Name a program and its arguments")
    if shutil.which(words[0]) is None:
        raise ConfigurationError(
            f"there is no program {quote(words[0])}", next_step="Install it, or name it by its whole path"
        )
    return words


@attrs.frozen
class Command:
    """A program and its arguments, as text in a shell's quoting or as words; no shell reads them. `{}` is the file.

    Raises:
        ConfigurationError: there is no such program, or it cannot be read.
    """

    words: tuple[str, ...] = attrs.field(converter=_words, repr=lambda words: repr(words[0]))

    async def run(self, file: Path, *, stage: Stage, patience: float = PATIENCE) -> None:
        """Run it to its end, at most `patience` seconds. Its arguments are in no error: they may hold a secret.

        Raises:
            RenderError: it ended with another code than 0, was not done in time, or could not be started.
        """
        words = [word.replace(FILE, str(file)) for word in self.words]
        with _Output() as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output.writer,
                    stderr=output.writer,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise self._failed(f"cannot be started: {error}", stage) from error
            try:
                async with asyncio.timeout(patience):
                    code = await process.wait()
            except TimeoutError:
                raise self._failed(f"was not done within {patience:g} s", stage, output.text()) from None
            finally:
                await _end(process)
            if code != 0:
                how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
                raise self._failed(how, stage, output.text())

    def _failed(self, how: str, stage: Stage, output: str = "") -> RenderError:
        last = output.strip().splitlines()[-1:]
        said = f": {quote(last[0])}" if last else ""
        step = "What was rendered is not put in place" if stage == "check" else "It is run again until it succeeds"
        return RenderError(
            f"the command {quote(self.words[0])} {how}{said}", stage=stage, output=output, next_step=step
        )


class _Output:
    """The last of what a command says.

    The pipe is our own, for a daemon that a command starts may hold it open: its end is not waited for.
    """

    def __enter__(self) -> Self:
        self._kept = b""
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        os.close(self.writer)

    def text(self) -> str:
        """All that is there by now, as far as it is kept."""
        while self._read():
            pass
        return self._kept.decode(errors="replace")

    def _read(self) -> bool:
        """Whether there was something; our own writing end is open, so that its end never comes."""
        with contextlib.suppress(BlockingIOError):
            self._kept = (self._kept + os.read(self._reader, 2**16))[-KEPT:]
            return True
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a command that goes on, and what it has started in its session."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
