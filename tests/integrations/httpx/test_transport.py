"""Plain httpx, plain Kubernetes names: everybody sees the name, and each request goes to a backend chosen for it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

import discovery
from discovery import Discovery, NotReady, RetryPolicy, Route
from discovery.integrations import httpx as integration
from discovery.integrations.httpx import AsyncTransport
from discovery.testing import FakeCluster

from ...until import until
from ..aiohttp.scene import Scene, prefer, say
from .scene import Wire, ask, client

# The name


async def test_requests_go_to_every_backend_and_the_name_is_what_everybody_sees(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=3, handler=say)
    http = await client(scene)
    at = set()
    for _ in range(6):
        response = await http.get("http://web.default.svc/a")
        assert (str(response.url), response.request.url.host) == ("http://web.default.svc/a", "web.default.svc")
        assert response.json()["host"] == "web.default.svc"
        at.add(response.json()["at"])
    assert at == {pod.address for pod in deployed.pods}
    assert scene.in_flight() == 0


@pytest.mark.parametrize(
    "host", ["web.default.svc", "WEB.Default.SVC", "web.default.svc.", "web.default.svc.cluster.local"]
)
async def test_a_name_is_known_in_all_its_forms(scene: Scene, host: str) -> None:
    await scene.cluster.deploy("web")
    http = await client(scene)
    assert (await ask(http, f"http://{host}/"))["pod"].startswith("web-")


@pytest.mark.parametrize("path", ["/", "/a%2Fb;x=1/%7e?c=d%20e&f=+&g=%2B", "/%C3%A9?q=%C3%A9", "//double//slash"])
async def test_nothing_of_a_path_is_encoded_anew(scene: Scene, path: str) -> None:
    await scene.cluster.deploy("web", handler=say)
    http = await client(scene)
    for _ in range(2):
        assert (await ask(http, f"http://web.default.svc{path}"))["path"] == path


async def test_many_paths_are_as_good_as_few(scene: Scene) -> None:
    await scene.cluster.deploy("web", replicas=2, handler=say)
    http = await client(scene)
    for number in range(300):
        assert (await ask(http, f"http://web.default.svc/{number}"))["path"] == f"/{number}"


async def test_a_header_of_one_s_own_for_the_host_is_left_alone(scene: Scene) -> None:
    await scene.cluster.deploy("web", handler=say)
    http = await client(scene)
    assert (await ask(http, "http://web.default.svc/", headers={"Host": "shop.example"}))["host"] == "shop.example"


async def test_the_port_is_the_service_s_and_is_said_to_the_server(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", port=8080, handler=say)
    http = await client(scene)
    answer = await ask(http, "http://web.default.svc:8080/")
    assert (answer["at"], answer["host"]) == (deployed.pods[0].address, "web.default.svc:8080")
    with pytest.raises(integration.PortNotFound, match="8081"):
        await http.get("http://web.default.svc:8081/")


async def test_each_redirect_is_balanced_and_is_relative_to_the_name(scene: Scene) -> None:
    at: list[str] = []

    async def move(request: web.Request) -> web.Response:
        assert request.transport is not None
        at.append(request.transport.get_extra_info("sockname")[0])
        if request.path == "/3":
            return await say(request)
        raise web.HTTPFound(f"/{int(request.path[1:]) + 1}")

    deployed = await scene.cluster.deploy("web", replicas=4, handler=move)
    http = await client(scene)
    response = await http.get("http://web.default.svc/0", follow_redirects=True)
    assert [str(one.url) for one in (*response.history, response)] == [f"http://web.default.svc/{n}" for n in range(4)]
    assert sorted(at) == sorted(pod.address for pod in deployed.pods)


async def test_cookies_are_the_name_s(scene: Scene) -> None:
    async def bake(request: web.Request) -> web.Response:
        response = web.json_response(dict(request.cookies))
        response.set_cookie("flavour", "oat")
        return response

    await scene.cluster.deploy("web", replicas=2, handler=bake)
    http = await client(scene)
    assert await ask(http, "http://web.default.svc/") == {}
    assert await ask(http, "http://web.default.svc/") == {"flavour": "oat"}, "another backend, the same name"


async def test_connections_to_a_backend_are_kept(scene: Scene) -> None:
    peers = set()

    async def look(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return await say(request)

    await scene.cluster.deploy("web", replicas=2, handler=look)
    http = await client(scene)
    for _ in range(10):
        await ask(http, "http://web.default.svc/")
    assert len(peers) == 2


# Bodies


async def test_a_body_streams_up_and_down(scene: Scene) -> None:
    arrived = asyncio.Event()

    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for part in request.content.iter_any():
            await response.write(part.upper())
            arrived.set()
        return response

    async def halves() -> AsyncIterator[bytes]:
        yield b"first "
        await arrived.wait()
        yield b"second"

    await scene.cluster.deploy("web", handler=echo)
    http = await client(scene)
    async with http.stream("POST", "http://web.default.svc/", content=halves()) as response:
        assert b"".join([part async for part in response.aiter_bytes()]) == b"FIRST SECOND"


async def test_files_and_forms_arrive_whole(scene: Scene) -> None:
    async def read(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        return web.json_response({"name": form["name"], "file": file.file.read().decode()})

    await scene.cluster.deploy("web", handler=read)
    http = await client(scene)
    answer = await ask(
        http, "http://web.default.svc/", "POST", data={"name": "x"}, files={"file": ("a.txt", b"all of it")}
    )
    assert answer == {"name": "x", "file": "all of it"}


# Where requests go


async def test_other_hosts_pass_as_they_are(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    wire = Wire(deployed.pods[0])
    http = await client(scene, transport=wire)
    url = "http://user:secret@shop.example/a?b=c"
    assert (await ask(http, url))["host"] == "shop.example"
    assert [httpx.URL(asked).host for asked in wire.asked] == ["shop.example"]


async def test_a_service_without_pods_passes_by_its_name(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("other", handler=say)
    scene.service("web", slices=False, type="ExternalName", externalName="shop.example", selector={})
    wire = Wire(deployed.pods[0])
    http = await client(scene, transport=wire)
    assert (await ask(http, "http://web.default.svc/"))["host"] == "web.default.svc"
    assert wire.asked == ["http://web.default.svc/"]


async def test_routes_go_to_their_targets_with_policies_of_their_own(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=3, handler=say)
    chosen = deployed.pods[1]
    routes = {"orders.internal": deployed.target, "one.internal": Route(deployed.target, balancer=prefer(chosen))}
    http = await client(scene, routes=routes)
    assert {(await ask(http, "http://orders.internal/"))["at"] for _ in range(9)} == {
        pod.address for pod in deployed.pods
    }
    assert {(await ask(http, "http://one.internal/"))["at"] for _ in range(3)} == {chosen.address}


async def test_a_key_is_the_program_s_word_or_else_what_the_function_makes_of_the_request(scene: Scene) -> None:
    await scene.cluster.deploy("web")
    balancer = prefer()
    http = await client(scene, balancer=balancer, key=lambda request: request.headers.get("user"))
    await http.get("http://web.default.svc/", headers={"user": "ada"})
    await http.get("http://web.default.svc/")
    with discovery.options(key=b"word"):
        await http.get("http://web.default.svc/", headers={"user": "ada"})
    assert balancer.keys == ["ada", None, b"word"]


async def test_by_way_of_the_cluster_ip(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", port=8080, handler=say)
    wire = Wire()
    http = await client(scene, via="cluster-ip", transport=wire)
    answer = await ask(http, "http://web.default.svc:8080/")
    assert answer["host"] == "web.default.svc:8080"
    assert wire.asked == [f"http://{deployed.cluster_ip}:8080/"]


async def test_short_names_are_names_where_they_are_wanted(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    wire = Wire(deployed.pods[0])
    http = await client(scene, short_names=True, transport=wire)
    await ask(http, "http://web.default/")
    assert httpx.URL(wire.asked[0]).host == deployed.pods[0].address
    assert (await ask(http, "http://shop.example/"))["host"] == "shop.example", "no namespace of ours"


async def test_a_backend_that_left_gets_no_request(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    http = await client(scene)
    for _ in range(4):
        await ask(http, deployed.url)
    left = deployed.pods[0]
    await deployed.remove(left)
    await until(lambda: len(scene.nodes()) == 1)
    before = left.requests
    for _ in range(4):
        assert (await ask(http, deployed.url))["at"] == deployed.pods[0].address
    assert left.requests == before


# While nothing is known, and when there is nothing


async def test_nothing_known_goes_by_the_name(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    scene.cluster.faults.stall()
    wire = Wire(deployed.pods[0])
    http = await client(scene, transport=wire, ready_timeout=0.05)
    assert (await ask(http, "http://web.default.svc/"))["host"] == "web.default.svc"
    assert wire.asked == ["http://web.default.svc/"]
    assert [event.subject for event in scene.said("fallback.started")] == ["web.default.svc:80"]


async def test_nothing_known_fails_where_that_is_wanted(scene: Scene) -> None:
    scene.cluster.faults.stall()
    http = await client(scene, fallback=None, ready_timeout=0)
    with pytest.raises(integration.NotReady) as caught:
        await http.get("http://web.default.svc/a?secret=1")
    error = caught.value
    assert isinstance(error, NotReady)
    assert isinstance(error, httpx.TransportError)
    assert str(error.request.url) == "http://web.default.svc/a?secret=1"
    assert "secret" not in str(error)


async def test_a_deadline_ends_the_wait_for_the_first_answer(scene: Scene) -> None:
    scene.cluster.faults.stall()
    http = await client(scene, ready_timeout=60)
    with discovery.options(deadline=0.05), pytest.raises(integration.DeadlineExceeded):
        await http.get("http://web.default.svc/")


async def test_an_unknown_service_and_an_empty_one_are_told_apart(scene: Scene) -> None:
    scene.service("empty")
    http = await client(scene)
    for _ in range(2):
        with pytest.raises(integration.ServiceNotFound):
            await http.get("http://nowhere.default.svc/")
    with pytest.raises(integration.NoBackends):
        await http.get("http://empty.default.svc/")


# Its life


async def test_closing_the_client_gives_its_pools_back_and_leaves_the_discovery_open(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    async with httpx.AsyncClient(transport=AsyncTransport(scene.disco)) as http:
        await ask(http, deployed.url)
        assert len(scene.disco._pools) == 1
        assert repr(http._transport) == "<AsyncTransport 1 hosts>"
    assert len(scene.disco._pools) == 0
    lasting = httpx.AsyncClient(transport=AsyncTransport(scene.disco))
    await ask(lasting, deployed.url)
    await lasting.aclose()
    assert len(scene.disco._pools) == 0


async def test_a_closed_discovery_refuses(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    async with Discovery(kubeconfig=fake_cluster.kubeconfig, cluster_domain="cluster.local") as disco:
        http = httpx.AsyncClient(transport=AsyncTransport(disco))
        await ask(http, "http://web.default.svc/")
    with pytest.raises(RuntimeError, match="closed"):
        await http.get("http://web.default.svc/")
    with pytest.raises(RuntimeError, match="closed"):
        AsyncTransport(disco)
    await http.aclose()


async def test_a_transport_and_a_middleware_of_one_discovery_share_what_is_learnt(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    http, session = await client(scene), await scene.client()
    await ask(http, deployed.url)
    async with session.get(deployed.url) as response:
        await response.read()
    (node,) = scene.nodes().values()
    assert node.successes == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"via": "moon"}, "via='moon' is unknown"),
        ({"fallback": "hope"}, "fallback='hope' is unknown"),
        ({"ready_timeout": -1}, "ready_timeout='-1' is not a number"),
        ({"routes": "web"}, "is no mapping"),
        ({"key": "user"}, "key='user' cannot be called"),
        ({"balancer": 3}, "balancer='3' is no Balancer"),
        ({"retry": RetryPolicy}, "is no RetryPolicy"),
    ],
    ids=lambda value: str(value),
)
async def test_an_option_that_cannot_be_used_is_said_where_it_is_written(options: dict[str, Any], says: str) -> None:
    async with Discovery() as disco:
        with pytest.raises(discovery.ConfigurationError, match=says):
            AsyncTransport(disco, **options)


def test_without_httpx_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['httpx'] = None; import discovery.integrations.httpx"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: discovery.integrations.httpx needs httpx: pip install 'aiodiscovery[httpx]'"
    )


def test_httpx_is_imported_by_its_transport_alone() -> None:
    code = "import sys, discovery.client; assert 'httpx' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
