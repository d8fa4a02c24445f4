"""The right backend, and the right second try, where real pods and nodes fail in ways that Kubernetes does not see.

Requests that may be retried do not fail, and those who fail get no more of them. What cannot be promised is said where
it is so: a body that breaks off was being read already, and when a whole service is down there is nobody else to ask.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Unpack

import aiohttp
import attrs
import pytest

import discovery
from discovery.pool_options import PoolKeywords

from ..until import until
from .admin import Admin
from .cluster import NODES, Cluster
from .kubelet import Kubelet
from .load import Load
from .places import arrivals, control
from .pods import Pod
from .rollout import settled, version, web
from .statuses import node_address

TRY = 1.0
"""Seconds for one try, where pods hang."""

SOON = discovery.OutlierDetection(ejection=1.0)
"""As by default, but to see the return of a backend within a test."""

FOREVER = 10**9


@attrs.define
class Traffic:
    """Requests that are sent without pause, and when one was tried again."""

    load: Load
    retried: list[float]


@contextlib.asynccontextmanager
async def traffic(
    cluster: Cluster, namespace: str, *, clients: int = 16, pause: float = 0.01, **options: Unpack[PoolKeywords]
) -> AsyncIterator[Traffic]:
    """GETs through a middleware with these options, for as long as the block lasts."""
    retried: list[float] = []

    def note(event: discovery.Event) -> None:
        if event.name == "call.retried":
            retried.append(time.monotonic())

    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig, on_event=note) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware(**options)]) as http,
        Load(http, f"http://web.{namespace}.svc:8080/", clients=clients, pause=pause) as load,
    ):
        await load.reach(10 * clients)
        yield Traffic(load, retried)


def victim(kubelet: Kubelet) -> Pod:
    return next(iter(kubelet.pods.values()))


# One node, or one pod


async def test_a_node_lost_without_a_word_is_out_of_the_way_of_all_requests_after_a_few_seconds(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 9)
    retry = discovery.RetryPolicy(per_try_timeout=TRY)
    async with traffic(cluster, namespace, clients=32, retry=retry) as seen, kubelet.lost("node-2"):
        await asyncio.sleep(6.0)
        lost, before = time.monotonic(), len(seen.retried)
        await seen.load.last(5.0)
    assert seen.load.failures == []
    assert before >= 3 * 5, "a row of failures for each of its pods"
    assert len(seen.retried) - before <= 3, "of thousands: none is sent there first"
    assert {answer.node for answer in seen.load.answers if answer.began > lost} == {"node-1", "node-3"}


async def test_a_pod_that_hangs_but_passes_its_probe_is_left_alone_until_it_answers(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 5)
    hanging = victim(kubelet)
    retry = discovery.RetryPolicy(per_try_timeout=TRY)
    async with traffic(cluster, namespace, retry=retry, outlier=SOON) as seen:
        await control(hanging.address, "delay=3600")
        began = time.time()
        await seen.load.last(8.0)
        assert hanging.ready
        times = [at - began for at in await arrivals(hanging.address) if at > began]
        assert len(times) >= 5
        assert len([at for at in times if at > 4.0]) <= 3, "probes of one request each, ever more rarely"
        await control(hanging.address, "delay=0")
        await seen.load.until(lambda answer: answer.pod == hanging.name)
    assert seen.load.failures == []


async def test_a_pod_that_resets_before_the_headers_costs_no_request(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 5)
    broken = victim(kubelet)
    async with traffic(cluster, namespace, outlier=SOON) as seen:
        await control(broken.address, f"cut={FOREVER}")
        began = time.time()
        await seen.load.last(4.0)
        assert len([at for at in await arrivals(broken.address) if at > began + 1.0]) <= 3
        await control(broken.address, "cut=0")
        await seen.load.until(lambda answer: answer.pod == broken.name)
    assert seen.load.failures == []


async def test_a_pod_that_resets_within_the_body_is_found_out_by_those_whose_bodies_broke_off(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 5)
    broken = victim(kubelet)
    async with traffic(cluster, namespace, outlier=SOON) as seen:
        await control(broken.address, f"tear={FOREVER}")
        began = time.monotonic()
        await seen.load.last(4.0)
        torn = seen.load.failures.copy()
        assert torn
        assert {failure.error.partition(":")[0] for failure in torn} <= {"ClientPayloadError"}
        at_first = [failure for failure in torn if failure.began <= began + 1.0]
        assert len(at_first) <= 5 + 16, "a row, and those under way"
        assert len(torn) - len(at_first) <= 3, "probes"
        await control(broken.address, "tear=0")
        await seen.load.until(lambda answer: answer.pod == broken.name)


async def test_health_checks_find_a_node_that_is_lost_and_that_it_is_back(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 3, kind="NodePort", port=80, externalTrafficPolicy="Local")
    check = discovery.HealthCheck(path="/ready", interval=0.2, timeout=TRY)
    everywhere = {node_address(node) for node in NODES}

    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"node-port://{namespace}/web:http", health=check) as pool,
    ):
        await until(lambda: {one.address for one in pool.backends} == everywhere and not pool.notes, timeout=20)
        async with kubelet.lost("node-2"):
            await until(lambda: {one.address for one in pool.backends} < everywhere, timeout=20)
            (out,) = (one for one in pool.explain() if not one.usable)
            assert out.backend.node == "node-2"
            assert out.reason == "health check failed: no answer within 1 s (3 times)"
        await until(lambda: {one.address for one in pool.backends} == everywhere, timeout=20)


# A version that is broken


BROKEN = {
    "answers 503": ("status=503", discovery.RetryPolicy()),
    "answers 500": ("status=500", discovery.RetryPolicy(statuses=(500, 502, 503, 504))),
    "resets": (f"cut={FOREVER}", discovery.RetryPolicy()),
    "dies of a request": ("crash=1", discovery.RetryPolicy()),
    "hangs": ("delay=3600", discovery.RetryPolicy(per_try_timeout=TRY)),
}
"""By what it does to each request, though its probe passes: how a pod begins, and the policy that bears it.

By default a 500 is an answer and is handed over: what it says is that the request failed, not that another would not.
"""


@pytest.mark.parametrize("how", BROKEN)
async def test_a_rollout_of_a_broken_version_that_is_rolled_back_fails_no_request(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, how: str
) -> None:
    begins, retry = BROKEN[how]
    await web(admin, namespace, 8)
    broken: set[str] = set()

    def rolled_out() -> bool:
        broken.update(pod.name for pod in kubelet.pods.values() if pod.begins and pod.ready)
        return len(broken) >= 3

    async with traffic(cluster, namespace, retry=retry) as seen:
        await version(admin, namespace, "web", begins=begins)
        await until(rolled_out, timeout=60)
        await version(admin, namespace, "web", begins=None)
        await settled(admin, namespace, "web", 8)
        await seen.load.last(1.0)
    assert seen.load.failures == []
    assert seen.retried
    assert broken.isdisjoint(answer.pod for answer in seen.load.answers)


# All of it


async def test_a_service_that_was_down_as_a_whole_is_back_for_everybody_within_2_s_and_was_not_beaten(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 5)
    async with traffic(cluster, namespace, clients=32, pause=0.1) as seen:
        await asyncio.gather(*(control(address, "status=503") for address in pods))
        down, since = time.time(), time.monotonic()
        await asyncio.sleep(8.0)
        up, returned = time.time(), time.monotonic()
        await asyncio.gather(*(control(address, "status=200") for address in pods))
        await seen.load.last(4.0)
        came = [at for address in pods for at in await arrivals(address)]
    late = [failure for failure in seen.load.failures if failure.began > returned + 2.0]
    assert late == []
    requests = len([failure for failure in seen.load.failures if since < failure.began < returned])
    attempts = len([at for at in came if down < at < up])
    assert requests > 100
    assert attempts <= 1.25 * requests + 100, "the budget: a fifth, 10 a second and what was saved in 10 s"
    again = {answer.pod for answer in seen.load.answers if answer.began > returned + 2.0}
    assert again == set(pods.values())
