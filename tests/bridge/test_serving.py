"""The probes: alive while it makes progress, ready while it could do its work; and a page that says how it stands."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import ConfigurationError
from discovery.bridge.serving import STUCK, Liveness, Probes, as_json, parse_listen, why_unready
from discovery.bridge.status import BridgeStatus

READY = BridgeStatus(synced=True, leader_known=True, leader="bridge-0")
BEHIND = attrs.evolve(READY, leading=True, behind_for=STUCK + 100)


@attrs.define
class Bridge:
    """What is probed, and the time."""

    status: BridgeStatus = attrs.field(factory=BridgeStatus)
    now: float = 1000.0


@attrs.frozen
class Probed:
    """Asks the probes."""

    http: aiohttp.ClientSession
    port: int

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return response.status, (await response.text()).rstrip("\n")

    async def json(self, path: str) -> Any:
        async with self.http.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return await response.json()


@asynccontextmanager
async def probed(bridge: Bridge, **options: Any) -> AsyncIterator[Probed]:
    probes = Probes(lambda: bridge.status, listen="127.0.0.1:0", clock=lambda: bridge.now, **options)
    async with aiohttp.ClientSession() as http, probes:
        yield Probed(http, probes.port)


async def test_it_is_ready_when_all_is_listed_and_a_leader_is_known_whoever_it_is() -> None:
    bridge = Bridge()
    async with probed(bridge) as at:
        assert await at.get("/readyz") == (503, "Services, EndpointSlices and nodes have not all been listed yet")
        bridge.status = attrs.evolve(READY, leader_known=False)
        assert await at.get("/readyz") == (503, "no leader is known")
        bridge.status = attrs.evolve(READY, leader_known=False, last_error="Consul is away")
        assert await at.get("/readyz") == (503, "no leader is known: Consul is away")
        bridge.status = READY
        assert await at.get("/readyz") == (200, "ok")


async def test_it_is_alive_while_there_is_nothing_to_do_or_something_is_done() -> None:
    bridge = Bridge()
    async with probed(bridge) as at:
        for status in (BridgeStatus(), READY, BEHIND, attrs.evolve(BEHIND, passes=1)):
            bridge.status = status
            bridge.now += STUCK
            assert await at.get("/livez") == (200, "ok")
        bridge.now += STUCK + 1
        assert await at.get("/livez") == (503, "nothing has been written for 301 s, though something is to be")


@pytest.mark.parametrize("then", [{"passes": 1}, {"transactions": 1}, {"errors": {"unreachable": 1}}])
def test_a_pass_a_transaction_and_a_failure_are_progress(then: dict[str, Any]) -> None:
    liveness = Liveness()
    assert liveness.stuck(BEHIND, 0.0) == ""
    assert liveness.stuck(BEHIND, STUCK + 1) != ""
    assert liveness.stuck(attrs.evolve(BEHIND, **then), STUCK + 2) == ""
    assert liveness.stuck(attrs.evolve(BEHIND, **then), STUCK + 3 + STUCK) != ""


@pytest.mark.parametrize("then", [{"leading": False}, {"behind_for": 0.0}])
def test_who_has_nothing_to_write_is_not_stuck_however_long(then: dict[str, Any]) -> None:
    liveness = Liveness()
    for hour in range(5):
        assert liveness.stuck(attrs.evolve(BEHIND, **then), hour * 3600.0) == ""
    assert liveness.stuck(attrs.evolve(BEHIND, behind_for=1.0), 5 * 3600.0) == ""


async def test_the_page_says_how_it_stands() -> None:
    status = attrs.evolve(
        BEHIND, unusable={("shop", "web"): "its \x1b[31mname"}, withheld={"too-many": 60}, asks="0a1b2c3d"
    )
    async with probed(Bridge(status)) as at:
        found = await at.json("/status")
    assert found == as_json(status)
    assert found["unusable"] == {"shop/web": "its \x1b[31mname"}
    assert (found["ready"], found["asks"], found["withheld"]) == (True, "0a1b2c3d", {"too-many": 60})
    assert found.keys() == {"ready", *(field.name for field in attrs.fields(BridgeStatus))}


async def test_the_metrics_are_whatever_gives_them() -> None:
    async with (
        probed(Bridge(), metrics=lambda: ("text/plain; version=0.0.4", b"up 1\n")) as at,
        at.http.get(f"http://127.0.0.1:{at.port}/metrics") as response,
    ):
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4"
        assert await response.text() == "up 1\n"


async def test_without_the_extra_the_metrics_say_what_is_missing_and_the_probes_work() -> None:
    async with probed(Bridge(READY)) as at:
        status, said = await at.get("/metrics")
        assert (status, "aiodiscovery[prometheus]" in said) == (501, True)
        assert await at.get("/readyz") == (200, "ok")


async def test_nothing_else_is_served_and_nothing_can_be_written() -> None:
    async with probed(Bridge(READY)) as at:
        assert (await at.get("/"))[0] == 404
        async with at.http.post(f"http://127.0.0.1:{at.port}/status") as response:
            assert response.status == 405


async def test_after_its_end_nobody_listens() -> None:
    async with probed(Bridge()) as at:
        port = at.port
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"'{text}' cannot be listened on: .*already in use"):
            async with Probes(BridgeStatus, listen=text):
                pass


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (":8080", (None, 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_where_to_listen_is_read(text: str, means: tuple[str | None, int]) -> None:
    assert parse_listen(text) == means


@pytest.mark.parametrize("text", ["", "8080", ":", "localhost", ":65536", "::1:80", "http://a:80", "a:8 0", "\x1b:80"])
def test_where_nobody_can_listen_is_quoted(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be listened on\. Write HOST:PORT") as caught:
        parse_listen(text)
    assert str(caught.value).isprintable()


@given(st.text())
def test_whatever_the_text_it_is_a_port_or_an_error(text: str) -> None:
    try:
        port = parse_listen(text)[1]
    except ConfigurationError as error:
        said = str(error)
        assert said.isprintable()
    else:
        assert 0 <= port <= 65535


def test_ready_is_what_the_status_says() -> None:
    assert why_unready(READY) == ""
    assert why_unready(BridgeStatus()) != ""
