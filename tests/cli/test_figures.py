"""Metrics are there when they are wanted and prometheus-client is; the hook takes events whatever of it there is."""

import sys

import pytest

from discovery import ConsulBridge, Discovery, Event
from discovery.cli.figures import Figures

EVENT = Event("bridge.synced", "prod")


@pytest.fixture
async def bridge() -> ConsulBridge:
    async with Discovery(consul="http://127.0.0.1:9") as disco:
        return ConsulBridge(disco, owner="prod")


async def test_the_page_has_the_events_the_process_and_the_bridge(bridge: ConsulBridge) -> None:
    taken: list[Event] = []
    figures = Figures(taken.append, wanted=True)
    figures.hook(EVENT)
    page_of = figures.page_of(bridge)
    assert page_of is not None
    kind, text = page_of()
    assert kind.startswith("text/plain; version=0.0.4")
    lines = text.decode().splitlines()
    assert 'discovery_events_total{event="bridge.synced"} 1.0' in lines
    assert "discovery_bridge_leading 0.0" in lines
    assert any(line.startswith("process_cpu_seconds_total ") for line in lines)
    assert taken == [EVENT]


async def test_two_in_one_process_know_nothing_of_each_other(bridge: ConsulBridge) -> None:
    for _ in range(2):
        figures = Figures(lambda _: None, wanted=True)
        figures.hook(EVENT)
        page_of = figures.page_of(bridge)
        assert page_of is not None
        assert b'discovery_events_total{event="bridge.synced"} 1.0\n' in page_of()[1]


@pytest.mark.parametrize("missing", [True, False])
async def test_without_the_extra_or_where_nobody_looks_there_is_no_page_and_events_go_on(
    missing: bool, bridge: ConsulBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
    taken: list[Event] = []
    figures = Figures(taken.append, wanted=missing)
    figures.hook(EVENT)
    assert (figures.page_of(bridge), taken) == (None, [EVENT])
