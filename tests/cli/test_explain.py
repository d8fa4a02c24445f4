"""`discovery explain`: every candidate, in or out, why, and what the command ends with."""

from pathlib import Path

import attrs
import pytest

from discovery.testing import FakeCluster

from .command import kubeconfig_of, run
from .test_resolve import slice_of


async def test_each_candidate_has_a_line_that_says_whether_it_is_used_and_why(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", replicas=2)
    web.set_ready(web.pods[1], False)
    ran = await run("explain", "web:http", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    head, *rows = (line.split(maxsplit=5) for line in ran.out.splitlines())
    assert head == ["ADDRESS", "USABLE", "ZONE", "NODE", "POD", "REASON"]
    assert sorted(rows) == sorted(
        [f"{pod.address}:{pod.port}", usable, pod.zone, pod.node, pod.name, reason]
        for pod, usable, reason in zip(web.pods, ("yes", "no"), ("ready", "not ready"), strict=True)
    )


async def test_json_has_each_backend_with_the_verdict_and_the_reason(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", replicas=2)
    web.set_ready(web.pods[1], False)
    ran = await run("explain", "web:http", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    said = ran.json
    candidates = said.pop("candidates")
    assert said == {"target": "endpoints://default/web:http", "synced": True, "notes": [], "error": None}
    verdicts = [{name: one[name] for name in ("address", "usable", "reason", "in_flight")} for one in candidates]
    assert verdicts == [
        {"address": web.pods[0].address, "usable": True, "reason": "ready", "in_flight": 0},
        {"address": web.pods[1].address, "usable": False, "reason": "not ready", "in_flight": 0},
    ]
    resolved = await run("resolve", "web:http", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert resolved.json["backends"][0].items() <= candidates[0].items(), "with all fields of a backend"


async def test_a_client_that_uses_a_hundred_of_more_tells_of_all_and_where_to_ask_for_its_own() -> None:
    target = "static://" + ",".join(f"10.0.0.{number}:80" for number in range(1, 151))
    ran = await run("explain", target, "--output", "json")
    assert [one["usable"] for one in ran.json["candidates"]] == [True] * 150
    resolved = await run("resolve", target, "--output", "json")
    assert len(resolved.json["backends"]) == 150
    ran = await run("explain", "--help")
    assert "only its own pool.explain() tells" in " ".join(ran.out.split())


@pytest.mark.parametrize("output", ["table", "json"])
async def test_notes_come_with_it(fake_cluster: FakeCluster, output: str) -> None:
    await fake_cluster.deploy("web")
    fake_cluster.patch("services", "web", {"spec": {"sessionAffinity": "ClientIP"}})
    ran = await run("explain", "web:http", "--output", output, "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    if output == "json":
        (note,) = ran.json["notes"]
        assert "session affinity" in note
    else:
        rows, _, notes = ran.out.partition("\n\n")
        assert len(rows.splitlines()) == 2
        assert notes.startswith("note: ")
        assert "session affinity" in notes


async def test_where_nothing_is_usable_it_shows_what_is_there_and_ends_with_1(fake_cluster: FakeCluster) -> None:
    fake_cluster.apply(slice_of(conditions={"ready": False}))
    for output in ("table", "json"):
        ran = await run("explain", "odd:http", "--output", output, "--kubeconfig", fake_cluster.kubeconfig)
        assert ran.code == 1
        why = attrs.evolve(ran, out="").complaint
        assert "has nothing usable: 1 known, none ready" in why
        if output == "json":
            assert (ran.json["candidates"][0]["usable"], ran.json["synced"], ran.json["error"]) == (False, True, why)
        else:
            assert ran.out.splitlines()[1].split() == ["10.0.0.1:8080", "no", "-", "-", "-", "not", "ready"]


async def test_what_is_not_there_is_5_and_what_is_denied_4_and_json_says_it_too(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    ran = await run("explain", "web:81", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.json["synced"], ran.json["candidates"]) == (5, True, [])
    assert ran.json["error"].endswith("It has http=80")
    fake_cluster.faults.deny("endpointslices")
    ran = await run("explain", "web:http", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.json["synced"], ran.json["candidates"]) == (4, False, [])
    assert "Allow it with a Role" in ran.json["error"]
    ran = await run("explain", "web:http", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, "Allow it with a Role" in ran.complaint) == (4, True)


async def test_a_server_that_does_not_answer_is_3(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    fake_cluster.faults.stall()
    config = kubeconfig_of(fake_cluster, tmp_path)
    ran = await run("explain", "web:http", "--timeout", "1", "--kubeconfig", config)
    assert (ran.code, "no answer for endpoints://default/web:http within 1 s" in ran.complaint) == (3, True)


async def test_no_control_character_of_the_cluster_reaches_the_terminal(fake_cluster: FakeCluster) -> None:
    evil = "\x1b[2J\x07\u202e\r\n"
    fake_cluster.apply(slice_of(nodeName=evil, zone=evil, targetRef={"kind": "Pod", "name": f"{evil}pod", "uid": evil}))
    for output in ("table", "json"):
        ran = await run("explain", "odd:http", "--output", output, "--kubeconfig", fake_cluster.kubeconfig)
        assert (ran.code, ran.err) == (0, "")
        assert all(line.isprintable() for line in ran.out.split("\n")), repr(ran.out)
