"""What else is for the leader only asks the bridge: it says whether it leads, and when that may have changed."""

import asyncio

import pytest

from discovery.bridge.leading.term import NotLeading

from ..until import until
from .scene import scene


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
