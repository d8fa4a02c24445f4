"""When there is nothing to pick from: by the name, or an error in time that says why and what to do."""

import asyncio
import traceback
from collections.abc import Callable

import aiohttp
import pytest

from discovery import DiscoveryError
from discovery.errors import AccessDenied, ApiUnavailable, ServiceNotFound
from discovery.integrations import aiohttp as integration

from ...until import until
from .scene import Scene, ask

Break = Callable[[Scene], object]


def forbid(scene: Scene) -> None:
    scene.cluster.faults.deny("endpointslices")


def stall(scene: Scene) -> None:
    scene.cluster.faults.stall()


def fail(scene: Scene) -> None:
    scene.cluster.faults.answer(503)


# By the name


@pytest.mark.parametrize("go_wrong", [stall, fail, forbid])
async def test_while_nothing_is_known_requests_go_out_by_the_name(scene: Scene, go_wrong: Break) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.names.lead_to(deployed.pods[0])
    go_wrong(scene)
    http = await scene.client(ready_timeout=0.05)
    for _ in range(3):
        assert (await ask(http, deployed.url))["host"] == "web.default.svc"
    assert scene.names.asked[0] == "web.default.svc"
    assert len(scene.said("fallback.started")) == 1, "said once aloud"
    assert len(scene.said("request.fallback")) == 3
    started = scene.said("fallback.started")[0]
    assert started.subject == "web.default.svc:80"
    assert started.data["target"] == "endpoints://default/web:80"
    assert started.data["error"]


async def test_an_api_server_that_is_down_does_not_stop_requests_and_its_return_ends_the_fallback(
    scene: Scene,
) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    scene.names.lead_to(deployed.pods[0])
    await scene.cluster.stop_api()
    http = await scene.client(ready_timeout=0.05)
    assert (await ask(http, deployed.url))["pod"] == deployed.pods[0].name
    assert scene.in_flight() == 0
    await scene.cluster.start_api()
    await until(lambda: scene.pool().status.synced, timeout=10)
    scene.names.asked.clear()
    for _ in range(4):
        await ask(http, deployed.url)
    assert deployed.pods[1].requests == 2
    assert scene.names.asked == []
    assert len(scene.said("fallback.ended")) == 1
    assert len(scene.said("request.fallback")) == 1


async def test_once_something_is_known_the_name_is_not_used_though_the_api_server_is_gone(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    http = await scene.client(ready_timeout=0.05)
    await ask(http, deployed.url)
    await scene.cluster.stop_api()
    await until(lambda: scene.pool().status.last_error)
    assert (await ask(http, deployed.url))["pod"] == deployed.pods[0].name
    assert scene.names.asked == []
    assert scene.said("request.fallback") == []


@pytest.mark.parametrize("fallback", ["service", None])
async def test_what_no_waiting_heals_is_not_waited_for(scene: Scene, fallback: str | None) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.names.lead_to(deployed.pods[0])
    forbid(scene)
    http = await scene.client(ready_timeout=600, fallback=fallback)
    async with asyncio.timeout(20):
        if fallback:
            await ask(http, deployed.url)
        else:
            with pytest.raises(integration.NotReady) as caught:
                await ask(http, deployed.url)
            assert isinstance(caught.value.__cause__, AccessDenied)
            assert "Allow it with a Role that holds" in str(caught.value)


async def test_the_time_to_be_ready_counts_from_the_first_request_and_is_spent_once(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.names.lead_to(deployed.pods[0])
    stall(scene)
    http = await scene.client(ready_timeout=0.5)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.gather(*(ask(http, deployed.url) for _ in range(5)))
    assert loop.time() - begun >= 0.5
    assert len(scene.said("request.fallback")) == 5
    begun = loop.time()
    for _ in range(20):
        await ask(http, deployed.url)
    assert loop.time() - begun < 20 * 0.5, "whoever comes later does not wait again"


async def test_the_first_requests_wait_for_the_first_answer(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    stall(scene)
    http = await scene.client(ready_timeout=30)
    asking = [asyncio.create_task(ask(http, deployed.url)) for _ in range(3)]
    await until(lambda: scene.cluster.requests)
    assert not any(one.done() for one in asking)
    scene.cluster.faults.resume()
    assert [answer["pod"] for answer in await asyncio.gather(*asking)] == [deployed.pods[0].name] * 3
    assert scene.said("request.fallback") == []


# Without it


@pytest.mark.parametrize(
    ("go_wrong", "says", "cause"),
    [
        (stall, "the first answer is still awaited", type(None)),
        (fail, "503", ApiUnavailable),
        (forbid, "Allow it with a Role", AccessDenied),
    ],
)
async def test_without_the_fallback_nothing_known_is_not_ready_and_says_why(
    scene: Scene, go_wrong: Break, says: str, cause: type
) -> None:
    deployed = await scene.cluster.deploy("web")
    go_wrong(scene)
    http = await scene.client(ready_timeout=0.2, fallback=None)
    async with asyncio.timeout(20):
        with pytest.raises(integration.NotReady, match=r"endpoints://default/web:80 is not ready") as caught:
            await ask(http, deployed.url)
    assert says in str(caught.value)
    assert isinstance(caught.value.__cause__, cause)
    assert scene.names.asked == []


# Known, and nothing there


async def test_an_unknown_service_is_an_error_that_says_what_to_check(scene: Scene) -> None:
    http = await scene.client(ready_timeout=20)
    async with asyncio.timeout(20):
        with pytest.raises(integration.ServiceNotFound, match="Service web in the namespace default does not exist"):
            await ask(http, "http://web.default.svc/")
    with pytest.raises(aiohttp.ClientError) as caught:
        await ask(http, "http://web.default.svc/")
    assert isinstance(caught.value, ServiceNotFound)
    assert caught.value.next_step == "Check its name and namespace"
    assert scene.names.asked == []


async def test_an_unknown_service_is_not_asked_for_again_and_again(scene: Scene) -> None:
    http = await scene.client()
    tracebacks = []
    for _ in range(3):
        with pytest.raises(integration.ServiceNotFound) as caught:
            await ask(http, "http://web.default.svc/")
        tracebacks.append(len(traceback.extract_tb(caught.value.__traceback__)))
    lists = [one for one in scene.cluster.requests if one.verb == "list" and one.path.endswith("endpointslices")]
    assert len(lists) == 1
    assert len(scene.disco._pools) == 0
    assert tracebacks[1] == tracebacks[2]


async def test_a_service_that_has_nothing_ready_is_an_error_at_once(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    deployed.set_ready(deployed.pods[0], False)
    http = await scene.client(ready_timeout=600)
    async with asyncio.timeout(20):
        with pytest.raises(integration.NoBackends, match="1 known, none ready") as caught:
            await ask(http, deployed.url)
    assert "pool.explain()" in caught.value.next_step
    deployed.set_ready(deployed.pods[0], True)
    await until(lambda: scene.pool().backends)
    assert (await ask(http, deployed.url))["pod"] == deployed.pods[0].name


@pytest.mark.parametrize("path", ["http://web.default.svc:81/", "http://none.default.svc/"])
async def test_an_error_that_is_raised_often_does_not_grow(scene: Scene, path: str) -> None:
    await scene.cluster.deploy("web")
    http = await scene.client()
    depths = []
    for _ in range(5):
        with pytest.raises(DiscoveryError) as caught:
            await ask(http, path)
        error: BaseException | None = caught.value
        depth = 0
        while error is not None:
            depth += len(traceback.extract_tb(error.__traceback__))
            error = error.__cause__ or error.__context__
        depths.append(depth)
    assert depths[1:] == depths[1:2] * 4


async def test_an_unusable_configuration_that_a_short_name_needs_is_a_client_error(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    scene.cluster.kubeconfig.write_text("{")
    http = await scene.client(short_names=True)
    with pytest.raises(integration.ConfigurationError, match="kubeconfig"):
        await ask(http, "http://web/")
