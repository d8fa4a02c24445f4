"""What `/metrics` of a command shows: its events, its process, and its bridge; nothing where the extra is missing."""

from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..events import Hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bridge.bridge import ConsulBridge
    from ..bridge.serving import Metrics


class Figures:
    """Metrics of this process.

    Args:
        then: a hook that takes each event too.
        wanted: whether somebody will look at them.

    Attributes:
        hook: takes events; it is `then` itself where none are wanted, or without prometheus-client.
    """

    def __init__(self, then: Hook, *, wanted: bool) -> None:
        self.hook = then
        self._page_of: Callable[[ConsulBridge], Metrics] | None = None
        if not wanted:
            return
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector

            from ..exporters import prometheus
        except (ImportError, ConfigurationError):  # an optional dependency: the probes work without
            return
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.hook = prometheus.Exporter(registry, then=then)

        def page_of(bridge: "ConsulBridge") -> "Metrics":
            registry.register(prometheus.BridgeCollector(lambda: bridge.status))
            return lambda: (prometheus.CONTENT_TYPE, prometheus.page(registry))

        self._page_of = page_of

    def page_of(self, bridge: "ConsulBridge") -> "Metrics | None":
        """What gives the page of metrics, with those of the bridge; None without prometheus-client."""
        return None if self._page_of is None else self._page_of(bridge)
