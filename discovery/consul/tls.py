"""Whom to trust and how to show who we are. Files are read in a thread, and again when they change."""

import asyncio
import ssl
import time
from pathlib import Path

from ..errors import ConfigurationError, quote
from .settings import Settings

CHECK_SECONDS = 10.0
"""Files are looked at this often, at most: certificates are rotated in place."""

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp:
    """What changes when a file does: its inode, size and time. Zeros where it cannot be seen."""
    try:
        seen = path.stat()
    except OSError:
        return 0, 0, 0
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


class Trust:
    """The TLS context of these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = [Path(name) for name in _names(settings)]
        self._lock = asyncio.Lock()
        self._context: ssl.SSLContext | None = None
        self._stamps: list[Stamp] = []
        self._checked = 0.0

    async def context(self) -> ssl.SSLContext:
        """The context to connect with: another one when a file has changed.

        Raises:
            ConfigurationError: a file cannot be used. A context that was made before stays in use.
        """
        async with self._lock:
            fresh = self._context is not None and time.monotonic() < self._checked + CHECK_SECONDS
            if not fresh:
                await self._look()
            assert self._context is not None
            return self._context

    async def _look(self) -> None:
        stamps = await asyncio.to_thread(lambda: [stamp(file) for file in self._files])
        self._checked = time.monotonic()
        if self._context is not None and stamps == self._stamps:
            return
        try:
            self._context = await asyncio.to_thread(make_context, self._settings)
        except ConfigurationError:
            if self._context is None:
                raise
            return  # half of a rotation: the stamps stay old, so it is tried again
        self._stamps = stamps


def _names(settings: Settings) -> list[str]:
    given = (settings.ca_file, settings.ca_path, settings.client_cert, settings.client_key)
    return [name for name in given if name]


def make_context(settings: Settings) -> ssl.SSLContext:
    """Read the files; blocks.

    Raises:
        ConfigurationError: one of them cannot be read, or is no certificate or key in PEM.
    """
    context = _trusting(settings)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert:
        try:
            context.load_cert_chain(settings.client_cert, settings.client_key, password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the client certificate {quote(settings.client_cert)} and its key cannot be used ({quote(error)})",
                next_step="Check CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY: PEM, and the key without a password",
            ) from error
    return context


def _trusting(settings: Settings) -> ssl.SSLContext:
    source = settings.ca_file or settings.ca_path
    if not source:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=_certificates(Path(source)))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the certificate authority in {quote(source)} cannot be used ({quote(error)})",
            next_step="Check CONSUL_CACERT and CONSUL_CAPATH: certificates in PEM",
        ) from error


def _certificates(source: Path) -> str:
    """Of a file, or of every file in a folder, whatever its name: OpenSSL would want names that are hashes."""
    files = sorted(one for one in source.iterdir() if one.is_file()) if source.is_dir() else [source]
    return "\n".join(file.read_text("ascii") for file in files)


def _no_password() -> str:
    raise ValueError("the key has a password")
