"""What cannot be done is one line on stderr, nothing on stdout, and the exit code that the interface gives it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import attrs
import pytest
from aiohttp import web

from discovery.cli import main
from discovery.testing import FakeCluster

from .command import kubeconfig_of, run

Prepare = Callable[[FakeCluster, Path], AbstractAsyncContextManager[Path]]
"""Makes it go wrong, and says which kubeconfig to use."""

TOKEN = "a-token-that-has-expired"


@asynccontextmanager
async def usual(cluster: FakeCluster, _: Path) -> AsyncIterator[Path]:
    yield cluster.kubeconfig


@asynccontextmanager
async def nobody_ready(cluster: FakeCluster, _: Path) -> AsyncIterator[Path]:
    labels = {"kubernetes.io/service-name": "idle"}
    cluster.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "idle-1", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}],
        }
    )
    yield cluster.kubeconfig


@asynccontextmanager
async def forbidden(cluster: FakeCluster, _: Path) -> AsyncIterator[Path]:
    cluster.faults.deny("endpointslices", "default")
    yield cluster.kubeconfig


@asynccontextmanager
async def failing(cluster: FakeCluster, _: Path) -> AsyncIterator[Path]:
    cluster.faults.answer(500, message="\x1b[31mdown\n")
    yield cluster.kubeconfig


@asynccontextmanager
async def expired(cluster: FakeCluster, place: Path) -> AsyncIterator[Path]:
    yield kubeconfig_of(cluster, place, token=TOKEN)


@asynccontextmanager
async def gone(cluster: FakeCluster, _: Path) -> AsyncIterator[Path]:
    await cluster.stop_api()
    yield cluster.kubeconfig


def site(status: int) -> Prepare:
    """A web server that is no API server."""

    @asynccontextmanager
    async def prepare(cluster: FakeCluster, place: Path) -> AsyncIterator[Path]:
        async def page(_: web.Request) -> web.Response:
            return web.Response(status=status, text="<html>welcome", content_type="text/html")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", page)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield kubeconfig_of(cluster, place, server=f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    return prepare


def peer(says: bytes) -> Prepare:
    """A server that says this when it is connected to, and no more; the connection stays open."""

    @asynccontextmanager
    async def prepare(cluster: FakeCluster, place: Path) -> AsyncIterator[Path]:
        held: list[asyncio.StreamWriter] = []

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            writer.write(says)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server:
            yield kubeconfig_of(cluster, place, server=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            for writer in held:  # the server's end waits for its connections'
                writer.close()

    return prepare


def config(text: str | None) -> Prepare:
    """A kubeconfig that holds this; None is no file."""

    @asynccontextmanager
    async def prepare(_: FakeCluster, place: Path) -> AsyncIterator[Path]:
        made = place / "config"
        if text is not None:
            made.write_text(text)
        yield made

    return prepare


@attrs.frozen
class Case:
    """A target, what is wrong, the exit code, and what must be said."""

    target: str
    prepare: Prepare
    code: int
    says: tuple[str, ...]
    command: str = "resolve"
    options: tuple[str, ...] = ()
    timeout: float = 10.0


NO_API = "Check the address: it may be a proxy, a gateway, or another service"

CASES = {
    "no ready pod": Case("idle:http", nobody_ready, 1, ("has nothing usable: 1 known, none ready", "readiness")),
    "no namespace's name": Case("web", usual, 2, ("'Shop' is not the name of a namespace",), options=("-n", "Shop")),
    "unknown service, by a port's name": Case("nosuch:http", usual, 5, ("Service nosuch", "Check its name")),
    "unknown service, by a port's number": Case("nosuch:80", usual, 5, ("Service nosuch", "does not exist")),
    "no such port's name": Case("web:grpc", usual, 5, ("has no port grpc. It has http",)),
    "no such port's number": Case("web:81", usual, 5, ("has no port 81. It has http=80",)),
    "forbidden": Case("web:http", forbidden, 4, ("list endpointslices", "namespace default", "Allow it with a Role")),
    "forbidden, watched": Case("web:http", forbidden, 4, ("Allow it with a Role",), command="watch"),
    "expired token": Case("web:http", expired, 4, ("does not accept our credentials", "Renew the token")),
    "API server gone": Case("web:http", gone, 3, ("cannot be reached", "127.0.0.1:")),
    "API server failing": Case("web:http", failing, 3, ("answered 500", "InternalError", "\\x1b[31mdown\\n")),
    "a web site": Case("web:http", site(200), 3, ("cannot be read", "text/html", "another service")),
    "a web site's error": Case("web:http", site(404), 3, ("answered 404", NO_API)),
    "no HTTP server": Case("web:http", peer(b"220 mail ready\r\n"), 3, ("cannot be reached", "127.0.0.1:")),
    "a server that never answers": Case(
        "web:http", peer(b""), 3, ("no answer for endpoints://default/web:http within 1 s", "--timeout"), timeout=1
    ),
    "kubeconfig of no YAML": Case("web:http", config("a: [\ntoken: " + TOKEN), 2, ("no YAML at line 2", "kubectl")),
    "kubeconfig that is not there": Case("web:http", config(None), 2, ("there is no kubeconfig at", "--kubeconfig")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_failure_is_one_line_that_names_the_cause_and_the_next_step(
    fake_cluster: FakeCluster, tmp_path: Path, case: Case
) -> None:
    fake_cluster.apply(SERVICE)
    fake_cluster.apply(SLICE)
    async with case.prepare(fake_cluster, tmp_path) as kubeconfig:
        arguments = case.command, case.target, *case.options, "--timeout", case.timeout
        async with asyncio.timeout(case.timeout + 15):
            ran = await run(*arguments, "--kubeconfig", kubeconfig)
    assert ran.code == case.code, ran
    said = ran.complaint
    assert [part for part in case.says if part not in said] == [], said
    assert said.isprintable()
    assert not any(token in ran.out + ran.err for token in (fake_cluster.token, TOKEN))


async def test_with_no_kubeconfig_at_all_it_says_how_to_name_one() -> None:
    ran = await run("resolve", "web:http")
    assert ran.code == 2
    assert ran.complaint.startswith("there is no kubeconfig at '~/.kube/config', and this is no pod. Name one with")


NOBODY = f'{{"users": [{{"name": "me", "user": {{"token": "{TOKEN}"}}}}]}}'


@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"[1]", b"contexts: 5", b"5", b"[" * 9999, NOBODY.encode()])
@pytest.mark.parametrize("target", ["web:http", "shop/web:http"])
def test_whatever_a_kubeconfig_holds_it_is_named_and_never_shown(
    tmp_path: Path, text: bytes, target: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    given = tmp_path / "config"
    given.write_bytes(text)
    assert main(["resolve", target, "--kubeconfig", str(given)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"discovery: the kubeconfig '{given}' ")
    assert TOKEN not in err


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"clusterIP": "10.96.0.10", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "http", "port": 8080}],
    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
}
