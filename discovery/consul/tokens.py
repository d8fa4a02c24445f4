"""Where the ACL token comes from: given, a file that is rotated, or a login that is renewed.

A token is read when it is first needed, and again when Consul refuses it: tokens are rotated under running programs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from ..errors import ConfigurationError, ConsulError, DiscoveryError, quote
from .failures import is_unknown_token
from .settings import Login, check_token
from .tls import Stamp, stamp

CHECK_SECONDS = 1.0
"""A token's file is looked at this often, at most."""

LONGEST_TOKEN = 65536
"""Bytes of a file that are read: the token of a ServiceAccount has a thousand or two."""


class Tokens(Protocol):
    """A source of tokens."""

    async def get(self) -> str | None:
        """The token to send, None for none."""

    async def renewed(self, refused: str | None, error: ConsulError) -> str | None:
        """Another token than the one that was refused with this error; the same one where there is no other."""


class Given:
    """One token for ever, or none."""

    def __init__(self, token: str | None) -> None:
        self._token = token.strip() if token else None

    async def get(self) -> str | None:
        """The token."""
        return self._token

    async def renewed(self, refused: str | None, error: ConsulError) -> str | None:
        """There is no other."""
        return refused


class FromFile:
    """A token in a file, read again when the file changes. One that cannot be read for a moment is kept."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._stamp: Stamp = (0, 0, 0)
        self._checked = 0.0

    async def get(self) -> str | None:
        """The token.

        Raises:
            ConfigurationError: there is none, and never was.
        """
        if self._token is not None and time.monotonic() < self._checked + CHECK_SECONDS:
            return self._token
        async with self._lock:
            await self._look()
        return self._token

    async def renewed(self, refused: str | None, error: ConsulError) -> str | None:
        """What the file holds now."""
        async with self._lock:
            if self._token == refused:
                self._stamp = (0, 0, 0)
                await self._look()
        return self._token

    async def _look(self) -> None:
        seen = await asyncio.to_thread(stamp, self._path)
        self._checked = time.monotonic()
        if self._token is not None and seen == self._stamp:
            return
        try:
            self._token = await asyncio.to_thread(read_token, self._path, "the file of the ACL token")
        except ConfigurationError:
            if self._token is None:
                raise
        else:
            self._stamp = seen


class LoggedIn:
    """A token by an auth method. `enter` logs in with a bearer token and gives the token that this makes."""

    def __init__(self, login: Login, enter: Callable[[str], Awaitable[str]]) -> None:
        self._login = login
        self._enter = enter
        self._lock = asyncio.Lock()
        self._rounds = 0
        self._failure: DiscoveryError | None = None
        self.token: str | None = None

    async def get(self) -> str | None:
        """The token; logs in where there is none.

        Raises:
            ConfigurationError: the bearer token cannot be read.
            ConsulError: Consul does not let us in.
        """
        return self.token if self.token is not None else await self._another(None)

    async def renewed(self, refused: str | None, error: ConsulError) -> str | None:
        """Log in again where Consul no longer knows the token; not where it lacks a right, as another would too."""
        return await self._another(refused) if is_unknown_token(error) else refused

    async def _another(self, than: str | None) -> str | None:
        round_ = self._rounds
        async with self._lock:
            if self._rounds != round_ and self._failure is not None:
                raise self._failure  # of the login that was waited for: one try for all who ask at a time
            if self.token == than:
                await self._log_in()
            return self.token

    async def _log_in(self) -> None:
        try:
            path = Path(self._login.bearer_token_file)
            bearer = await asyncio.to_thread(read_token, path, "the file of the bearer token")
            self.token = await self._enter(bearer)
            self._failure = None
        except DiscoveryError as error:
            self._failure = error
            raise
        finally:
            self._rounds += 1


def read_token(path: Path, what: str) -> str:
    """The token that a file holds; blocks.

    Raises:
        ConfigurationError: there is none in it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_TOKEN)
    except OSError as error:
        raise ConfigurationError(
            f"{what} {quote(path)} cannot be read ({error.strerror})",
            next_step="Check that it is mounted and readable",
        ) from error
    # Decoded without an error of its own, which would hold the content.
    return check_token(content.decode(errors="replace"), f"{what} {quote(path)}")
