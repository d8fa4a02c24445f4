"""The backends one client uses: its subset of what there is, less who is out, and one timer at most."""

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from discovery.balancing.outlier import OutlierDetection
from discovery.balancing.subset import Subset
from discovery.candidates import Candidates
from discovery.membership import Membership

from . import virtual
from .sources import backend
from .until import until

if TYPE_CHECKING:
    import discovery


class Scene:
    def __init__(self, subset: Subset | None = None, outlier: OutlierDetection | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[discovery.Event] = []
        self.membership = Membership("test://web", emit=self.events.append, clock=self.loop.time)
        self.told = 0
        self.candidates = Candidates(self.membership, subset, outlier, emit=self.events.append, rng=random.Random(1))
        self.candidates.listen(self._tell)

    def _tell(self) -> None:
        self.told += 1

    def show(self, *numbers: int) -> None:
        self.membership.replace([backend(number) for number in numbers])

    def timer(self) -> asyncio.TimerHandle | None:
        return self.candidates._timer

    def names(self) -> list[str]:
        return [event.name for event in self.events if not event.name.startswith("pool.")]

    def fail(self, number: int, times: int) -> None:
        node = self.membership.record(backend(number).id)
        assert node is not None
        for _ in range(times):
            node.fail()


async def test_all_there_are_is_the_memberships_own_list() -> None:
    scene = Scene()
    scene.show(1, 2)
    assert scene.candidates.nodes is scene.membership.nodes
    assert scene.told == 1


async def test_a_subset_follows_what_comes_and_goes_and_tells_only_of_its_own() -> None:
    scene = Scene(Subset(size=3, client="me"))
    scene.show(*range(1, 21))
    chosen = {node.backend.address for node in scene.candidates.nodes}
    assert len(chosen) == 3
    outsider = next(node for node in scene.membership.nodes if node not in scene.candidates)
    told = scene.told
    scene.membership.update([], [outsider.backend.id])
    assert scene.told == told
    member = scene.candidates.nodes[0]
    scene.membership.update([], [member.backend.id])
    assert scene.told == told + 1
    assert member not in scene.candidates
    assert len(scene.candidates.nodes) == 3


def test_a_row_of_failures_puts_a_backend_out_and_a_timer_brings_it_to_its_probe() -> None:
    async def run() -> None:
        scene = Scene(outlier=OutlierDetection(ejection=30))
        scene.show(*range(1, 6))
        detector = scene.candidates.detector
        assert detector is not None
        scene.fail(1, 5)
        (out,) = scene.candidates.out
        assert out.backend.address == "10.0.0.1"
        assert scene.names() == ["backend.ejected"]
        started = scene.loop.time()
        while not detector.wanted():  # noqa: ASYNC110 - of virtual time
            await asyncio.sleep(1)
        assert 29 <= scene.loop.time() - started <= 32
        probe = detector.probe()
        assert probe is not None
        probe.in_flight += 1
        probe.succeed()
        probe.in_flight -= 1
        assert not scene.candidates.out
        assert scene.names() == ["backend.ejected", "backend.returned"]

    virtual.run(run())


async def test_a_failure_outside_of_the_subset_is_no_affair_of_its_detector() -> None:
    scene = Scene(Subset(size=3, client="me"), OutlierDetection())
    scene.show(*range(1, 21))
    outsider = next(node for node in scene.membership.nodes if node not in scene.candidates)
    for _ in range(10):
        outsider.fail()
    assert not scene.candidates.out


async def test_without_failures_no_timer_runs_and_once_it_is_closed_none_is_left() -> None:
    scene = Scene(outlier=OutlierDetection())
    scene.show(1, 2, 3)
    assert scene.timer() is None
    scene.fail(1, 1)
    timer = scene.timer()
    assert timer is not None
    scene.candidates.close()
    assert timer.cancelled()
    assert not scene.membership.watchers
    assert not scene.membership.followers


def test_an_outage_is_said_once_and_its_end_when_there_was_none_for_an_interval() -> None:
    async def run() -> None:
        scene = Scene(outlier=OutlierDetection(interval=10))
        scene.show(1, 2)
        for _ in range(20):  # up and down with each answer
            scene.fail(1, 5)
            scene.fail(2, 5)
            scene.show(3)
            scene.show(1, 2)
        assert scene.names() == ["outage.started"]
        scene.show(3)
        await asyncio.sleep(9)
        assert scene.names() == ["outage.started"]
        await asyncio.sleep(2)
        assert scene.names() == ["outage.started", "outage.ended"]
        assert not scene.candidates.outage
        scene.candidates.close()

    virtual.run(run())


@pytest.mark.parametrize("failing", [0.3, 0.5, 0.9])
def test_a_service_that_fails_in_part_fills_no_log(failing: float) -> None:
    async def run() -> None:
        scene, rng = Scene(outlier=OutlierDetection()), random.Random(1)
        scene.show(*range(1, 11))
        for _ in range(10_000):  # 20 s of 500 requests a second
            await asyncio.sleep(0.002)
            node = rng.choice(scene.membership.nodes)
            if rng.random() < failing:
                node.fail()
            else:
                node.succeed()
        assert len(scene.names()) < 100 * (1 - failing) + 15
        scene.candidates.close()

    virtual.run(run())


async def test_who_listens_no_more_is_told_no_more() -> None:
    scene = Scene()
    scene.candidates.leave(scene._tell)
    scene.show(1)
    assert scene.told == 0
    with pytest.raises(ValueError, match="not in list"):
        scene.candidates.leave(scene._tell)


async def test_a_probe_that_ends_after_it_is_closed_starts_no_timer_and_says_nothing() -> None:
    scene = Scene(outlier=OutlierDetection(ejection=0.001))
    scene.show(1, 2, 3)
    scene.fail(1, 5)
    detector = scene.candidates.detector
    assert detector is not None
    await until(detector.wanted)
    probe = detector.probe()
    assert probe is not None
    probe.in_flight += 1
    scene.candidates.close()
    before = scene.names()
    probe.fail()
    probe.in_flight -= 1
    timer = scene.timer()
    assert timer is None or timer.cancelled()
    assert scene.names() == before
    assert not scene.candidates.out


async def test_an_outage_that_is_none_among_more_backends_is_over_and_its_end_is_told_later() -> None:
    scene = Scene(outlier=OutlierDetection())
    scene.show(1, 2)
    scene.fail(1, 5)
    assert scene.names()[-1] == "outage.started"
    scene.show(1, 2, 3, 4, 5)
    assert not scene.candidates.suspended
    assert scene.candidates.outage
    scene.candidates.close()


def test_its_version_grows_with_who_is_out_and_not_with_who_is_to_be_probed() -> None:
    async def run() -> None:
        scene = Scene(outlier=OutlierDetection(ejection=30))
        scene.show(1, 2, 3)
        scene.fail(1, 5)
        detector, version, told = scene.candidates.detector, scene.candidates.version, scene.told
        assert detector is not None
        await asyncio.sleep(31)
        assert detector.wanted()
        assert scene.told > told
        assert scene.candidates.version == version
        probe = detector.probe()
        assert probe is not None
        probe.recover()
        assert scene.candidates.version > version

    virtual.run(run())
