"""The whole import, against a simulated Consul and an API server: what Consul says is in the namespace, and no more."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import attrs
import pytest

import discovery
from discovery import Event
from discovery.bridge.inbound import ConsulImport, ImportOptions
from discovery.bridge.inbound.options import MOST
from discovery.bridge.leading.session_lock import NotLeading
from discovery.consul.api import Consul
from discovery.consul.settings import Settings
from discovery.errors import ConsulError
from discovery.kube.access import Access
from discovery.kube.credentials import Credentials
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul
from tests.kube.object_server import Refusal
from tests.until import until

from .cluster import Cluster, cluster
from .scene import foreign_service

QUICK = ImportOptions(
    owner="prod", namespace="shop", services=("db*", "web*"), debounce=0.01, confirm_after=0.3, repair=300.0
)
A, B = ("10.0.0.1", 5432), ("10.0.0.2", 5432)


class Scene:
    """A Consul, a namespace, and imports between them."""

    def __init__(self, consul: FakeConsul, kube: Cluster, access: Access) -> None:
        self.consul, self.kube, self.access = consul, kube, access
        self.events: list[Event] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.client = Consul(Settings.read(consul.url, {}), emit=self.events.append, rng=random.Random(1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.client.aclose()

    def made(self, options: ImportOptions = QUICK, **more: Any) -> ConsulImport:
        return ConsulImport(self.client, self.access, options, emit=self.events.append, rng=random.Random(2), **more)

    async def started(self, options: ImportOptions = QUICK, **more: Any) -> ConsulImport:
        made = self.made(options, **more)
        self.tasks.append(asyncio.create_task(made.run()))
        await until(lambda: made.synced)
        return made

    def has(self, service: str = "db", address: str = "10.0.0.1", **more: Any) -> None:
        """Consul has an instance."""
        more = {"status": "passing", "port": 5432, "id": f"{service}-{address}", **more}
        self.consul.register(node=f"node-{address}", address=address, service=service, **more)

    def lacks(self, service: str = "db", address: str = "10.0.0.1") -> None:
        self.consul.deregister(node=f"node-{address}", id=f"{service}-{address}")

    def told(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with FakeConsul() as consul, cluster(tmp_path) as (kube, access), Scene(consul, kube, access) as made:
        yield made


async def test_what_consul_has_is_in_the_namespace_and_follows(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("other", "10.0.0.9")
    await scene.started()
    assert scene.kube.endpoints("db") == {A: True}
    assert scene.kube.service("other") is scene.kube.service("consul") is None
    scene.has("db", "10.0.0.2", status="critical")
    await until(lambda: scene.kube.endpoints("db") == {A: True, B: False})
    scene.has("db", "10.0.0.2")
    await until(lambda: scene.kube.endpoints("db") == {A: True, B: True})
    scene.lacks("db", "10.0.0.1")
    await until(lambda: scene.kube.endpoints("db") == {B: True})
    scene.has("web", "10.0.0.3")
    await until(lambda: scene.kube.endpoints("web"))


async def test_a_service_that_leaves_while_others_stay_goes_with_its_slices(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2")
    await scene.started()
    scene.lacks("db", "10.0.0.1")
    await until(lambda: scene.kube.service("db") is None and not scene.kube.endpoints("db"))
    assert scene.kube.endpoints("web")


async def test_in_a_steady_state_nothing_is_written_nor_read_of_the_cluster(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    made = await scene.started()
    await until(lambda: made.passes > 0)
    scene.kube.asked.clear()
    passes = made.passes
    made.wake()
    await until(lambda: made.passes > passes)
    assert scene.kube.asked == []


async def test_a_restart_writes_nothing_and_deletes_nothing(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2")
    await scene.started()
    for task in scene.tasks:
        task.cancel()
    scene.kube.asked.clear()
    made = await scene.started()
    await until(lambda: made.plan is not None)
    assert scene.kube.written == []


async def test_what_went_while_it_was_away_goes_once_a_second_list_lacks_it(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2")
    await scene.started()
    for task in scene.tasks:
        task.cancel()
    scene.lacks("db", "10.0.0.1")
    made = await scene.started()
    assert made.plan is not None
    assert [one.reason for one in made.plan.withheld] == ["unconfirmed"]
    assert scene.kube.service("db") is not None
    await until(lambda: scene.kube.service("db") is None)


async def test_a_consul_that_was_wiped_takes_nothing_away_until_it_says_so_twice(scene: Scene) -> None:
    empty = scene.consul.snapshot()
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2")
    full = scene.consul.snapshot()
    slow = attrs.evolve(QUICK, confirm_after=2.0)
    made = await scene.started(slow)
    scene.consul.restore(empty)
    await until(lambda: made.plan is not None and len(made.plan.withheld) == 2)
    assert scene.kube.endpoints("db") == {A: True}
    scene.consul.restore(full)
    await until(lambda: made.plan is not None and not made.plan.withheld)
    assert ("DELETE", "db") not in scene.kube.written


async def test_a_consul_that_is_down_takes_nothing_away(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    await scene.started()
    await scene.consul.stop()
    await until(lambda: len(scene.told("import.failed")) >= 2)
    scene.has("db", "10.0.0.2")
    assert scene.kube.endpoints("db") == {A: True}
    await scene.consul.start()
    await until(lambda: scene.kube.endpoints("db") == {A: True, B: True}, 10)
    await until(lambda: len(scene.told("import.recovered")) == len(scene.told("import.failed")))


async def test_an_answer_that_acls_have_cut_takes_nothing_away(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("db", "10.0.0.2")
    scene.has("web", "10.0.0.3")
    made = await scene.started()
    scene.consul.faults.filtered()
    scene.lacks("db", "10.0.0.1")
    scene.lacks("web", "10.0.0.3")
    scene.has("db", "10.0.0.4")
    await until(lambda: ("10.0.0.4", 5432) in scene.kube.endpoints("db"))
    assert scene.kube.endpoints("db") == {A: True, B: True, ("10.0.0.4", 5432): True}
    await asyncio.sleep(2 * QUICK.confirm_after)  # time in which it would be confirmed
    assert scene.kube.endpoints("web")
    assert ("DELETE", "web") not in scene.kube.written
    assert made.last_error is None


async def test_more_than_a_pass_may_delete_is_held_back_said_once_and_done_when_approved(scene: Scene) -> None:
    for number in range(12):
        scene.has(f"db-{number}", "10.0.0.1")
    careful = attrs.evolve(QUICK, max_deletes=2, max_delete_percent=20.0, debounce=0.3)
    made = await scene.started(careful)
    for number in range(6):
        scene.lacks(f"db-{number}", "10.0.0.1")
    await until(lambda: made.plan is not None and len(made.plan.withheld) == 6)
    assert scene.kube.service("db-0") is not None
    passes = made.passes
    made.wake()
    await until(lambda: made.passes > passes)
    assert [event.data["deletions"] for event in scene.told("import.withheld")] == [6]
    made.approve()
    await until(lambda: scene.kube.service("db-0") is None)
    assert scene.kube.service("db-11") is not None


async def test_a_foreign_service_of_that_name_is_said_once_and_stays_byte_for_byte(scene: Scene) -> None:
    before = scene.kube.there(foreign_service("db", clusterIP="10.96.0.9", selector={"app": "db"}))
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2")
    made = await scene.started()
    for _ in range(3):
        passes = made.passes
        made.wake()
        await until(lambda passes=passes: made.passes > passes)  # type: ignore[misc]
    assert scene.kube.service("db") == before
    assert scene.kube.endpoints("db") == {}
    (event,) = scene.told("import.withheld")
    assert event.data == {"service": "db", "consul": "db", "reason": "foreign"}


async def test_what_others_did_to_our_objects_is_put_right_by_the_next_repair(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    await scene.started(attrs.evolve(QUICK, repair=0.1))
    for path, body in list(scene.kube.objects.items()):
        if "endpointslices" in path:
            scene.kube.put(path, {**body, "endpoints": []})
    await until(lambda: scene.kube.endpoints("db") == {A: True})
    del scene.kube.objects["/api/v1/namespaces/shop/services/db"]
    await until(lambda: scene.kube.service("db"))


async def test_a_conflict_is_read_again_and_resolved(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    await scene.started()
    for path, body in list(scene.kube.objects.items()):
        scene.kube.put(path, {**body, "metadata": {**body["metadata"], "finalizers": ["x/y"]}})
    scene.has("db", "10.0.0.2")
    await until(lambda: scene.kube.endpoints("db") == {A: True, B: True})


async def test_instances_that_cannot_be_endpoints_are_said_once_each(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("db", "10.0.0.3", service_address="db.example.org")
    await scene.started()
    scene.has("db", "10.0.0.2")
    await until(lambda: B in scene.kube.endpoints("db"))
    (event,) = scene.told("import.skipped")
    assert (event.subject, "no IP address" in event.data["reason"]) == ("db", True)


async def test_what_a_bridge_wrote_does_not_come_back(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2", meta={"external-source": "kubernetes"})
    scene.has("db", "10.0.0.3", meta={"managed-by": "aiodiscovery"})
    await scene.started()
    assert scene.kube.service("web") is None
    assert scene.kube.endpoints("db") == {A: True}


async def test_a_refused_service_is_left_alone_for_a_while_and_the_others_go_on(scene: Scene) -> None:
    scene.kube.refused = {"db": (403, "Forbidden", "a webhook says no")}
    scene.has("db", "10.0.0.1")
    scene.has("web", "10.0.0.2")
    made = await scene.started()
    await until(lambda: made.last_error is not None)
    tries = scene.kube.written.count(("POST", "services"))
    scene.has("web", "10.0.0.3")
    await until(lambda: len(scene.kube.endpoints("web")) == 2)
    assert scene.kube.written.count(("POST", "services")) == tries
    assert [event.subject for event in scene.told("import.failed")] == ["shop/db"]


async def test_an_api_server_that_is_down_is_tried_again_and_the_latest_state_wins(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    made = await scene.started()
    scene.kube.refusal = Refusal(503, "ServiceUnavailable", "etcd is away")
    scene.has("db", "10.0.0.2")
    await until(lambda: made.last_error is not None)
    scene.lacks("db", "10.0.0.1")
    scene.kube.refusal = None
    await until(lambda: scene.kube.endpoints("db") == {B: True}, 10)
    await until(lambda: made.last_error is None)


@attrs.define
class Lead:
    """Leadership that a test gives and takes."""

    leading: bool = False

    def check(self) -> None:
        if not self.leading:
            raise NotLeading("another one leads")


async def test_a_standby_is_synced_and_writes_nothing_until_it_leads(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    lead = Lead()
    made = await scene.started(permit=lead)
    assert scene.kube.asked == []
    lead.leading = True
    made.wake()
    await until(lambda: scene.kube.endpoints("db") == {A: True})


async def test_no_more_services_are_followed_than_consul_takes_connections_of_one_client(scene: Scene) -> None:
    for number in range(MOST + 5):
        scene.has(f"db-{number:03}", "10.0.0.1")
    await scene.started()
    await until(lambda: scene.kube.service(f"db-{MOST - 1:03}"))
    assert scene.kube.service(f"db-{MOST:03}") is None
    (event,) = scene.told("import.too-many")
    assert (event.data["services"], event.data["most"]) == (MOST + 5, MOST)


async def test_cancelled_it_leaves_no_task_and_no_change(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    before = asyncio.all_tasks()
    await scene.started()
    scene.tasks[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await scene.tasks[0]
    await until(lambda: {task for task in asyncio.all_tasks() - before if "import" in task.get_name()} == set())
    assert scene.kube.endpoints("db") == {A: True}


# Once


async def test_once_makes_one_pass_and_ends(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    made = await scene.made().once()
    assert [unit.service for unit in made.units] == ["db"]
    assert scene.kube.endpoints("db") == {A: True}
    assert (await scene.made().once()).units == ()


async def test_a_dry_run_shows_the_plan_and_writes_nothing(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    made = await scene.made().once(dry_run=True)
    assert [one["kind"] for one in made.as_json()["create"]] == ["Service", "EndpointSlice"]
    assert scene.kube.written == []


async def test_once_asks_consul_twice_before_it_deletes(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    await scene.made().once()
    scene.lacks("db", "10.0.0.1")
    shown = await scene.made().once(dry_run=True)
    assert [one.reason for one in shown.withheld] == ["unconfirmed"]
    scene.consul.requests.clear()
    await scene.made().once()
    assert scene.consul.requests.count(("GET", "/v1/catalog/services")) == 2
    assert scene.kube.objects == {}


async def test_once_says_where_consul_cannot_be_read(scene: Scene) -> None:
    scene.consul.faults.no_leader()
    with pytest.raises(ConsulError):
        await scene.made().once()
    assert scene.kube.asked == []


# The way back in, whole


async def test_a_client_in_the_cluster_calls_a_service_of_consul_by_its_service(scene: Scene) -> None:
    scene.has("db", "10.0.0.1")
    scene.has("db", "10.0.0.2", port=5433)
    scene.has("db", "10.0.0.3", status="critical")
    async with FakeCluster(namespace="shop") as fake:
        access = Access(Credentials(fake.kubeconfig, None))
        made = ConsulImport(scene.client, access, QUICK, emit=scene.events.append, rng=random.Random(3))
        try:
            await made.once()
        finally:
            await access.aclose()
        async with discovery.Discovery(kubeconfig=fake.kubeconfig) as disco:
            for target in ("endpoints://shop/db:5432", "endpoints://shop/db:default", "endpoints://shop/db"):
                pool = disco.pool(target)
                await pool.ready(timeout=5)
                assert {(one.address, one.port) for one in pool.backends} == {("10.0.0.1", 5432), ("10.0.0.2", 5433)}
