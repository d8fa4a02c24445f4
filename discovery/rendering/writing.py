"""A file that is replaced whole, or not at all.

All of it blocks, and runs in a thread. Who reads the file sees the old one or the new one and nothing between, also
after a power cut; the new one belongs to whom the old one did.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigurationError, quote
from .errors import RenderError

MODE = 0o644
"""Of a file that was not there before."""


class Place:
    """Where a file is kept. A symbolic link stays, and what it leads to is replaced.

    Between `put` and `settle` its reader is owed a word: that is noted beside the file, to outlive the process.

    Args:
        path: of the file, which may not be there yet.

    Raises:
        ConfigurationError: no file can be there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))
        self._staged: Path | None = None
        self._note = self.path.with_name(f".{self.path.name}.owed")
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"there is no directory {quote(self.path.parent)}", next_step="Make it first")
        if self.path.exists() and not self.path.is_file():
            raise ConfigurationError(f"{quote(self.path)} is no regular file", next_step="Name a file to be written")

    def __repr__(self) -> str:
        return f"<Place {self.path}>"

    @property
    def exists(self) -> bool:
        """Whether there is a file; a RenderError where that cannot be seen."""
        with self._reported():
            return self.path.exists()

    def holds(self, data: bytes) -> bool:
        """Whether this is what is in the file.

        Raises:
            RenderError: it cannot be read.
        """
        with self._reported():
            try:
                return self.path.read_bytes() == data
            except FileNotFoundError:
                return False

    def stage(self, data: bytes) -> Path:
        """Write it beside the file, where `put` takes it from; whatever is staged is to be discarded in the end.

        Returns:
            Where it is.

        Raises:
            RenderError: it cannot be written, or not with the owner that the file has.
        """
        self.discard()
        with self._reported():
            number, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".tmp", dir=self.path.parent)
            self._staged = Path(name)
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                self._belong(number)
                os.fsync(number)
        return self._staged

    def put(self, *, owe: bool) -> None:
        """Put what is staged in the place of the file; with `owe` note that its reader has to be told.

        Raises:
            RenderError: it cannot be put there.
        """
        assert self._staged is not None
        with self._reported():
            if owe:
                self._note.touch()
            self._staged.replace(self.path)
            self._staged = None
            self._sync()

    def discard(self) -> None:
        """What is staged is not wanted; nothing happens where nothing is, or where it cannot be removed."""
        if self._staged is not None:
            with contextlib.suppress(OSError):
                self._staged.unlink()
            self._staged = None

    @property
    def owes(self) -> bool:
        """Whether its reader has not been told of it yet; a RenderError where that cannot be seen."""
        with self._reported():
            return self._note.exists()

    def settle(self) -> None:
        """Its reader has been told.

        Raises:
            RenderError: the note cannot be removed.
        """
        with self._reported():
            self._note.unlink(missing_ok=True)

    def _belong(self, number: int) -> None:
        """Give a new file the mode and the owner of the one whose place it takes."""
        try:
            before = self.path.stat()
        except FileNotFoundError:
            os.fchmod(number, MODE)
            return
        now = os.fstat(number)
        if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
            os.fchown(number, before.st_uid, before.st_gid)
        os.fchmod(number, stat.S_IMODE(before.st_mode))

    def _sync(self) -> None:
        """Make the new name last."""
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RenderError(
                f"{quote(self.path)} cannot be kept: {error.strerror or error}",
                stage="write",
                next_step="Look at the room on the disk, and at the owners of the file and its directory",
            ) from error
