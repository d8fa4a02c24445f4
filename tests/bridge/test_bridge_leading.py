"""What else is for the leader only asks the bridge: it says whether it leads, and when that may have changed."""

import asyncio
from typing import Any

import pytest

from discovery.bridge.leading.term import NotLeading

from ..until import until
from .scene import Scene, scene


async def many(place: Scene, count: int) -> None:
    """Services with an instance each, registered, of which all but one are gone since."""
    async with place.running() as bridge:
        for number in range(count):
            await place.cluster.deploy(f"web-{number}", replicas=1, kind="NodePort")
        await until(lambda: bridge.status.owned == count)
    for number in range(1, count):
        place.cluster.delete("services", f"web-{number}")


async def test_a_bridge_that_does_not_run_does_not_lead() -> None:
    async with scene() as place, place.bridge() as bridge:
        assert not bridge.leading
        with pytest.raises(NotLeading, match="does not run"):
            bridge.check()


async def test_it_says_when_it_leads_and_when_not_any_more() -> None:
    told: list[bool] = []
    async with scene() as place, place.bridge() as bridge:
        bridge.on_leadership(lambda: told.append(bridge.leading))
        task = asyncio.create_task(bridge.run())
        await until(lambda: bridge.leading)
        bridge.check()
        assert told[-1]
        task.cancel()
        await asyncio.wait([task])
        assert not bridge.leading
        with pytest.raises(NotLeading):
            bridge.check()


async def test_of_two_only_the_leader_lets_something_begin_and_who_asks_late_is_told_too() -> None:
    async with scene() as place, place.running() as first:
        await until(lambda: first.leading)
        async with place.running() as second:
            told: list[bool] = []
            await until(lambda: second.status.synced and second.status.leader_known)
            second.on_leadership(lambda: told.append(second.leading))
            with pytest.raises(NotLeading, match="does not lead"):
                second.check()
            place.consul.expire_session(*place.consul.dump()["sessions"])
            await until(lambda: True in told or first.leading)
            await until(lambda: first.leading is not second.leading)
            (second if second.leading else first).check()


# What the leader says


async def test_a_word_that_is_not_the_one_asked_for_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discovery.bridge.running.ASKED_AGAIN", 0.02)
    async with scene() as place:
        await many(place, 6)
        async with place.running(max_deletes=1, max_delete_percent=1.0) as bridge:
            await until(lambda: bool(bridge.status.asks))
            asks = bridge.status.asks
            assert place.told("bridge.unapproved") == []
            assert await bridge.approve("0000") == "discovery/prod/approve"
            await until(lambda: bool(place.told("bridge.unapproved")))
            looks = len(place.consul.requests)
            await until(lambda: len(place.consul.requests) > looks + 10)
            (event,) = place.told("bridge.unapproved")
            assert (event.subject, event.data) == ("prod", {"word": "'0000'", "asks": asks})
            assert bridge.status.owned == 6
            await bridge.approve(asks)
            await until(lambda: bridge.status.owned == 1)
            assert len(place.told("bridge.unapproved")) == 1


@pytest.mark.parametrize(
    ("shutdown", "wrote"), [("keep", None), ("critical", {"check": 2}), ("deregister", {"deregister": 2})]
)
async def test_what_is_done_at_the_end_is_told(shutdown: Any, wrote: dict[str, int] | None) -> None:
    async with scene() as place:
        await place.cluster.deploy("web", replicas=2, kind="NodePort")
        async with place.running(shutdown=shutdown) as bridge:
            await until(lambda: bridge.status.passing == 2)
            before = len(place.told("bridge.wrote"))
        told = [event.data for event in place.told("bridge.wrote")[before:]]
        assert told == ([] if wrote is None else [wrote])
        assert wrote is None or bridge.status.changes.items() >= wrote.items()


async def test_whose_it_is_is_in_its_status_before_it_runs_and_while_it_does() -> None:
    async with scene() as place, place.bridge("prod-eu") as bridge:
        assert bridge.status.owner == "prod-eu"
    async with scene() as place, place.running("prod-eu") as bridge:
        await until(lambda: bridge.leading)
        assert bridge.status.owner == "prod-eu"
