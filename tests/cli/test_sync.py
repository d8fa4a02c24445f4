"""`discovery sync` for one pass, against simulated ends: what it prints, does and returns."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul
from discovery.testing.consul.acl import Rules

from .command import Ran, kubeconfig_of, run

INTERNAL = "--address-types=InternalIP"
ENTRY = {"node", "id", "service", "address", "port", "tags", "meta", "status"}


@attrs.frozen
class Ends:
    """Both ends of a bridge."""

    cluster: FakeCluster
    consul: FakeConsul

    async def sync(self, *arguments: object, token: str = "") -> Ran:
        """One command, quick where it has to wait."""
        env = {"CONSUL_HTTP_ADDR": self.consul.url, **({"CONSUL_HTTP_TOKEN": token} if token else {})}
        ran = await run(
            *("sync", "--owner", "prod", INTERNAL, "--confirm-after", "0.1"),
            *("--kubeconfig", self.cluster.kubeconfig, *arguments),
            env=env,
        )
        assert not token or token not in ran.out + ran.err
        return ran

    def registered(self) -> set[str]:
        """The services in Consul, its own aside."""
        return {*self.consul.services()} - {"consul"}

    @property
    def writes(self) -> int:
        return self.consul.writes


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async with FakeCluster() as cluster, FakeConsul(session_ttl_min=0.1) as consul:
        yield Ends(cluster, consul)


def complaints(ran: Ran) -> list[str]:
    """What it had to say itself, beside its events."""
    return [line for line in ran.err.splitlines() if line.startswith("discovery: ")]


def service(name: str, **annotations: str) -> dict[str, Any]:
    """A NodePort Service without pods."""
    notes = {f"consul.hashicorp.com/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": notes},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]},
    }


async def test_a_look_prints_what_would_be_done_and_writes_nothing(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort", replicas=2)
    before = ends.consul.dump()
    ran = await ends.sync("--dry-run")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["create", "create", "register", "register"]
    assert lines[-1] == "2 to register, 0 to update, 0 to deregister, 0 withheld"
    assert ends.consul.dump() == before
    assert {method for method, _ in ends.consul.requests} == {"GET"}


async def test_one_pass_does_it_and_the_json_has_the_entries_as_the_interface_says(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort", replicas=2)
    looked = await ends.sync("--dry-run", "--output", "json")
    done = await ends.sync("--once", "--output", "json")
    assert (looked.code, done.code) == (0, 0)
    assert looked.json == done.json
    assert done.json.keys() == {"register", "update", "deregister", "withheld"}
    first, second = done.json["register"]
    assert first.keys() == second.keys() == ENTRY
    assert (first["service"], first["status"], first["node"]) == ("web", "passing", "k8s-prod--node-1")
    assert {first["address"], second["address"]} == {one["Service"]["Address"] for one in ends.consul.instances("web")}


async def test_a_second_pass_has_nothing_to_do(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    await ends.sync("--once")
    writes = ends.writes
    ran = await ends.sync("--once")
    assert (ran.code, ran.out) == (0, "0 registered, 0 updated, 0 deregistered, 0 withheld\n")
    assert ends.writes == writes


async def test_a_service_that_is_gone_is_deregistered(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    ends.cluster.apply(service("other"))
    await ends.sync("--once")
    ends.cluster.delete("services", "web")
    ran = await ends.sync("--once")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "0 registered, 0 updated, 1 deregistered, 0 withheld"
    assert "web" not in ends.registered()


async def test_what_the_policy_leaves_undone_is_no_failure(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    await ends.sync("--once")
    ends.cluster.delete("services", "web")
    ran = await ends.sync("--once", "--policy", "upsert-only", "--output", "json")
    assert (ran.code, complaints(ran)) == (0, [])
    assert [one["reason"] for one in ran.json["withheld"]] == ["policy"]
    assert "web" in ends.registered()


async def test_what_is_anothers_is_left_alone_and_that_is_done_in_part(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    (entry,) = (await ends.sync("--dry-run", "--output", "json")).json["register"]
    ends.consul.register(node=entry["node"], address=entry["address"], service="web", id=entry["id"], port=1)
    before = ends.consul.dump()["nodes"]
    ran = await ends.sync("--once", "--output", "json")
    assert ran.code == 6
    assert [one["reason"] for one in ran.json["withheld"]] == ["foreign"]
    assert ran.err.splitlines()[-1] == "discovery: done in part: 1 withheld as foreign"
    assert ends.consul.dump()["nodes"] == before


async def test_a_service_that_cannot_be_registered_is_done_in_part_and_the_others_are(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    for odd, said in (
        ("odd", "1 Service cannot be registered as it is"),
        ("odder", "2 Services cannot be registered as they are"),
    ):
        ends.cluster.apply(service(odd, service_weight="heavy"))
        for mode in ("--dry-run", "--once"):
            ran = await ends.sync(mode)
            assert ran.code == 6
            assert ran.err.splitlines()[-1] == f"discovery: done in part: {said}"
    assert ends.registered() == {"web"}


async def test_a_plan_that_rests_on_a_filtered_read_says_so_and_is_done_in_part(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    await ends.sync("--once")
    ends.consul.faults.filtered()
    for mode in ("--dry-run", "--once"):
        ran = await ends.sync(mode, "--output", "json")
        assert (ran.code, ran.json["withheld"]) == (6, [])
        assert ran.err.splitlines()[-1] == (
            "discovery: done in part: the plan rests on a read from which Consul left out what the token may not see"
        )
        assert "give the token service:read" in ran.err


async def test_a_service_that_acls_deny_is_done_in_part(ends: Ends) -> None:
    await ends.cluster.deploy("web", kind="NodePort")
    await ends.cluster.deploy("secret", kind="NodePort")
    ends.consul.faults.deny_service("secret")
    ran = await ends.sync("--once", "--output", "json")
    assert ran.code == 6
    assert [(one["service"], one["reason"]) for one in ran.json["withheld"]] == [("secret", "denied")]
    assert ends.registered() == {"web"}


async def test_too_many_removals_wait_for_their_word(ends: Ends) -> None:
    for number in range(4):
        await ends.cluster.deploy(f"web-{number}", kind="NodePort")
    await ends.sync("--once")
    for number in range(3):
        ends.cluster.delete("services", f"web-{number}")
    few = ("--once", "--max-deletes", "1", "--max-delete-percent", "1")
    ran = await ends.sync(*few)
    assert ran.code == 6
    told = ran.err.splitlines()[-1]
    assert told.startswith("discovery: done in part: 3 withheld as too-many (--approve ")
    assert len(ends.registered()) == 4
    ran = await ends.sync(*few, "--approve", "00000000", "--output", "json")
    assert (ran.code, len(ends.registered())) == (6, 4)
    assert len(ran.json["withheld"]) == 3
    assert ran.err.splitlines()[0] == "the word 00000000 is in Consul, as the key discovery/prod/approve"
    ran = await ends.sync(*few, "--approve", told.rpartition("--approve ")[2].rstrip(")"))
    assert ran.code == 0
    assert ends.registered() == {"web-3"}


async def test_an_approval_alone_is_written_for_whoever_leads(ends: Ends) -> None:
    ran = await ends.sync("--approve", "0a1b2c3d")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "the word 0a1b2c3d is in Consul, as the key discovery/prod/approve\n"
    assert [*ends.consul.dump()["keys"]] == ["discovery/prod/approve"]
    assert ends.cluster.requests == []


async def test_foreign_text_moves_no_cursor(ends: Ends) -> None:
    ends.cluster.apply(service("odd", service_tags="\x1b[31mred", service_weight="\x1b[2J"))
    for arguments in (("--dry-run",), ("--once", "--log-json")):
        ran = await ends.sync(*arguments)
        assert all(line.isprintable() for line in (ran.out + ran.err).splitlines())


# What cannot be done


async def test_a_consul_that_is_away_is_not_reachable(ends: Ends) -> None:
    await ends.consul.stop()
    for mode in (("--dry-run",), ("--once", "--timeout", "1"), ("--approve", "0a1b2c3d")):
        ran = await ends.sync(*mode)
        assert (ran.code, ran.out) == (3, ""), ran
        assert ran.err.splitlines()[-1].startswith("discovery: ")


async def test_a_token_that_may_not_read_is_denied(ends: Ends) -> None:
    async with FakeConsul(acls=True) as consul:
        token = consul.create_token(Rules())
        ran = await Ends(ends.cluster, consul).sync("--approve", "0a1b2c3d", token=token)
        assert (ran.code, ran.out) == (4, ""), ran
        assert "key" in ran.err


async def test_one_pass_with_a_token_that_may_not_lead_is_denied_at_once_and_says_so_once(ends: Ends) -> None:
    async with FakeConsul(acls=True) as consul:
        token = consul.create_token(Rules(node={"": "write"}, service={"": "write"}, key={"": "write"}))
        ran = await Ends(ends.cluster, consul).sync("--once", "--timeout", "600", token=token)
        assert ran.code == 4
        assert "session" in ran.complaint


async def test_a_cluster_that_forbids_it_is_denied_and_the_rule_is_named(ends: Ends) -> None:
    ends.cluster.faults.deny("nodes")
    ran = await ends.sync("--dry-run")
    assert ran.code == 4
    assert "list nodes" in ran.complaint


@pytest.mark.parametrize("mode", [("--once", "--timeout", "600"), ("--dry-run",)])
async def test_a_kubeconfig_that_is_missing_is_one_complaint(ends: Ends, tmp_path: Path, mode: tuple[str, ...]) -> None:
    ran = await ends.sync("--kubeconfig", tmp_path / "nowhere", *mode)
    assert ran.code == 2
    assert "nowhere" in ran.complaint
    assert ends.writes == 0


async def test_a_cluster_that_is_away_is_not_reachable(ends: Ends, tmp_path: Path) -> None:
    nowhere = kubeconfig_of(ends.cluster, tmp_path, server="http://127.0.0.1:9")
    ran = await ends.sync("--once", "--kubeconfig", nowhere, "--timeout", "4")
    assert (ran.code, ran.out) == (3, "")
    assert "127.0.0.1:9" in ran.err.splitlines()[-1]
    assert ends.writes == 0
