"""What targets read, tried as the library reads it; against a server that is scripted to the byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from discovery.doctor import permissions
from discovery.doctor.checklist import read_by, read_in
from discovery.errors import AccessDenied, ApiUnavailable
from discovery.kube.access import Access
from discovery.permissions import Permission
from discovery.targets import parse
from tests.kube.servers import Answer, Asking, Server, answer, config, refusal, written

SLICES = Permission("shop", "discovery.k8s.io", "endpointslices")
SERVICE = Permission("shop", "", "services", "web")
NODES = Permission("", "", "nodes")
PODS = Permission("shop", "", "pods")


@asynccontextmanager
async def asked(folder: Path, *answers: Answer) -> AsyncIterator[tuple[Access, Server]]:
    async with Server(*answers) as server, Asking(written(folder, config(server.url, {"token": "t"}))) as asking:
        yield asking.access, server


@pytest.mark.parametrize(
    ("permission", "path"),
    [
        (SLICES, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?"),
        (SERVICE, "/api/v1/namespaces/shop/services?fieldSelector=metadata.name%3Dweb&"),
        (NODES, "/api/v1/nodes?"),
        (PODS, "/api/v1/namespaces/shop/pods?"),
    ],
)
async def test_it_lists_one_object_and_opens_a_watch(tmp_path: Path, permission: Permission, path: str) -> None:
    async with asked(tmp_path, answer()) as (access, server):
        assert (await permissions.may_read(access, permission)).state == "ok"
    assert [one.target for one in server.asked] == [f"{path}limit=1", f"{path}watch=1&timeoutSeconds=1"]
    assert {one.method for one in server.asked} == {"GET"}


async def test_a_refusal_fails_what_is_needed_and_only_warns_of_the_rest(tmp_path: Path) -> None:
    async with asked(tmp_path, refusal(403, "Forbidden")) as (access, _):
        with pytest.raises(AccessDenied) as caught:
            await permissions.may_read(access, SERVICE)
        found = await permissions.may_read(access, SERVICE, needed=False)
    assert 'resourceNames: ["web"]' in caught.value.next_step
    assert (found.state, found.next_step) == ("warning", caught.value.next_step)


async def test_a_list_without_its_watch_is_not_enough(tmp_path: Path) -> None:
    async with asked(tmp_path, answer(), refusal(403, "Forbidden")) as (access, _):
        with pytest.raises(AccessDenied, match="watch endpointslices"):
            await permissions.may_read(access, SLICES)


async def test_a_server_without_endpoint_slices_is_a_warning_and_without_services_an_error(tmp_path: Path) -> None:
    async with asked(tmp_path, answer("404 page not found", 404, "text/plain")) as (access, _):
        found = await permissions.may_read(access, SLICES)
        assert (found.state, "Endpoints are read instead" in found.seen) == ("warning", True)
        with pytest.raises(ApiUnavailable):
            await permissions.may_read(access, SERVICE)


@asynccontextmanager
async def watched(folder: Path, *, events: bytes, buffered: bool) -> AsyncIterator[Access]:
    """A watch of one second: told as it comes, or whole at the end, as some proxies do."""

    async def watch(request: web.Request) -> web.StreamResponse:
        seconds = float(request.query["timeoutSeconds"])
        if buffered:
            await asyncio.sleep(seconds)
            return web.Response(body=events)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(events)
        await asyncio.sleep(seconds)
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", watch)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with Asking(written(folder, config(url, {"token": "t"}))) as asking:
            yield asking.access
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("events", [b"", b'{"type":"ADDED"}\n'])
async def test_a_watch_that_is_held_back_is_told_from_one_that_streams(tmp_path: Path, events: bytes) -> None:
    async with watched(tmp_path, events=events, buffered=False) as access:
        assert (await permissions.streams(access, SLICES)).state == "ok"
    async with watched(tmp_path, events=events, buffered=True) as access:
        found = await permissions.streams(access, SLICES)
    assert (found.state, "proxy_buffering off" in found.next_step) == ("warning", True)


async def test_a_watch_that_breaks_is_unavailable(tmp_path: Path) -> None:
    broken = answer("{}").replace(b"Content-Length: ", b"Content-Length: 9")
    async with asked(tmp_path, broken) as (access, _):
        with pytest.raises(ApiUnavailable):
            await permissions.streams(access, SLICES)


def test_what_one_target_needs_and_another_can_do_without_is_needed() -> None:
    one, other = parse("endpoints://shop/web:http"), parse("endpoints://shop/web:80")
    assert read_by([one]) == {SLICES: True, SERVICE: False}
    assert read_by([one, other]) == read_by([other, one]) == {SLICES: True, SERVICE: True}
    assert read_by([parse("node-port://shop/web")]) == {SERVICE: True, NODES: True, SLICES: False}


def test_without_a_target_it_is_what_any_service_of_the_namespace_needs() -> None:
    assert read_in("shop") == {SLICES: True, Permission("shop", "", "services"): False}
    assert {one.resource for one in read_in("shop")} <= permissions.KINDS.keys()
