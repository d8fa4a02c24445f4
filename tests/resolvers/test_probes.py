"""One health check on real sockets: what passes, why the rest fails, and that no connection is left behind."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from discovery.model import Backend
from discovery.resolvers.health import HealthCheck
from discovery.resolvers.probes import LONGEST_LINE, Probe

from ..until import until

HTTP = HealthCheck(path="/healthz", timeout=5.0)
SOON = HealthCheck(path="/healthz", timeout=0.05)


class Peer:
    """A server that answers each request with the same bytes, and then waits for the other end to hang up."""

    def __init__(self, says: bytes, *, closes: bool = False) -> None:
        self.says, self.closes = says, closes
        self.requests: list[bytes] = []
        self.connected = 0
        self.left = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        with contextlib.suppress(OSError, EOFError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.says)
            await writer.drain()
            if not self.closes:
                await reader.read()
        writer.transport.abort()
        self.left += 1

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def serving(
    says: bytes = b"", *, closes: bool = False, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Peer, Backend]]:
    """A peer, and the backend that it is. At the end all of its connections must be over."""
    peer = Peer(says, closes=closes)
    server = await asyncio.start_server(peer.take, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield peer, Backend(address=host, port=port)
        await until(lambda: peer.left == peer.connected)
    finally:
        server.close()


def answer(status: str, headers: str = "Content-Length: 2\r\n") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}\r\nok".encode()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def sockets() -> int:
    """Descriptors of this process that are sockets."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).startswith("socket:") for link in links)


async def test_a_connection_that_is_made_passes_where_no_path_is_asked_for() -> None:
    async with serving() as (peer, backend):
        assert await Probe(HealthCheck())(backend) is None
        await until(lambda: peer.connected)
    assert peer.requests == []


@pytest.mark.parametrize("spec", [HealthCheck(), HTTP])
async def test_a_port_without_a_listener_refuses(spec: HealthCheck) -> None:
    assert await Probe(spec)(Backend(address="127.0.0.1", port=closed_port())) == "connection refused"


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "301 Moved", "399 Odd", "200"])
async def test_a_status_from_200_to_399_passes(status: str) -> None:
    async with serving(answer(status, "Location: http://127.0.0.1:1/\r\n")) as (peer, backend):
        assert await Probe(HTTP)(backend) is None
    assert len(peer.requests) == 1, "a redirect is not followed"


@pytest.mark.parametrize("status", [400, 404, 500, 503, 599])
async def test_any_other_status_fails_and_is_named(status: int) -> None:
    async with serving(answer(f"{status} \x1b[31mtext of the peer")) as (_, backend):
        assert await Probe(HTTP)(backend) == f"status {status}"


async def test_answers_on_the_way_are_not_the_answer() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(early + answer("503 No")) as (_, backend):
        assert await Probe(HTTP)(backend) == "status 503"
    async with serving(early, closes=True) as (_, backend):
        assert await Probe(HTTP)(backend) == "closed without an answer"


@pytest.mark.parametrize(
    "says",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 99 No\r\n",
        b"HTTP/1.1 2000 No\r\n",
        b"HTTP/1.1 600 No\r\n",
        b"HTTP/1.1 200\rOK\r\n\r\n",
        b"\r\n",
        b"HTTP/1.1 200 " + b"x" * LONGEST_LINE * 4,
        b"HTTP/1.1 100 Continue\r\nX: " + b"x" * LONGEST_LINE * 4,
        b"\x00" * 100_000,
    ],
    ids=lambda says: repr(says[:24]),
)
async def test_what_is_no_answer_of_http_fails(says: bytes) -> None:
    async with serving(says, closes=len(says) < LONGEST_LINE) as (_, backend):
        assert await Probe(HTTP)(backend) in ("not an HTTP answer", "closed without an answer")


async def test_a_peer_that_hangs_up_has_not_answered() -> None:
    async with serving(closes=True) as (_, backend):
        assert await Probe(HTTP)(backend) in ("closed without an answer", "connection reset by peer")


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 20", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_peer_that_does_not_answer_in_time_fails(says: bytes) -> None:
    async with serving(says) as (_, backend):
        assert await Probe(SOON)(backend) == "no answer within 0.05 s"


async def test_what_is_asked_for_names_the_path_and_the_backend_or_else_the_host_that_is_given() -> None:
    async with serving(answer("200 OK")) as (peer, backend):
        await Probe(HTTP)(backend)
        await Probe(HealthCheck(path="/?full=1", host="web.example"))(backend)
    plain, named = (request.decode().split("\r\n") for request in peer.requests)
    assert plain[:2] == ["GET /healthz HTTP/1.1", f"Host: {backend.netloc}"]
    assert named[:2] == ["GET /?full=1 HTTP/1.1", "Host: web.example"]
    assert "Connection: close" in plain


async def test_checks_may_go_to_a_port_of_their_own() -> None:
    async with serving(answer("200 OK")) as (peer, there):
        backend = Backend(address="127.0.0.1", port=closed_port())
        assert await Probe(HealthCheck(path="/", port=there.port))(backend) is None
    assert f"Host: 127.0.0.1:{there.port}\r\n".encode() in peer.requests[0]


async def test_a_backend_may_be_a_name_and_a_name_may_not_be_found() -> None:
    async with serving(answer("200 OK")) as (_, there):
        assert await Probe(HTTP)(Backend(address="localhost", port=there.port)) is None
    said = await Probe(HTTP)(Backend(address="no-such-name.invalid", port=80))
    assert said
    assert said.isprintable()
    assert "not" in said or "failure" in said  # in the words of this system's resolver


async def test_a_backend_may_have_an_ipv6_address() -> None:
    try:
        async with serving(answer("200 OK"), host="::1") as (peer, backend):
            assert await Probe(HTTP)(backend) is None
    except OSError:
        pytest.skip("this host has no IPv6")
    assert f"Host: [::1]:{backend.port}\r\n".encode() in peer.requests[0]


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("path", [None, "/healthz"])
async def test_with_tls_the_certificate_must_be_that_of_the_host_that_is_given(
    authority: trustme.CA, path: str | None
) -> None:
    spec = HealthCheck(path=path, timeout=5.0, tls=trusting(authority), host="web.example")
    async with serving(answer("200 OK"), tls=certified(authority, "web.example")) as (_, backend):
        assert await Probe(spec)(backend) is None
    async with serving(answer("200 OK"), tls=certified(authority, "other.example")) as (_, backend):
        said = await Probe(spec)(backend)
    assert said is not None
    assert said.startswith("its certificate is not trusted: ")


async def test_without_a_host_it_must_be_that_of_the_address(authority: trustme.CA) -> None:
    spec = HealthCheck(path="/", timeout=5.0, tls=trusting(authority))
    async with serving(answer("200 OK"), tls=certified(authority, "127.0.0.1")) as (_, backend):
        assert await Probe(spec)(backend) is None


async def test_a_peer_without_tls_fails_in_words(authority: trustme.CA) -> None:
    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        backend = Backend(address="127.0.0.1", port=server.sockets[0].getsockname()[1])
        said = await Probe(HealthCheck(path="/", timeout=5.0, tls=trusting(authority)))(backend)
    assert said is not None
    assert said.startswith(("no TLS: ", "connection reset"))


# Nothing is left behind


@pytest.mark.parametrize("path", [None, "/healthz"])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_check_ended_at_any_moment_leaves_no_connection(
    authority: trustme.CA, path: str | None, encrypted: bool
) -> None:
    tls = (trusting(authority), certified(authority, "127.0.0.1")) if encrypted else (None, None)
    before = sockets()
    async with serving(tls=tls[1]) as (peer, backend):
        ours = sockets()
        probe = Probe(HealthCheck(path=path, timeout=60.0, tls=tls[0]))
        for turns in range(20):
            task = asyncio.create_task(probe(backend))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        await until(lambda: sockets() == ours)
        assert peer.left == peer.connected
    await until(lambda: sockets() == before)
