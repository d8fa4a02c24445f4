"""Writes carry the version that they were planned from: what changed hands in between stays with whoever has it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web

from discovery import AccessDenied, ApiUnavailable
from discovery.bridge.inbound.apply import Objects
from discovery.bridge.inbound.held import Held
from discovery.bridge.inbound.plan import Seen, plan
from discovery.bridge.leading.session_lock import NotLeading
from discovery.kube.access import Access
from tests.kube.object_server import Refusal

from .cluster import Cluster, cluster
from .scene import OPTIONS, at, foreign_service

A, B = ("10.0.0.1", 80), ("10.0.0.2", 80)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Access]]:
    async with cluster(tmp_path) as found:
        yield found


async def synced(place: tuple[Cluster, Access], seen: Seen, **more: Any) -> tuple[Objects, Held]:
    objects = Objects(place[1], OPTIONS, more.pop("permit", None))
    held = await objects.read()
    outcome = await objects.apply(plan(seen, held, OPTIONS, gone=lambda _: True), held)
    assert not outcome.failures
    place[0].asked.clear()
    return objects, held


async def test_what_is_written_is_known_without_being_read_again(place: tuple[Cluster, Access]) -> None:
    objects, held = await synced(place, {"db": at(A, B), "web": at(A)})
    assert held == await objects.read()
    assert place[0].endpoints("db") == {A: True, B: True}
    held_again = plan({"db": at(A, B), "web": at(A)}, held, OPTIONS, gone=lambda _: True)
    assert held_again.units == ()


async def test_long_lists_are_read_in_pages_and_all_at_once_where_a_page_came_too_late(
    place: tuple[Cluster, Access],
) -> None:
    seen = {f"db-{n}": at(A) for n in range(10)}
    objects, held = await synced(place, seen)
    assert len(held.services) == 10
    assert len((await objects.read()).slices) == 10
    place[0].expire_pages = True
    assert len((await objects.read()).slices) == 10


async def test_an_object_that_changed_in_between_is_left_alone_and_read_anew(place: tuple[Cluster, Access]) -> None:
    objects, held = await synced(place, {"db": at(A), "web": at(A)})
    slice_ = next(body for name, body in held.slices.items() if name.startswith("db-"))
    place[0].there({**slice_, "metadata": {**slice_["metadata"], "finalizers": ["x/y"]}})
    outcome = await objects.apply(plan({"db": at(B), "web": at(B)}, held, OPTIONS, gone=lambda _: True), held)
    assert (outcome.stale, list(outcome.failures), outcome.replaced) == (True, ["db"], 1)
    assert place[0].endpoints("db") == {A: True}
    assert place[0].endpoints("web") == {B: True}


async def test_a_service_that_became_somebody_elses_in_between_is_not_deleted_nor_are_its_slices(
    place: tuple[Cluster, Access],
) -> None:
    objects, held = await synced(place, {"db": at(A)})
    del place[0].objects["/api/v1/namespaces/shop/services/db"]
    place[0].there(foreign_service("db", clusterIP="10.96.0.1"))
    outcome = await objects.apply(plan({}, held, OPTIONS, gone=lambda _: True), held)
    assert (outcome.stale, outcome.deleted) == (True, 0)
    assert place[0].service("db") is not None
    assert place[0].endpoints("db") == {A: True}


async def test_a_name_that_somebody_took_in_between_is_left_to_them(place: tuple[Cluster, Access]) -> None:
    objects, held = await synced(place, {})
    place[0].there(foreign_service("db"))
    outcome = await objects.apply(plan({"db": at(A)}, held, OPTIONS, gone=lambda _: True), held)
    assert (outcome.stale, outcome.writes) == (True, 0)
    assert place[0].endpoints("db") == {}


async def test_what_the_garbage_collector_deleted_first_is_as_good_as_deleted(place: tuple[Cluster, Access]) -> None:
    objects, held = await synced(place, {"db": at(A)})
    for path in [path for path in place[0].objects if "endpointslices" in path]:
        del place[0].objects[path]
    outcome = await objects.apply(plan({}, held, OPTIONS, gone=lambda _: True), held)
    assert (outcome.failures, outcome.stale, outcome.deleted) == ({}, False, 2)
    assert held == Held()


async def test_a_refused_service_holds_up_no_other(place: tuple[Cluster, Access]) -> None:
    objects = Objects(place[1], OPTIONS, None)
    held = await objects.read()
    place[0].refused = {"b": (403, "Forbidden", "a webhook says no")}
    seen = {name: at(A) for name in ("a", "b", "c")}
    outcome = await objects.apply(plan(seen, held, OPTIONS, gone=lambda _: True), held)
    assert (sorted(held.services), list(outcome.failures)) == (["a", "c"], ["b"])
    assert [type(error) for error in outcome.failures.values()] == [AccessDenied]
    assert 'verbs: ["create"]' in outcome.failures["b"].next_step
    assert "b-" not in str(sorted(held.slices))


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_server_that_cannot_is_not_asked_for_every_service(place: tuple[Cluster, Access], code: int) -> None:
    objects = Objects(place[1], OPTIONS, None)
    held = await objects.read()
    place[0].refusal = Refusal(code, "No", "not now", lambda asked: asked.method == "POST")
    place[0].asked.clear()
    with pytest.raises(ApiUnavailable):
        await objects.apply(plan({f"db-{n}": at(A) for n in range(50)}, held, OPTIONS, gone=lambda _: True), held)
    assert len(place[0].asked) <= 4


@attrs.define
class Deposed:
    """Leads for so many writes."""

    left: int

    @property
    def leading(self) -> bool:
        return self.left > 0

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise NotLeading("another one leads")


async def test_who_does_not_lead_any_more_begins_no_further_write(place: tuple[Cluster, Access]) -> None:
    objects = Objects(place[1], OPTIONS, Deposed(3))
    held = await objects.read()
    with pytest.raises(NotLeading):
        await objects.apply(plan({f"db-{n}": at(A) for n in range(9)}, held, OPTIONS, gone=lambda _: True), held)
    assert len(place[0].written) == 3


async def test_a_proxy_that_answers_something_else_is_no_empty_namespace(place: tuple[Cluster, Access]) -> None:
    answers: list[Callable[[], web.Response]] = [
        lambda: web.json_response({"hello": "world"}),
        lambda: web.Response(text="<html>", content_type="text/html"),
    ]
    for made in answers:
        place[0]._list = lambda _, made=made: made()  # type: ignore[method-assign, misc]
        with pytest.raises(ApiUnavailable, match="cannot be read"):
            await Objects(place[1], OPTIONS, None).read()
