"""One health check: a connection, and for HTTP the status line of its answer.

No more than that line is read, and the connection is cut rather than closed: TLS would wait for the peer's goodbye.
An HTTP client would give neither, and cost more. Of what a peer sends only the status becomes part of a reason.
"""

import asyncio
import errno
import os
import re
import ssl

from ..errors import quote
from ..model import Backend
from ..version import __version__
from .health import HealthCheck

LONGEST_LINE = 8192
"""Bytes of a line that are read; more is no answer of a health check."""

NOT_HTTP = "not an HTTP answer"

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")


class Probe:
    """Checks backends one by one.

    Args:
        spec: how.
    """

    def __init__(self, spec: HealthCheck) -> None:
        self._spec = spec

    async def __call__(self, backend: Backend) -> str | None:
        """Check a backend: why it failed, or None where it passed."""
        try:
            async with asyncio.timeout(self._spec.timeout):
                return await self._check(backend)
        except TimeoutError as error:
            return _words(error) if error.errno is not None else f"no answer within {self._spec.timeout:g} s"
        except (OSError, EOFError, ValueError) as error:
            return _words(error)

    async def _check(self, backend: Backend) -> str | None:
        spec = self._spec
        port = backend.port if spec.port is None else spec.port
        reader, writer = await asyncio.open_connection(
            backend.address,
            port,
            limit=LONGEST_LINE,
            ssl=spec.tls,
            server_hostname=(spec.host or backend.address) if spec.tls is not None else None,
        )
        try:
            if spec.path is None:
                return None
            writer.write(_request(spec.path, spec.host or _host(backend.address, port)))
            status = await _status(reader)
            return None if 200 <= status < 400 else f"status {status}"
        finally:
            writer.transport.abort()


def _request(path: str, host: str) -> bytes:
    lines = f"GET {path} HTTP/1.1", f"Host: {host}", f"User-Agent: aiodiscovery/{__version__}", "Connection: close"
    return "\r\n".join((*lines, "", "")).encode("ascii")


def _host(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of the first answer that is final."""
    while True:
        line = await _line(reader)
        if not line:
            raise EOFError("closed without an answer")
        found = STATUS_LINE.fullmatch(line)
        if found is None:
            raise ValueError(NOT_HTTP)
        status = int(found[1])
        if status >= 200:
            return status
        while (await _line(reader)).rstrip(b"\r\n"):  # the headers of an answer on the way
            pass


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # it is too long
        raise ValueError(NOT_HTTP) from None


def _words(error: Exception) -> str:
    """What went wrong, in a few words of our own or of this machine's libraries."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {quote(error.verify_message)[1:-1]}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {quote((error.reason or 'failed').lower().replace('_', ' '))[1:-1]}"
    if not isinstance(error, OSError):
        return str(error)
    if error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return quote(error.strerror or error)[1:-1]  # such as a name that cannot be looked up
