"""Servers on loopback that a test scripts to the byte, a proxy that counts what passes, and kubeconfigs for them."""

import asyncio
import contextlib
import json
import ssl
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import trustme

from discovery.kube.access import Access
from discovery.kube.credentials import Credentials

PATH = "/api/v1/namespaces/shop/services"


def answer(
    body: bytes | str = b"{}", status: int = 200, media: str = "application/json", headers: Mapping[str, str] = {}
) -> bytes:
    """A whole response of HTTP."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
    more = {"Content-Type": media, "Content-Length": str(len(data)), **headers}
    lines += [f"{name}: {value}" for name, value in more.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def refusal(code: int, reason: str = "", message: str = "", details: Any = None, **more: Any) -> bytes:
    """A Status, as JSON."""
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}
    return answer(json.dumps(body | ({"details": details} if details else {})), code, **more)


@attrs.frozen
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]


async def _asked(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    return Asked(
        method, target, {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    )


class _Listening:
    """A server whose connections all end with it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[Asked] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


Answer = bytes | Sequence[bytes] | Callable[[Asked], bytes]


class Server(_Listening):
    """Gives its answers in turn, the last one again and again; one that is several parts comes in several pieces."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None, hang: bool = False) -> None:
        super().__init__(tls)
        self.answers = list(answers)
        self._hang = hang

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _asked(reader)
        self.asked.append(asked)
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        pieces = given(asked) if callable(given) else given
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        if self._hang:
            await reader.read()


class Proxy(_Listening):
    """Joins whoever says CONNECT with one server, whatever the name; refuses those without `password` if it has one."""

    def __init__(self, to: Server, password: str = "") -> None:
        super().__init__()
        self._to = to
        self._password = password

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _asked(reader)
        self.asked.append(asked)
        if self._password and "proxy-authorization" not in asked.headers:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to.port)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


# Trust


class Trust:
    """A certificate authority in a folder: `ca` is its file."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.ca = folder / "ca.crt"
        self.renew()

    def renew(self) -> None:
        """Become another one; the file is replaced."""
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(self.ca)

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server of these names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        return context

    def asking(self) -> ssl.SSLContext:
        """The same, and the client has to show a certificate."""
        context = self.server()
        context.verify_mode = ssl.CERT_REQUIRED
        self._authority.configure_trust(context)
        return context

    def client(self) -> tuple[Path, Path]:
        """The files of a client's certificate and key."""
        issued = self._authority.issue_cert("client@example.org")
        cert, key = self._folder / "client.crt", self._folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return cert, key


# Kubeconfigs


def config(server: str, user: Any = None, *, name: str = "main", namespace: str = "", **cluster: Any) -> dict[str, Any]:
    """A kubeconfig of one context; what it names has its name."""
    context = {"cluster": name, "user": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": {} if user is None else user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def written(folder: Path, body: Any, name: str = "kubeconfig") -> Path:
    """A kubeconfig as a file. JSON is YAML."""
    file = folder / name
    file.write_text(body if isinstance(body, str) else json.dumps(body))
    return file


# Asking


class Asking:
    """An `Access` and what a test asks of it."""

    def __init__(self, kubeconfig: Path | None, context: str | None = None) -> None:
        self.credentials = Credentials(kubeconfig, context)
        self.access = Access(self.credentials)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.access.aclose()

    async def ask(self, *, verb: str = "list", namespace: str | None = "shop", **more: Any) -> bytes:
        """The body of the answer."""
        query = more.pop("query", {})
        place = more.pop("path", PATH)
        resource = more.pop("resource", "services")
        async with self.access.open(
            place, query, verb=verb, resource=resource, namespace=namespace, timeout=5, **more
        ) as response:
            return await response.read()


def shown(error: BaseException) -> str:
    """All that can be seen of an error: what it chains too, hidden or not."""
    seen: list[str] = []
    link: BaseException | None = error
    while link is not None:
        seen += [str(link), repr(link), repr(link.args), *traceback.format_exception(link)]
        link = link.__cause__ or link.__context__
    return "\n".join(seen)
