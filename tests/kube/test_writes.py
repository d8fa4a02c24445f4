"""Single objects written: what is said, and what each refusal means."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from discovery import AccessDenied, ApiUnavailable, Unauthenticated
from discovery.errors import DiscoveryError
from discovery.kube import writes
from discovery.kube.writes import Conflict, Missing, Writes

from .object_server import ObjectServer, Refusal, reaching, serving
from .servers import Asking, Server, answer, config, refusal, shown, written

LEASES = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"
ONE = f"{LEASES}/one"
WHERE: dict[str, Any] = {"resource": "leases.coordination.k8s.io", "namespace": "shop"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("KUBE")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def server() -> AsyncIterator[ObjectServer]:
    async with serving() as made:
        yield made


@pytest.fixture
async def kube(server: ObjectServer, tmp_path: Path) -> AsyncIterator[Writes]:
    async with reaching(server, tmp_path) as access:
        yield Writes(access)


def body(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "one"}, "spec": spec}


async def test_what_is_created_is_read_back_as_the_server_made_it(server: ObjectServer, kube: Writes) -> None:
    made = await kube.create(LEASES, body(holder="a"), **WHERE)
    assert made == server.objects[ONE] == await kube.get(ONE, **WHERE)
    assert made["metadata"]["resourceVersion"] == "101"


async def test_a_version_is_replaced_once(server: ObjectServer, kube: Writes) -> None:
    read = await kube.create(LEASES, body(holder="a"), **WHERE)
    later = await kube.replace(ONE, {**read, "spec": {"holder": "b"}}, **WHERE)
    assert later["spec"] == {"holder": "b"}
    with pytest.raises(Conflict) as caught:
        await kube.replace(ONE, {**read, "spec": {"holder": "c"}}, **WHERE)
    assert not caught.value.exists
    assert "leases.coordination.k8s.io one in shop is not what it was" in str(caught.value)
    assert server.objects[ONE]["spec"] == {"holder": "b"}


async def test_without_a_version_whatever_is_there_is_replaced(server: ObjectServer, kube: Writes) -> None:
    await kube.create(LEASES, body(holder="a"), **WHERE)
    await kube.replace(ONE, body(holder="b"), **WHERE)
    assert server.objects[ONE]["spec"] == {"holder": "b"}


async def test_a_create_that_meets_one_of_that_name_says_so(server: ObjectServer, kube: Writes) -> None:
    await kube.create(LEASES, body(holder="a"), **WHERE)
    with pytest.raises(Conflict) as caught:
        await kube.create(LEASES, body(holder="b"), **WHERE)
    assert caught.value.exists
    assert server.objects[ONE]["spec"] == {"holder": "a"}


async def test_what_is_not_there_is_missing_for_each_verb(kube: Writes) -> None:
    for asking in (kube.get(ONE, **WHERE), kube.replace(ONE, body(), **WHERE), kube.delete(ONE, **WHERE)):
        with pytest.raises(Missing, match=r"no leases\.coordination\.k8s\.io one in shop"):
            await asking


async def test_a_namespace_that_is_not_there_is_missing_for_a_create(server: ObjectServer, kube: Writes) -> None:
    server.refusal = Refusal(404, "NotFound", 'namespaces "shop" not found')
    with pytest.raises(Missing, match="no namespace for leases") as caught:
        await kube.create(LEASES, body(), **WHERE)
    assert 'namespaces "shop" not found' in shown(caught.value)


async def test_a_delete_takes_away_what_is_there(server: ObjectServer, kube: Writes) -> None:
    await kube.create(LEASES, body(), **WHERE)
    await kube.delete(ONE, **WHERE)
    assert server.objects == {}
    assert server.bodies[-1] == {"kind": "DeleteOptions", "apiVersion": "v1"}


@pytest.mark.parametrize("wrong", [{"uid": "another"}, {"version": "1"}, {"uid": "uid-101", "version": "1"}])
async def test_a_delete_with_preconditions_spares_what_has_changed(
    server: ObjectServer, kube: Writes, wrong: dict[str, str]
) -> None:
    await kube.create(LEASES, body(), **WHERE)
    with pytest.raises(Conflict):
        await kube.delete(ONE, **WHERE, **wrong)
    assert ONE in server.objects
    await kube.delete(ONE, **WHERE, uid="uid-101", version="101")
    assert server.objects == {}


VERBS = {"get": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}


async def each(kube: Writes, verb: str) -> None:
    if verb == "create":
        await kube.create(LEASES, body(), **WHERE)
    elif verb == "update":
        await kube.replace(ONE, body(), **WHERE)
    else:
        await (kube.get(ONE, **WHERE) if verb == "get" else kube.delete(ONE, **WHERE))


@pytest.mark.parametrize("verb", VERBS)
async def test_a_denial_names_the_smallest_rule_that_allows_it(server: ObjectServer, kube: Writes, verb: str) -> None:
    """A create cannot be allowed by name: the server does not know the name yet when it decides."""
    server.refusal = Refusal(403, "Forbidden", "no")
    with pytest.raises(AccessDenied) as caught:
        await each(kube, verb)
    names = "" if verb == "create" else ', resourceNames: ["one"]'
    expected = f'{{apiGroups: ["coordination.k8s.io"], resources: ["leases"]{names}, verbs: ["{verb}"]}}'
    assert (caught.value.verb, caught.value.rule) == (verb, expected)
    assert server.asked[-1][0] == VERBS[verb]


@pytest.mark.parametrize("verb", VERBS)
async def test_no_write_is_tried_again_by_itself(server: ObjectServer, kube: Writes, verb: str) -> None:
    server.refusal = Refusal(503, "ServiceUnavailable", "later")
    with pytest.raises(ApiUnavailable) as caught:
        await each(kube, verb)
    assert caught.value.status == 503
    assert len(server.asked) == 1


async def test_a_server_that_does_not_answer_is_given_up(
    server: ObjectServer, kube: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "ANSWER", 0.05)
    server.hang = True
    with pytest.raises(ApiUnavailable, match="cannot be reached"):
        await kube.get(ONE, **WHERE)


@pytest.mark.parametrize("given", [b"[]", b"{", b"\xff", b""])
async def test_an_answer_that_is_no_object_is_unreadable(tmp_path: Path, given: bytes) -> None:
    async with Server(answer(given)) as server, Asking(written(tmp_path, config(server.url))) as one:
        with pytest.raises(ApiUnavailable, match="cannot be read"):
            await Writes(one.access).get(ONE, **WHERE)


@pytest.mark.parametrize("code", [404, 409])
async def test_a_refusal_that_is_not_an_api_servers_is_neither_missing_nor_a_conflict(
    tmp_path: Path, code: int
) -> None:
    """A gateway that answers 404 must not make anybody believe that an object is gone."""
    async with Server(answer("<html>", code)) as server, Asking(written(tmp_path, config(server.url))) as one:
        with pytest.raises(ApiUnavailable, match="not as a Kubernetes API server"):
            await Writes(one.access).get(ONE, **WHERE)


async def test_an_answer_cut_in_its_middle_is_a_failure_of_the_network(tmp_path: Path) -> None:
    cut = answer(b'{"metadata": {}}')[:-3]
    async with Server(cut) as server, Asking(written(tmp_path, config(server.url))) as one:
        with pytest.raises(ApiUnavailable, match="cannot be reached"):
            await Writes(one.access).get(ONE, **WHERE)


async def test_a_write_refused_for_its_token_is_sent_once_more_with_what_the_file_has_by_then(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    def renewed(_: Any) -> bytes:
        token.write_text("new")
        return refusal(401, "Unauthorized")

    async with (
        Server(renewed, answer(b'{"kind": "Lease"}', 201)) as server,
        Asking(written(tmp_path, config(server.url, {"tokenFile": str(token)}))) as one,
    ):
        assert await Writes(one.access).create(LEASES, body(), **WHERE) == {"kind": "Lease"}
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", "Bearer new"]
    assert [asked.headers["content-type"] for asked in server.asked] == ["application/json"] * 2


async def test_no_refusal_shows_the_token(tmp_path: Path) -> None:
    async with (
        Server(refusal(401)) as server,
        Asking(written(tmp_path, config(server.url, {"token": "s3cr3t"}))) as one,
    ):
        with pytest.raises(Unauthenticated) as caught:
            await Writes(one.access).create(LEASES, body(), **WHERE)
    assert "s3cr3t" not in shown(caught.value)


async def test_what_the_server_says_is_quoted(server: ObjectServer, kube: Writes) -> None:
    server.refusal = Refusal(422, "Invalid", "bad\x1b[31m")
    with pytest.raises(DiscoveryError) as caught:
        await kube.create(LEASES, body(), **WHERE)
    assert "\x1b" not in str(caught.value)
    assert "bad" in str(caught.value)


async def test_a_read_that_answers_as_a_write_does_is_no_success(tmp_path: Path) -> None:
    async with Server(answer(b"{}", 201)) as server, Asking(written(tmp_path, config(server.url))) as one:
        with pytest.raises(ApiUnavailable):
            await Writes(one.access).get(ONE, **WHERE)
