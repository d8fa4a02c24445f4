"""200 Services whose 2,000 pods are replaced at random for two minutes, followed in all three ways at once."""

import asyncio
import contextlib
import gc
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import quantiles

import attrs
import msgspec
import pytest

import discovery
from discovery.pool import Pool

from ..until import until
from .admin import Admin, Object
from .audit import slices_written
from .cluster import Cluster
from .light import register_nodes
from .manifests import fresh_name, service
from .rollout import slices_path
from .test_scale import all_of

NAMESPACES = 4
SERVICES = 50
"""In each."""

PODS = 10
"""Of each Service."""

SECONDS = 120.0
RATE = 20.0
"""Pods replaced a second, if the machine can do it."""

SEED = 20
TTL = 5.0
"""Of CoreDNS: see up.sh."""

LIMIT = 1.0
"""Seconds for which a pool may offer what is gone."""

Of = tuple[str, str]
"""A namespace and a Service."""

TARGETS = {
    "endpoints": "endpoints://{}/{}:http",
    "pods": "pods://{}/app={}:http",
    "dns": "dns://{1}.{0}.svc.cluster.local:8080",
}
REPOSITORY = Path(__file__).resolve().parents[2]


@attrs.define
class Offered:
    """What one pool has offered: by address, when it began to, and when it last ceased to. Unix times."""

    pool: Pool
    began: dict[str, float] = attrs.field(factory=dict)
    ceased: dict[str, float] = attrs.field(factory=dict)

    async def follow(self) -> None:
        async for change in self.pool.changes():
            now = time.time()
            for one in change.removed:
                self.ceased[one.address] = now
            for one in change.added:
                self.ceased.pop(one.address, None)
                self.began.setdefault(one.address, now)

    def until(self, address: str, end: float) -> float | None:
        """When an address was offered for the last time; None where it never was."""
        return self.ceased.get(address, end) if address in self.began else None


@attrs.define
class Heartbeat:
    """How long this process's loop once did not run: a machine that is too busy shows here first. In seconds."""

    longest: float = 0.0

    async def beat(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            self.longest = max(self.longest, now - last - 0.01)
            last = now


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """What pytest and the modules hold is not looked through by every full collection: that pause is not the pools'."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
async def namespaces(admin: Admin) -> AsyncIterator[list[str]]:
    names = [fresh_name("churn") for _ in range(NAMESPACES)]
    for name in names:
        await admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield names
    await asyncio.gather(*(admin.delete(f"/api/v1/namespaces/{name}") for name in names))
    await asyncio.gather(*(admin.delete(f"/api/v1/namespaces/{name}/pods", grace=0) for name in names))


@contextlib.asynccontextmanager
async def churning(cluster: Cluster, namespaces: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that makes and replaces the pods, once all are made."""
    options = {
        "ca": cluster.ca,
        "namespaces": ",".join(namespaces),
        "services": SERVICES,
        "pods": PODS,
        "seconds": SECONDS,
        "rate": RATE,
        "seed": SEED,
        "log": log,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cluster.churn"),
        *(f"--{name}={value}" for name, value in options.items()),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"made\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def slices_of(admin: Admin, namespaces: Iterable[str]) -> dict[Of, set[str]]:
    """The ready addresses of each Service, as the API has them now."""
    found: dict[Of, set[str]] = {}
    for namespace in namespaces:
        for piece in await admin.items(slices_path(namespace)):
            addresses = found.setdefault((namespace, piece["metadata"]["labels"]["kubernetes.io/service-name"]), set())
            for endpoint in piece.get("endpoints") or ():
                addresses.update(endpoint["addresses"] if endpoint["conditions"]["ready"] else ())
    return found


async def pods_of(admin: Admin, namespaces: Iterable[str]) -> dict[Of, set[str]]:
    """The addresses of the ready pods of each Service."""
    found: dict[Of, set[str]] = defaultdict(set)
    for namespace in namespaces:
        for pod in await admin.items(f"/api/v1/namespaces/{namespace}/pods"):
            if usable(pod):
                found[namespace, pod["metadata"]["labels"]["app"]].add(pod["status"]["podIP"])
    return dict(found)


def usable(pod: Object) -> bool:
    status = pod["status"]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
    return bool(ready and status["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"])


async def all_ready(admin: Admin, namespaces: Iterable[str]) -> None:
    """Wait until the controllers have published every pod."""
    for namespace in namespaces:

        def complete(listed: Object) -> object:
            endpoints = [one for piece in listed["items"] for one in piece.get("endpoints") or ()]
            return sum(one["conditions"]["ready"] for one in endpoints) == SERVICES * PODS

        await admin.wait_for(slices_path(namespace), complete, timeout=60)


def left_slices(cluster: Cluster, namespaces: Iterable[str]) -> dict[tuple[Of, str], float]:
    """By Service and address, when it was written out of the last slice that had it."""
    held: dict[Of, dict[str, frozenset[str]]] = defaultdict(dict)
    services: dict[tuple[str, str], Of] = {}
    gone: dict[tuple[Of, str], float] = {}
    for write in slices_written(cluster, set(namespaces)):
        place = write.namespace, write.name
        of = services.setdefault(place, (write.namespace, write.service))
        before = held[of].get(write.name, frozenset())
        held[of][write.name] = write.addresses
        for address in write.addresses:
            gone.pop((of, address), None)
        for address in before - write.addresses:
            if not any(address in addresses for addresses in held[of].values()):
                gone[of, address] = write.at
    return gone


def left_pods(log: Path) -> dict[tuple[Of, str], float]:
    """By Service and address, when its pod was gone at the latest."""
    lines = (msgspec.json.decode(line) for line in log.read_bytes().splitlines())
    return {((line["namespace"], line["service"]), line["address"]): line["at"] for line in lines}


def lags(offered: Mapping[Of, Offered], gone: Mapping[tuple[Of, str], float], end: float) -> dict[str, float]:
    """By address that was offered and is gone: how long it was still offered; below 0 where it was not any more."""
    ends = {address: (offered[of].until(address, end), at) for (of, address), at in gone.items()}
    return {address: last - at for address, (last, at) in ends.items() if last is not None}


def told(scheme: str, found: dict[str, float]) -> str:
    cuts = quantiles(found.values(), n=1000)
    return (
        f"{scheme}: {len(found)} left; p50 {cuts[499]:.3f} s, p99 {cuts[989]:.3f} s, most {max(found.values()):.3f} s"
    )


async def test_no_pool_offers_what_is_gone_and_each_equals_the_truth_after_two_minutes_of_churn(
    admin: Admin, namespaces: list[str], cluster: Cluster, tmp_path: Path, frozen_heap: None
) -> None:
    await register_nodes(admin)
    services = [(name, f"web-{number}") for name in namespaces for number in range(SERVICES)]
    await all_of(admin.create(service(*of, clusterIP="None")) for of in services)
    log = tmp_path / "gone.jsonl"
    async with (
        churning(cluster, namespaces, log) as process,
        discovery.Discovery(kubeconfig=cluster.kubeconfig, dns=["127.0.0.1:53"]) as disco,
        contextlib.AsyncExitStack() as stack,
    ):
        await all_ready(admin, namespaces)
        seen = {
            scheme: {of: Offered(await stack.enter_async_context(disco.pool(text.format(*of)))) for of in services}
            for scheme, text in TARGETS.items()
        }
        everything = [offered for by_service in seen.values() for offered in by_service.values()]
        followers = [asyncio.create_task(offered.follow()) for offered in everything]
        heart = Heartbeat()
        await until(lambda: all(len(offered.pool.backends) == PODS for offered in everything), timeout=30)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go\n")
        followers.append(asyncio.create_task(heart.beat()))
        assert await process.stdout.readline() == b"done\n"
        await settled(admin, namespaces, seen)
        end = time.time()
        await until(lambda: not any(offered.pool.status.last_error for offered in everything))
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    from_pods, from_slices = left_pods(log), left_slices(cluster, namespaces)
    assert len(from_pods) > 0.8 * RATE * SECONDS
    assert from_slices.keys() <= from_pods.keys()
    assert len(from_slices) > 0.9 * len(from_pods), "few pods come and go before the controller has seen them"
    late: dict[tuple[str, str], float] = {}
    for scheme, gone, limit in (
        ("endpoints", from_slices, LIMIT),
        ("pods", from_pods, LIMIT),
        ("dns", from_slices, TTL + LIMIT),
    ):
        found = lags(seen[scheme], gone, end)
        assert len(found) > 0.5 * len(gone), "it was seen by the pools"
        print(told(scheme, found))
        late |= {(scheme, address): lag for address, lag in found.items() if lag > limit}
    print(f"the loop stood still for {heart.longest:.3f} s at most")
    assert late == {}, f"the loop stood still for {heart.longest:.3f} s at most"


async def settled(admin: Admin, namespaces: list[str], seen: Mapping[str, Mapping[Of, Offered]]) -> None:
    """Wait until the controllers have caught up, and then see every pool equal what the API has."""
    truth = await pods_of(admin, namespaces)
    assert {len(addresses) for addresses in truth.values()} == {PODS}
    async with asyncio.timeout(30):
        while await slices_of(admin, namespaces) != truth:  # noqa: ASYNC110 - it is the server's
            await asyncio.sleep(0.1)

    def different(scheme: str) -> list[Of]:
        pools = seen[scheme].items()
        return [of for of, one in pools if {backend.address for backend in one.pool.backends} != truth[of]]

    for scheme, within in (("endpoints", LIMIT), ("pods", LIMIT), ("dns", TTL + LIMIT)):
        with contextlib.suppress(TimeoutError):
            await until(lambda: not different(scheme), timeout=within)  # noqa: B023
        assert different(scheme) == []
