"""Requests go to backends, and the name stays what everybody sees; what names no Service passes untouched."""

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from discovery import LeastRequest, RetryPolicy, RoundRobin, Route
from discovery.errors import ConfigurationError, PortNotFound
from discovery.integrations import aiohttp as integration
from discovery.integrations.settings import Settings

from ...until import until
from .scene import Scene, ask, prefer, say

# What is seen


async def test_each_request_goes_to_a_backend_chosen_for_it(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=3)
    http = await scene.client(balancer=RoundRobin())
    for _ in range(9):
        await ask(http, deployed.url)
    assert [pod.requests for pod in deployed.pods] == [3, 3, 3]
    assert scene.names.asked == []


@pytest.mark.parametrize(("port", "host"), [(80, "web.default.svc"), (8080, "web.default.svc:8080")])
async def test_the_host_header_and_the_urls_of_the_response_are_the_services(
    scene: Scene, port: int, host: str
) -> None:
    deployed = await scene.cluster.deploy("web", port=port)
    http = await scene.client()
    async with http.get(f"{deployed.url}orders?id=1#part") as response:
        assert (await response.json())["host"] == host
    assert response.url == URL(f"http://{host}/orders?id=1")
    assert response.real_url == URL(f"http://{host}/orders?id=1#part")


@pytest.mark.parametrize("path", ["/a%2Fb/%20c?x=%20y+z&x=%C3%BC&empty=", "/", "/a//b/../c?", "/ü?q=ü"])
async def test_path_and_query_arrive_as_they_would_without_a_middleware(scene: Scene, path: str) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    (pod,) = deployed.pods
    http = await scene.client()
    plain = await ask(http, f"http://{pod.address}:{pod.port}{path}")
    assert (await ask(http, f"http://web.default.svc{path}"))["path"] == plain["path"]


async def test_cookies_belong_to_the_service_whichever_backend_set_them(scene: Scene) -> None:
    async def bake(request: web.Request) -> web.Response:
        response = web.json_response({"cookies": dict(request.cookies)})
        response.set_cookie("baked", "yes")
        return response

    deployed = await scene.cluster.deploy("web", replicas=2, handler=bake)
    other = await scene.cluster.deploy("other", handler=bake)
    http = await scene.client(balancer=RoundRobin())
    assert (await ask(http, deployed.url))["cookies"] == {}
    assert (await ask(http, deployed.url))["cookies"] == {"baked": "yes"}
    assert [pod.requests for pod in deployed.pods] == [1, 1]
    assert (await ask(http, other.url))["cookies"] == {}


async def test_a_redirect_enters_anew_and_is_balanced_and_followed_by_name(scene: Scene) -> None:
    async def move(request: web.Request) -> web.Response:
        if request.path == "/old":
            raise web.HTTPFound("new")
        if request.path == "/away":
            raise web.HTTPTemporaryRedirect("http://other.default.svc/here")
        return await say(request)

    deployed = await scene.cluster.deploy("web", replicas=2, handler=move)
    other = await scene.cluster.deploy("other", handler=say)
    http = await scene.client(balancer=RoundRobin())
    async with http.get("http://web.default.svc/old") as response:
        assert (await response.json())["host"] == "web.default.svc"
    assert response.url == URL("http://web.default.svc/new")
    assert [one.url for one in response.history] == [URL("http://web.default.svc/old")]
    assert [pod.requests for pod in deployed.pods] == [1, 1]
    answer = await ask(http, "http://web.default.svc/away", "POST", data=b"all of it")
    assert (answer["at"], answer["body"]) == (other.pods[0].address, "all of it")
    assert scene.names.asked == []
    await until(lambda: scene.in_flight() == 0)


async def test_a_websocket_is_opened_to_a_backend(scene: Scene) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.host} {message.data}")
        return socket

    deployed = await scene.cluster.deploy("web", replicas=2, handler=echo)
    http = await scene.client(balancer=RoundRobin())
    async with http.ws_connect("ws://web.default.svc/") as one, http.ws_connect("ws://web.default.svc/") as two:
        for socket in (one, two):
            await socket.send_str("hello")
            assert await socket.receive_str() == "web.default.svc hello"
        assert [pod.requests for pod in deployed.pods] == [1, 1]
        assert scene.in_flight() == 2
    await until(lambda: scene.in_flight() == 0)


# Which port is meant


@pytest.mark.parametrize("host", ["web.default.svc", "WEB.Default.SVC.", "web.default.svc.cluster.local."])
async def test_the_port_is_the_services_and_without_one_it_is_the_schemes(scene: Scene, host: str) -> None:
    deployed = await scene.cluster.deploy("web")
    (pod,) = deployed.pods
    scene.service("web", ports=[{"name": "http", "port": 80}, {"name": "more", "port": 8080}])
    http = await scene.client()
    assert (await ask(http, f"http://{host}/"))["pod"] == pod.name
    assert (await ask(http, f"http://{host}:80/"))["pod"] == pod.name
    for wrong in (f"http://{host}:{pod.port}/", f"https://{host}/", f"http://{host}:8080/"):
        with pytest.raises((integration.PortNotFound, integration.NoBackends)):
            await ask(http, wrong)


async def test_a_port_that_the_service_lacks_is_an_error_that_names_those_it_has(scene: Scene) -> None:
    await scene.cluster.deploy("web")
    http = await scene.client()
    with pytest.raises(integration.PortNotFound, match=r"has no port 81\. It has http=80") as caught:
        await ask(http, "http://web.default.svc:81/")
    assert caught.value.ports == ("http=80",)
    assert isinstance(caught.value, PortNotFound)


async def test_a_headless_service_is_found_by_its_target_port_too(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    (pod,) = deployed.pods
    scene.service("web", slices=False, clusterIP="None")
    http = await scene.client()
    assert (await ask(http, "http://web.default.svc/"))["pod"] == pod.name
    assert (await ask(http, f"http://web.default.svc:{pod.port}/"))["pod"] == pod.name


async def test_a_pods_own_name_leads_to_that_pod(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("db", replicas=2)
    scene.service("named", slices=False)
    for number, pod in enumerate(deployed.pods):
        scene.endpoint("named", pod.address, port=pod.port, hostname=f"db-{number}")
    http = await scene.client()
    for _ in range(3):
        for number, pod in enumerate(deployed.pods):
            assert (await ask(http, f"http://db-{number}.named.default.svc/"))["pod"] == pod.name
    with pytest.raises(integration.NoBackends):
        await ask(http, "http://db-2.named.default.svc/")


# Routes


@pytest.mark.parametrize("host", ["shop.example", "SHOP.Example."])
async def test_a_routes_host_goes_to_its_target_at_any_port(scene: Scene, host: str) -> None:
    deployed = await scene.cluster.deploy("web")
    http = await scene.client(routes={host: deployed.target})
    for url in ("http://shop.example/", "http://Shop.EXAMPLE.:1234/"):
        assert (await ask(http, url))["pod"] == deployed.pods[0].name
    assert scene.names.asked == []


async def test_a_route_may_lead_to_fixed_places_and_take_a_services_name(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    other = await scene.cluster.deploy("other")
    (pod,) = other.pods
    http = await scene.client(routes={"web.default.svc": f"static://{pod.address}:{pod.port}"})
    answer = await ask(http, deployed.url)
    assert (answer["pod"], answer["host"]) == (pod.name, "web.default.svc")


async def test_a_route_has_its_own_balancer_retries_and_key_and_the_rest_is_the_middlewares(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    first, second = deployed.pods
    own, usual = prefer(second), prefer(first)
    route = Route(deployed.target, balancer=own, retry=RetryPolicy(attempts=1), key=lambda request: request.url.path)
    http = await scene.client(
        routes={"own.example": route, "usual.example": Route(deployed.target)}, balancer=usual, key=lambda _: b"usual"
    )
    assert (await ask(http, "http://own.example/cart"))["pod"] == second.name
    assert (await ask(http, "http://usual.example/cart"))["pod"] == first.name
    assert (own.keys, usual.keys) == (["/cart"], [b"usual"])
    await deployed.kill(second)
    with pytest.raises(integration.RetriesExhausted, match="the one attempt failed"):
        await ask(http, "http://own.example/")
    await deployed.kill(first)
    with pytest.raises(integration.RetriesExhausted, match="each of 3 attempts failed"):
        await ask(http, "http://usual.example/")


# What passes untouched


async def test_hosts_that_name_no_service_pass_untouched(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    (pod,) = deployed.pods
    scene.names.lead_to(pod)
    http = await scene.client()
    for host in ("shop.example", "web.default", "web"):
        assert (await ask(http, f"http://{host}/"))["host"] == host
    assert (await ask(http, f"http://{pod.address}:{pod.port}/"))["pod"] == pod.name
    assert scene.names.asked == ["shop.example", "web.default", "web"]
    assert scene.cluster.requests == [], "nothing is asked of the API server before a target needs it"


@pytest.mark.parametrize(
    "spec", [{"type": "ExternalName", "externalName": "shop.example", "selector": None}, {"selector": None}]
)
async def test_services_that_stand_for_no_pods_pass_untouched(scene: Scene, spec: dict[str, object]) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.names.lead_to(deployed.pods[0])
    scene.service("outside", slices=False, **spec)
    http = await scene.client(fallback=None)
    for _ in range(2):
        assert (await ask(http, "http://outside.default.svc/"))["host"] == "outside.default.svc"
    assert scene.names.asked[0] == "outside.default.svc"


async def test_a_service_without_selector_but_with_slices_is_balanced(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    (pod,) = deployed.pods
    scene.service("manual", slices=False, selector=None)
    scene.endpoint("manual", pod.address, port=pod.port)
    http = await scene.client()
    assert (await ask(http, "http://manual.default.svc/"))["pod"] == pod.name
    assert scene.names.asked == []


async def test_short_names_are_services_if_wanted_and_what_is_none_passes_untouched(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    scene.names.lead_to(deployed.pods[1])
    http = await scene.client(short_names=True, balancer=prefer(deployed.pods[0]))
    for host in ("web", "web.default", "WEB.default."):
        assert (await ask(http, f"http://{host}/"))["pod"] == deployed.pods[0].name
    assert scene.names.asked == []
    for host in ("unknown", "shop.example", "shop.example"):
        assert (await ask(http, f"http://{host}/"))["pod"] == deployed.pods[1].name
    assert scene.names.asked == ["unknown", "shop.example"], "the second time the connection was still open"


async def test_a_foreign_host_that_looks_like_a_short_name_passes_where_namespaces_are_forbidden(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.names.lead_to(deployed.pods[0])
    for resource in ("endpointslices", "services"):
        scene.cluster.faults.deny(resource, "example")
    http = await scene.client(short_names=True, fallback=None)
    assert (await ask(http, "http://shop.example/"))["host"] == "shop.example"


async def test_the_key_is_made_of_the_request(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    balancer = prefer()
    http = await scene.client(balancer=balancer, key=lambda request: request.headers.get("X-User"))
    await ask(http, deployed.url, headers={"X-User": "ann"})
    await ask(http, deployed.url)
    assert balancer.keys == ["ann", None]


async def test_each_host_has_a_pool_and_equal_ones_share_it(scene: Scene) -> None:
    await scene.cluster.deploy("web")
    http = await scene.client(balancer=LeastRequest())
    await ask(http, "http://web.default.svc/")
    await ask(http, "http://web.default.svc.cluster.local/")
    assert len(scene.disco._pools) == 1
    assert next(iter(scene.disco._pools._uses.values()))[1] == 2


async def test_a_closed_discovery_refuses_and_open_sessions_say_so(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    http = await scene.client()
    await ask(http, deployed.url)
    await scene.disco.aclose()
    with pytest.raises(RuntimeError, match="this Discovery is closed"):
        await ask(http, deployed.url)


async def test_a_middleware_is_what_aiohttp_takes_for_one(scene: Scene) -> None:
    finding = scene.disco.integrate(
        integration.Directory, Settings(routes={}, via="endpoints", fallback=None, ready_timeout=0)
    )
    middleware: aiohttp.ClientMiddlewareType = integration.Middleware(finding)
    assert callable(middleware)


# To the Service's own address


async def test_via_the_cluster_ip_a_request_goes_to_the_services_own_address(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, port=8080)
    http = await scene.client(via="cluster-ip")
    for _ in range(4):
        async with http.get(deployed.url) as response:
            assert (await response.json())["host"] == "web.default.svc:8080"
    assert sum(pod.requests for pod in deployed.pods) == 4
    (backend,) = scene.disco.pool("cluster-ip://default/web:8080").backends
    assert backend.address == deployed.cluster_ip
    assert scene.names.asked == []
    assert "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices" not in {
        one.path for one in scene.cluster.requests
    }


async def test_via_the_cluster_ip_a_headless_service_and_a_pod_by_its_hostname_pass_untouched(scene: Scene) -> None:
    web = await scene.cluster.deploy("web", port=8080, kind="headless")
    scene.names.lead_to(web.pods[0])
    http = await scene.client(via="cluster-ip")
    port = web.pods[0].port
    for host in ("web.default.svc", "web-0.web.default.svc"):
        await ask(http, f"http://{host}:{port}/")
    assert scene.names.asked == ["web.default.svc", "web-0.web.default.svc"]


async def test_another_via_is_refused(scene: Scene) -> None:
    with pytest.raises(ConfigurationError, match="cluster-ip"):
        scene.disco.middleware(via="pods")  # type: ignore[arg-type]
