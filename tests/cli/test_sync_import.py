"""`discovery sync --to-kubernetes`: Consul services in a namespace, beside the bridge or alone."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import attrs
import pytest

from discovery.cli import importing, main, parser
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul

from ..until import until
from .command import LONGEST, Ran, Running, run, started
from .test_sync_run import free_port

IMPORT = ("--to-kubernetes", "shop", "--import", "db-*,billing")
QUICK = ("--debounce", "0.01", "--confirm-after", "0.2")


@attrs.frozen
class Scene:
    """Both ends, and how to run between them."""

    cluster: FakeCluster
    consul: FakeConsul

    @property
    def arguments(self) -> tuple[object, ...]:
        return (
            *("sync", "--owner", "prod", "--consul", self.consul.url, "--address-types", "InternalIP"),
            *("--kubeconfig", self.cluster.kubeconfig, *QUICK),
        )

    async def sync(self, *arguments: object) -> Ran:
        return await run(*self.arguments, *arguments)

    @asynccontextmanager
    async def syncing(self, *arguments: object) -> AsyncIterator[Running]:
        """One that has imported what there is."""
        async with started(*self.arguments, *IMPORT, *arguments) as running:
            await until(self.endpoints, LONGEST)
            yield running

    def has(self, service: str = "db-main", address: str = "10.0.0.1") -> None:
        """Consul has an instance, and has had it if it had."""
        self.consul.register(
            node=f"vm-{address}",
            address=address,
            service=service,
            port=5432,
            id=f"{service}-{address}",
            status="passing",
        )

    def services(self) -> list[str]:
        """In the namespace."""
        return sorted(one["metadata"]["name"] for one in self.cluster.objects("services", "shop"))

    def endpoints(self, service: str = "db-main") -> set[str]:
        """Addresses of its ready endpoints."""
        return {
            one["addresses"][0]
            for body in self.cluster.objects("endpointslices", "shop")
            if body["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for one in body["endpoints"]
            if one["conditions"]["ready"]
        }

    def writes(self) -> int:
        """To Kubernetes."""
        return sum(one.verb in ("create", "update", "delete") for one in self.cluster.requests)

    @property
    def sessions(self) -> int:
        return len(self.consul.dump()["sessions"])


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with FakeCluster() as cluster, FakeConsul(session_ttl_min=0.1) as consul:
        cluster.create_namespace("shop")
        made = Scene(cluster, consul)
        made.has()
        yield made


async def test_one_pass_goes_both_ways_and_prints_both_plans(scene: Scene) -> None:
    await scene.cluster.deploy("web", kind="NodePort", replicas=2)
    scene.has("other")
    ran = await scene.sync(*IMPORT, "--once", "--output", "json")
    assert (ran.code, ran.err) == (0, ""), ran
    assert {*ran.json} == {"register", "update", "deregister", "withheld", "import"}
    assert len(ran.json["register"]) == 2
    assert next((one["kind"], one["name"]) for one in ran.json["import"]["create"]) == ("Service", "db-main")
    assert (scene.services(), scene.endpoints()) == (["db-main"], {"10.0.0.1"})
    assert "web" in scene.consul.services()
    again = await scene.sync(*IMPORT, "--once", "--output", "json")
    assert again.json["import"] == {"create": [], "replace": [], "delete": [], "withheld": []}


async def test_a_look_prints_what_would_be_done_and_writes_nothing_anywhere(scene: Scene) -> None:
    before = scene.consul.dump()
    ran = await scene.sync(*IMPORT, "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "into Kubernetes: 2 to create, 0 to replace, 0 to delete, 0 withheld"
    assert any(line.startswith("create Service db-main from 'db-main'") for line in ran.out.splitlines())
    assert (scene.writes(), scene.consul.dump()) == (0, before)


async def test_without_export_nothing_is_registered(scene: Scene) -> None:
    await scene.cluster.deploy("web", kind="NodePort")
    ran = await scene.sync(*IMPORT, "--no-export", "--once", "--output", "json")
    assert (ran.code, {*ran.json}) == (0, {"import"}), ran
    assert scene.endpoints() == {"10.0.0.1"}
    assert scene.consul.writes == 0
    assert {one.path for one in scene.cluster.requests if "/nodes" in one.path} == set()


async def test_what_is_somebody_elses_is_left_and_told_as_done_in_part(scene: Scene) -> None:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db-main", "namespace": "shop"}, "spec": {}}
    theirs = scene.cluster.apply(body)
    ran = await scene.sync(*IMPORT, "--once")
    assert ran.code == 6
    assert "withheld db-main from 'db-main': foreign" in ran.out.splitlines()
    assert "done in part: 1 of the import withheld as foreign" in ran.err.splitlines()[-1]
    assert scene.cluster.objects("services", "shop") == [theirs]


async def test_too_many_deletions_wait_until_they_are_approved(scene: Scene) -> None:
    for number in range(3):
        scene.has(f"db-{number}", f"10.0.1.{number}")
    few = ("--max-deletes", "1", "--no-export", "--once")
    assert (await scene.sync(*IMPORT, *few)).code == 0
    for number in range(3):
        scene.consul.deregister(node=f"vm-10.0.1.{number}")
    ran = await scene.sync(*IMPORT, *few)
    assert (ran.code, "3 of the import withheld as too-many (--approve-import)" in ran.err) == (6, True), ran
    assert len(scene.services()) == 4
    ran = await scene.sync(*IMPORT, *few, "--approve-import")
    assert (ran.code, scene.services()) == (0, ["db-main"]), ran


async def test_running_it_follows_both_ends(scene: Scene) -> None:
    web = await scene.cluster.deploy("web", kind="NodePort", replicas=1)
    async with scene.syncing("--import", "cache") as running:
        scene.has(address="10.0.0.2")
        await until(lambda: scene.endpoints() == {"10.0.0.1", "10.0.0.2"}, LONGEST)
        scene.has("cache", "10.0.0.3")
        await until(lambda: scene.endpoints("cache") == {"10.0.0.3"}, LONGEST)
        await web.scale(2)
        await until(lambda: len(scene.consul.services().get("web", ())) == 2, LONGEST)
        running.process.terminate()
        ran = await running.end()
    assert (ran.code, ran.out, "Traceback" in ran.err) == (0, "", False), ran
    assert scene.sessions == 0
    assert scene.services() == ["cache", "db-main"]  # what is written stays


async def test_of_two_replicas_the_leader_writes_and_the_other_takes_over(scene: Scene) -> None:
    async with scene.syncing() as first, started(*scene.arguments, *IMPORT, "--log-json") as second:
        told: list[str] = []
        while {"leader.changed", "bridge.synced"} - {*told}:
            told.append(json.loads(await second.warned())["event"])
        scene.has(address="10.0.0.2")
        await until(lambda: len(scene.endpoints()) == 2, LONGEST)
        first.process.terminate()
        assert (await first.end()).code == 0
        while (event := json.loads(await second.warned()))["event"] != "leader.gained":
            told.append(event["event"])
        assert "import.written" not in told
        scene.has(address="10.0.0.3")
        await until(lambda: len(scene.endpoints()) == 3, LONGEST)


@pytest.mark.parametrize("more", [(), ("--no-export",)])
async def test_its_probes_are_ready_when_both_ways_are(scene: Scene, more: tuple[str, ...]) -> None:
    port = free_port()
    scene.cluster.faults.answer(500, resource="services", verbs=("list",))
    arguments = (*scene.arguments, *IMPORT, *more, "--listen", f"127.0.0.1:{port}")
    async with started(*arguments), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

        async def asked(path: str) -> tuple[int, str]:
            try:
                async with http.get(path) as response:
                    return response.status, await response.text()
            except aiohttp.ClientConnectionError:
                return 0, ""

        async with asyncio.timeout(LONGEST):
            while (await asked("/readyz"))[0] != 503:  # its process starts slowly
                pass
            await until(lambda: any(one.verb == "list" for one in scene.cluster.requests), LONGEST)
            assert (await asked("/livez"))[0] == 200
            scene.cluster.faults.heal()
            while (await asked("/readyz"))[0] != 200:
                pass
        await until(lambda: scene.endpoints() == {"10.0.0.1"}, LONGEST)
        status = json.loads((await asked("/status"))[1])
        assert (status["leading"], status["ready"]) == (True, True)


async def test_alone_it_has_a_lock_of_its_own(scene: Scene) -> None:
    async with scene.syncing("--no-export") as running, started(*scene.arguments) as bridge:
        keys = {"discovery-import/prod/leader", "discovery/prod/leader"}
        await until(lambda: keys <= {*scene.consul.dump()["keys"]}, LONGEST)
        for one in (running, bridge):
            one.process.terminate()
            assert (await one.end()).code == 0
    assert scene.sessions == 0


async def test_a_process_that_runs_is_approved_by_a_signal(scene: Scene) -> None:
    for number in range(3):
        scene.has(f"db-{number}", f"10.0.1.{number}")
    more = ("--max-deletes", "1", "--max-delete-percent", "0", "--no-export", "--log-json")
    async with scene.syncing(*more) as running:
        await until(lambda: len(scene.services()) == 4, LONGEST)
        scene.consul.faults.no_leader()  # so that they all go in one pass
        for number in range(3):
            scene.consul.deregister(node=f"vm-10.0.1.{number}")
        scene.consul.faults.heal()
        while (told := json.loads(await running.warned()))["event"] != "import.withheld" or told["data"][
            "reason"
        ] != "too-many":
            pass
        assert len(scene.services()) == 4
        running.process.send_signal(signal.SIGUSR1)
        await until(lambda: scene.services() == ["db-main"], LONGEST)


WRONG = {
    ("--to-kubernetes", "shop"): "--to-kubernetes and --import need each other",
    ("--import", "db"): "--to-kubernetes and --import need each other",
    ("--no-export",): "--no-export is for an import",
    ("--import-tags", "a"): "--import-tags is for an import",
    ("--import-prefix", "a"): "--import-prefix is for an import",
    ("--approve-import",): "--approve-import is for an import",
    (*IMPORT, "--approve-import"): "Send SIGUSR1",
    (*IMPORT, "--no-export", "--approve", "abc"): "Leave out --no-export",
    (*IMPORT, "--no-export", "--leader", "lease"): "Leave out --leader lease",
    (*IMPORT, "--pod-addresses"): "would register again what is imported",
    ("--to-kubernetes", "Shop", "--import", "db"): "'Shop' is not the name of a namespace",
    ("--to-kubernetes", "shop", "--import", ""): "names no service",
    (*IMPORT, "--import-prefix", "9"): "cannot begin a name",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["sync", "--owner", "prod", "--consul", "http://127.0.0.1:1", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert WRONG[arguments] in err


def test_pod_addresses_may_be_exported_where_what_is_imported_is_not() -> None:
    for more in (("--deny-namespaces", "shop"), ("--namespaces", "web"), ("--no-export",)):
        options = parser().parse_args(["sync", "--owner", "prod", *IMPORT, "--pod-addresses", *more])
        importing.check(options)
