"""What can be made to go wrong at the simulated API server does go wrong, and heals."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from discovery.testing import FakeCluster

from ..conformance.endpoint import Endpoint
from ..until import until


@pytest.fixture
async def api(fake_cluster: FakeCluster) -> AsyncIterator[Endpoint]:
    async def compact() -> None:
        fake_cluster.compact()

    async with aiohttp.ClientSession() as http:
        yield Endpoint(fake_cluster.url, fake_cluster.token, True, fake_cluster.namespace, compact, http)


async def test_so_many_answers_are_as_ordered_and_the_next_is_right_again(
    fake_cluster: FakeCluster, api: Endpoint
) -> None:
    fake_cluster.faults.answer(503, times=2)
    assert [(await api.list()).status for _ in range(3)] == [503, 503, 200]


async def test_an_order_may_be_for_some_verbs_only_until_it_is_healed(fake_cluster: FakeCluster, api: Endpoint) -> None:
    fake_cluster.faults.answer(429, retry_after=7, verbs=("list",))
    answer = await api.list()
    assert (answer.status, answer.body["reason"]) == (429, "TooManyRequests")
    assert (await api.ask("GET", api.path("nothing"))).status == 404
    fake_cluster.faults.heal()
    assert (await api.list()).status == 200


async def test_what_is_denied_is_403_in_the_words_of_rbac(fake_cluster: FakeCluster, api: Endpoint) -> None:
    fake_cluster.faults.deny("endpointslices", "default")
    answer = await api.list(resource="endpointslices")
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:default:default" cannot list '
        'resource "endpointslices" in API group "discovery.k8s.io" in the namespace "default"'
    )
    assert (await api.list()).status == 200


async def test_what_is_allowed_only_by_name_is_read_one_by_one(fake_cluster: FakeCluster, api: Endpoint) -> None:
    await api.put("a")
    fake_cluster.faults.only_by_name("services", "default")
    assert (await api.list()).status == 403
    assert (await api.list(labelSelector="app=a")).status == 403
    assert (await api.list(fieldSelector="metadata.name!=a")).status == 403
    assert (await api.list(fieldSelector="metadata.namespace=default")).status == 403
    assert (await api.list(fieldSelector="metadata.name=a")).names == ["a"]
    assert (await api.list(fieldSelector="metadata.namespace=default,metadata.name=a")).names == ["a"]
    assert (await api.ask("GET", api.path("a"))).status == 200
    assert (await anext(api.watch(fieldSelector="metadata.name=a")))["type"] == "ADDED"
    assert (await api.ask("GET", "/api/v1/namespaces/elsewhere/services")).status == 200
    assert (await api.list(resource="endpointslices")).status == 200
    fake_cluster.faults.heal()
    assert (await api.list()).status == 200


SERVICES_BY_NAME = {"apiGroups": [""], "resources": ["services"], "resourceNames": ["a"], "verbs": ["list"]}
ALL_SLICES = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["*"]}


def role(kind: str, *rules: object, **metadata: str) -> dict[str, object]:
    return {"kind": kind, "metadata": {"name": "any", **metadata}, "rules": list(rules)}


async def test_only_what_the_given_roles_allow_is_allowed(fake_cluster: FakeCluster, api: Endpoint) -> None:
    await api.put("a")
    rules = [
        role("Role", SERVICES_BY_NAME, ALL_SLICES, namespace="default"),
        role("RoleBinding", namespace="default"),
        role("ClusterRole", {"apiGroups": ["*"], "resources": ["nodes"], "verbs": ["get", "list"]}),
        role("ClusterRole"),
    ]
    fake_cluster.faults.allow_only(rules)
    by_name = {"fieldSelector": "metadata.name=a"}
    assert (await api.list(**by_name)).names == ["a"]
    assert (await api.list(**by_name, watch="1")).status == 403, "the verb is another one"
    assert (await api.list(fieldSelector="metadata.name=b")).status == 403
    denied = await api.list()
    assert (denied.status, denied.body["message"].partition(":")[0]) == (403, "services is forbidden")
    assert (await api.list(resource="endpointslices")).status == 200
    elsewhere = "/apis/discovery.k8s.io/v1/namespaces/elsewhere/endpointslices"
    assert (await api.ask("GET", elsewhere)).status == 403, "a Role is for its own namespace"
    assert (await api.ask("GET", "/apis/discovery.k8s.io/v1/endpointslices")).status == 403
    assert [(await api.ask("GET", f"/api/v1/{place}")).status for place in ("nodes", "nodes/node-1")] == [200, 200]
    fake_cluster.faults.allow_only([])
    assert (await api.ask("GET", "/api/v1/nodes")).status == 403
    fake_cluster.faults.heal()
    assert (await api.list()).status == 200


async def test_a_refusal_of_one_name_says_the_name(fake_cluster: FakeCluster, api: Endpoint) -> None:
    fake_cluster.faults.deny("services")
    answer = await api.list(fieldSelector="metadata.name=a")
    assert answer.body["message"].startswith('services "a" is forbidden: User')


async def test_a_cut_breaks_open_watches_in_the_middle_of_a_line(fake_cluster: FakeCluster, api: Endpoint) -> None:
    await api.put("a")
    events = api.watch()
    await anext(events)
    fake_cluster.faults.cut()
    with pytest.raises((aiohttp.ClientPayloadError, ValueError)):
        await anext(events)


async def test_a_stalled_server_says_nothing_until_it_goes_on(fake_cluster: FakeCluster, api: Endpoint) -> None:
    fake_cluster.faults.stall()
    async with asyncio.TaskGroup() as group:
        listing = group.create_task(api.list())
        await until(lambda: fake_cluster.requests)
        assert not listing.done()
        fake_cluster.faults.resume()
    assert listing.result().status == 200


async def test_a_slow_watch_pauses_before_each_event(fake_cluster: FakeCluster, api: Endpoint) -> None:
    await api.put("a")
    await api.put("b")
    fake_cluster.faults.slow(0.05)
    loop = asyncio.get_running_loop()
    start, events = loop.time(), api.watch()
    assert [(await anext(events))["type"] for _ in range(2)] == ["ADDED", "ADDED"]
    assert loop.time() - start >= 0.09
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_stopped_server_refuses_and_comes_back_on_the_same_port_with_all_it_had(
    fake_cluster: FakeCluster, api: Endpoint
) -> None:
    await api.put("a")
    await fake_cluster.stop_api()
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.list()
    await fake_cluster.start_api()
    assert (await api.list()).names == ["a"]


async def test_every_request_is_noted_with_its_verb_and_query(fake_cluster: FakeCluster, api: Endpoint) -> None:
    await api.list(labelSelector="a=b")
    await api.ask("GET", api.path("nothing"))
    noted = [(request.verb, request.query) for request in fake_cluster.requests]
    assert noted == [("list", {"labelSelector": "a=b"}), ("get", {})]


async def test_any_simulated_object_can_be_applied_and_deleted(fake_cluster: FakeCluster, api: Endpoint) -> None:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}}
    stored = fake_cluster.apply(body)
    assert stored["metadata"]["namespace"] == "default"
    assert fake_cluster.apply({**body, "spec": {}})["metadata"]["uid"] == stored["metadata"]["uid"]
    fake_cluster.delete("services", "a")
    assert (await api.list()).names == []
    with pytest.raises(KeyError):
        fake_cluster.delete("services", "a")
    with pytest.raises(ValueError, match="apps/v1 Deployment is not simulated"):
        fake_cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}})
