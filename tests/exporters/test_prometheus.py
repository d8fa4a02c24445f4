"""Figures for Prometheus: of a bridge as it stands at each scrape, and of events without the addresses in them."""

import subprocess
import sys

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from discovery import Event
from discovery.bridge.status import BridgeStatus
from discovery.exporters.prometheus import OF_TARGETS, BridgeCollector, Exporter, page
from discovery.version import __version__

STATUS = BridgeStatus(
    owner="prod-eu",
    synced=True,
    stale_for=1.5,
    leading=True,
    leader_known=True,
    leader="bridge-0_12345678",
    owned=5,
    passing=3,
    services=2,
    withheld={"too-many": 4, "foreign": 1},
    asks="0a1b2c3d",
    unusable={("shop", "web"): "its name"},
    passes=7,
    transactions=9,
    changes={"register": 5},
    errors={"unreachable": 2},
    behind_for=0.25,
    last_error="Consul is away",
)


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every figure of the page as a scraper reads it."""
    families = text_string_to_metric_families(page(registry).decode())
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
        if not one.name.endswith("_created")
    }


def test_all_of_a_status_is_on_the_page() -> None:
    registry = CollectorRegistry()
    registry.register(BridgeCollector(lambda: STATUS))
    found = {
        name.removeprefix("discovery_bridge_") + "".join(f" {value}" for _, value in labels): value
        for (name, labels), value in samples(registry).items()
    }
    assert found == {
        f"info prod-eu {__version__}": 1,
        "leading": 1,
        "leader_known": 1,
        "synced": 1,
        "stale_seconds": 1.5,
        "behind_seconds": 0.25,
        "instances passing": 3,
        "instances critical": 2,
        "services": 2,
        "withheld foreign": 1,
        "withheld too-many": 4,
        "asks": 1,
        "unusable_services": 1,
        "passes_total": 7,
        "transactions_total": 9,
        "changes_total register": 5,
        "errors_total unreachable": 2,
    }


def test_the_figures_are_those_of_the_moment_and_registering_asks_for_none() -> None:
    asked: list[BridgeStatus] = []

    def status() -> BridgeStatus:
        asked.append(BridgeStatus(passes=len(asked)))
        return asked[-1]

    registry = CollectorRegistry()
    registry.register(BridgeCollector(status))
    assert asked == []
    for scrape in range(3):
        assert samples(registry)["discovery_bridge_passes_total", ()] == scrape


def test_no_name_of_a_service_or_a_replica_is_a_label() -> None:
    registry = CollectorRegistry()
    registry.register(BridgeCollector(lambda: STATUS))
    text = page(registry).decode()
    assert not any(foreign in text for foreign in ("shop", "bridge-0", "0a1b2c3d", "Consul is away"))


def test_events_are_counted_by_name_and_some_of_them_by_target() -> None:
    registry = CollectorRegistry()
    exporter = Exporter(registry)
    target = "endpoints://shop/web:http"
    for name, data in (
        ("call.retried", {"attempt": 1, "error": "10.0.0.1 refused"}),
        ("call.retried", {"attempt": 2, "error": "10.0.0.2 refused"}),
        ("backend.ejected", {"backend": "10.0.0.1:80", "reason": "5 failures"}),
        ("pool.changed", {"ready": 1, "known": 2}),
    ):
        exporter(Event(name, target, data))
    assert samples(registry) == {
        ("discovery_events_total", (("event", "call.retried"),)): 2,
        ("discovery_events_total", (("event", "backend.ejected"),)): 1,
        ("discovery_events_total", (("event", "pool.changed"),)): 1,
        ("discovery_target_events_total", (("event", "call.retried"), ("target", target))): 2,
        ("discovery_target_events_total", (("event", "backend.ejected"), ("target", target))): 1,
    }
    assert b"10.0.0" not in page(registry)


def test_another_hook_takes_each_event_too() -> None:
    taken: list[Event] = []
    exporter = Exporter(CollectorRegistry(), then=taken.append)
    events = [Event(name, "web") for name in sorted(OF_TARGETS)]
    for event in events:
        exporter(event)
    assert taken == events


def test_without_prometheus_client_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import discovery\n"
        "try: import discovery.exporters.prometheus\n"
        "except discovery.ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "metrics need prometheus-client. pip install 'aiodiscovery[prometheus]'\n"
