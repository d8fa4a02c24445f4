"""Figures for Prometheus, by prometheus-client: a collector over a bridge's status, and a hook that counts events.

No label holds the address of a backend: those come and go, and each would be a time series for ever.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from ..bridge.status import BridgeStatus
from ..errors import ConfigurationError
from ..events import Event
from ..version import __version__

try:
    from prometheus_client import CollectorRegistry, Counter, generate_latest
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import REGISTRY, Collector
except ImportError as missing:
    raise ConfigurationError(
        "metrics need prometheus-client", next_step="pip install 'aiodiscovery[prometheus]'"
    ) from missing

__all__ = ["CONTENT_TYPE", "OF_TARGETS", "BridgeCollector", "Exporter", "page"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `page` gives."""

OF_TARGETS = frozenset(
    {
        "pool.empty",
        "pool.filled",
        "call.retried",
        "call.refused",
        "hedge.sent",
        "hedge.won",
        "backend.ejected",
        "backend.returned",
        "health.failed",
        "health.recovered",
        "outage.started",
        "outage.ended",
        "panic.started",
        "panic.ended",
    }
)
"""Events that are counted for each target."""


class Exporter:
    """Counts events: a hook for `Discovery(on_event=Exporter())`.

    `discovery_events_total{event}` counts all of them, `discovery_target_events_total{event, target}` those of a
    target that say how well it is served (`OF_TARGETS`).

    Args:
        registry: of prometheus-client; the default is its own.
        then: a hook that takes each event too.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY, *, then: Callable[[Event], None] | None = None) -> None:
        self._events = Counter("discovery_events", "Events, by name.", ["event"], registry=registry)
        self._of_targets = Counter(
            "discovery_target_events", "Events of a target, by name.", ["event", "target"], registry=registry
        )
        self._then = then

    def __call__(self, event: Event) -> None:
        """Count it."""
        self._events.labels(event.name).inc()
        if event.name in OF_TARGETS:
            self._of_targets.labels(event.name, event.subject).inc()
        if self._then is not None:
            self._then(event)


class BridgeCollector(Collector):
    """How a bridge stands, read anew at each scrape.

    Args:
        status: gives it, such as `lambda: bridge.status`.
    """

    def __init__(self, status: Callable[[], BridgeStatus]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Names and types, for the registry: the bridge is not asked."""
        return _metrics(BridgeStatus())

    def collect(self) -> Iterable[Metric]:
        """The figures as they are now."""
        return _metrics(self._status())


def page(registry: CollectorRegistry) -> bytes:
    """All of a registry in the text format of Prometheus (`CONTENT_TYPE`)."""
    return generate_latest(registry)


def _metrics(now: BridgeStatus) -> Iterator[Metric]:
    yield _info("Whose entries this bridge writes, and which version it is; always 1.", now.owner)
    yield _gauge("leading", "Whether this replica is the one that writes.", now.leading)
    yield _gauge("leader_known", "Whether some replica leads.", now.leader_known)
    yield _gauge("synced", "Whether Services, EndpointSlices and nodes have each been listed whole once.", now.synced)
    yield _gauge("stale_seconds", "Seconds since the source that is silent longest last spoke.", now.stale_for)
    yield _gauge("behind_seconds", "Seconds for which Consul has lacked something that is wanted.", now.behind_for)
    instances = {"passing": now.passing, "critical": now.owned - now.passing}
    yield _gauges("instances", "Instances in Consul that are ours, by their readiness.", "status", instances)
    yield _gauge("services", "Services of Kubernetes that have instances in Consul.", now.services)
    yield _gauges("withheld", "Changes that are held back, by reason.", "reason", now.withheld)
    yield _gauge("asks", "Whether removals wait for an operator's approval.", bool(now.asks))
    yield _gauge("unusable_services", "Services that cannot be registered as they are.", len(now.unusable))
    yield _counter("passes", "Differences that were worked out.", now.passes)
    yield _counter("transactions", "Transactions that were sent.", now.transactions)
    yield _counters("changes", "Instances that were written, by action.", "action", now.changes)
    yield _counters("errors", "Passes that ended early, by reason.", "reason", now.errors)


def _info(said: str, owner: str) -> Metric:
    family = GaugeMetricFamily("discovery_bridge_info", said, labels=["owner", "version"])
    family.add_metric([owner, __version__], 1.0)
    return family


def _gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(f"discovery_bridge_{name}", said, value=float(value))


def _counter(name: str, said: str, value: float) -> Metric:
    return CounterMetricFamily(f"discovery_bridge_{name}", said, value=float(value))


def _gauges(name: str, said: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"discovery_bridge_{name}", said, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], float(value))
    return family


def _counters(name: str, said: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"discovery_bridge_{name}", said, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], float(value))
    return family
