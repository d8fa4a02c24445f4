"""What is read of Kubernetes beside the watches: a second look says nothing of what has come since it began."""

import asyncio
from collections.abc import Callable, Mapping

import attrs
import pytest

from discovery.bridge.kubernetes.model import Cluster
from discovery.bridge.kubernetes.sources import Sources
from discovery.bridge.options import BridgeOptions
from discovery.kube.kinds import SERVICES, Kind
from discovery.kube.objects import Object
from discovery.kube.readers import Follower
from discovery.kube.store import Name

WEB, API = ("shop", "web"), ("shop", "api")


def listed(*names: Name) -> dict[Name, Object]:
    """Services of these names, as a list has them."""
    text = '{{"metadata":{{"namespace":"{}","name":"{}","uid":"u","resourceVersion":"1"}},"spec":{{}}}}'
    return {name: SERVICES.from_json(text.format(*name).encode()) for name in names}


class Played:
    """A Kubernetes whose lists are answered when the test has them be."""

    def __init__(self) -> None:
        self.followers: dict[Kind, Follower] = {}
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Mapping[Name, Object]] = asyncio.get_running_loop().create_future()

    def follow(self, kind: Kind, namespace: str | None, follower: Follower) -> Callable[[], None]:
        self.followers[kind] = follower
        return lambda: None

    async def listed_anew(self, kind: Kind, namespace: str | None) -> Mapping[Name, Object]:
        if kind is not SERVICES:
            return {}
        self.asked.set()
        return await self.answer


@attrs.define
class Scene:
    played: Played
    cluster: Cluster
    sources: Sources

    async def said(self, changes: Mapping[Name, Object | None], *, listed: bool) -> None:
        """The watch of Services, or a list of its own, has told of this; and it is taken up."""
        self.played.followers[SERVICES].changed(changes, listed=listed)
        await self.sources.take_up()

    async def looked(self, *there: Name) -> None:
        """A second look, from its beginning to its end."""
        await self.ended(await self.begun(), *there)

    async def begun(self) -> "asyncio.Task[object]":
        """A second look that has been asked for and is not answered."""
        self.played.asked.clear()
        self.played.answer = asyncio.get_running_loop().create_future()
        look = asyncio.create_task(self.sources.read_anew())
        await self.played.asked.wait()
        return look

    async def ended(self, look: "asyncio.Task[object]", *there: Name) -> None:
        """It is answered so."""
        self.played.answer.set_result(listed(*there))
        await self.sources.take_up()
        self.sources.settle(await look)  # type: ignore[arg-type]


@pytest.fixture
async def scene() -> Scene:
    options = BridgeOptions(owner="test")
    cluster, played = Cluster(options), Played()
    sources = Sources(played, options, cluster, lambda _: None, lambda: None)
    sources.open()
    made = Scene(played, cluster, sources)
    await made.said(listed(WEB, API), listed=True)
    return made


async def test_what_two_lists_lack_is_gone(scene: Scene) -> None:
    await scene.said({WEB: None}, listed=True)
    await scene.looked(API)
    assert scene.cluster.names("services") == {API}


async def test_what_the_second_list_has_stays_and_is_not_doubted(scene: Scene) -> None:
    await scene.said({WEB: None}, listed=True)
    await scene.looked(WEB, API)
    assert scene.cluster.names("services") == {WEB, API}
    assert not scene.cluster.doubted["services"]


async def test_a_look_that_began_before_a_list_lacked_something_neither_vouches_for_it_nor_ends_it(
    scene: Scene,
) -> None:
    for there in ((WEB, API), (API,)):
        look = await scene.begun()
        await scene.said({WEB: None}, listed=True)
        await scene.ended(look, *there)
        assert scene.cluster.names("services") == {WEB, API}
        assert scene.cluster.doubted["services"] == {WEB}
    await scene.looked(API)
    assert scene.cluster.names("services") == {API}


async def test_a_look_says_what_a_list_has_lacked_before_it_though_that_is_taken_up_later(scene: Scene) -> None:
    scene.played.followers[SERVICES].changed({WEB: None}, listed=True)
    await scene.looked(API)
    assert scene.cluster.names("services") == {API}


async def test_what_the_first_list_lacked_wrongly_is_there_by_the_second(scene: Scene) -> None:
    other = ("shop", "other")
    await scene.looked(WEB, API, other)
    assert other in scene.cluster.names("services")


async def test_what_an_event_ended_while_a_look_went_on_does_not_come_back_by_it(scene: Scene) -> None:
    look = await scene.begun()
    await scene.said({WEB: None}, listed=False)
    await scene.ended(look, WEB, API)
    assert scene.cluster.names("services") == {API}
