"""One event type for telemetry, and the hook that takes it.

Parts emit what happened; what becomes of it (a log line, a metric, a span) is the hook's affair. With no hook
given, events go to the `discovery` logger: syncs, failures and recoveries at INFO and WARNING, the rest at DEBUG.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import attrs

logger = logging.getLogger("discovery")

LEVELS: Mapping[str, int] = {
    "pool.synced": logging.INFO,
    "pool.problem": logging.INFO,
    "pool.warning": logging.WARNING,
    "pool.empty": logging.WARNING,
    "pool.filled": logging.INFO,
    "health.failed": logging.INFO,
    "health.recovered": logging.INFO,
    "backend.ejected": logging.INFO,
    "backend.returned": logging.INFO,
    "outage.started": logging.WARNING,
    "outage.ended": logging.INFO,
    "panic.started": logging.WARNING,
    "panic.ended": logging.INFO,
    "balancer.failed": logging.ERROR,
    "watch.failed": logging.WARNING,
    "watch.recovered": logging.INFO,
    "dns.failed": logging.WARNING,
    "dns.recovered": logging.INFO,
    "consul.moved": logging.WARNING,
    "consul.logout": logging.WARNING,
    "consul.failed": logging.WARNING,
    "consul.recovered": logging.INFO,
    "bridge.synced": logging.INFO,
    "bridge.wrote": logging.INFO,
    "bridge.failed": logging.WARNING,
    "bridge.recovered": logging.INFO,
    "bridge.unusable": logging.WARNING,
    "bridge.usable": logging.INFO,
    "bridge.remark": logging.INFO,
    "bridge.refused": logging.WARNING,
    "bridge.foreign": logging.WARNING,
    "bridge.filtered": logging.WARNING,
    "bridge.asks": logging.WARNING,
    "bridge.unapproved": logging.WARNING,
    "bridge.unfinished": logging.WARNING,
    "leader.gained": logging.INFO,
    "leader.released": logging.INFO,
    "leader.lost": logging.WARNING,
    "leader.changed": logging.INFO,
    "leader.failed": logging.WARNING,
    "leader.recovered": logging.INFO,
    "freshness.expired": logging.WARNING,
    "freshness.restored": logging.INFO,
    "freshness.failed": logging.WARNING,
    "import.synced": logging.INFO,
    "import.written": logging.INFO,
    "import.withheld": logging.WARNING,
    "import.too-many": logging.WARNING,
    "import.skipped": logging.INFO,
    "import.failed": logging.WARNING,
    "import.recovered": logging.INFO,
    "render.written": logging.INFO,
    "render.reloaded": logging.INFO,
    "render.failed": logging.WARNING,
    "drain.started": logging.INFO,
    "drain.ended": logging.INFO,
    "fallback.started": logging.WARNING,
    "fallback.ended": logging.INFO,
    "resolver.failed": logging.ERROR,
    "reader.failed": logging.ERROR,
    "hook.failed": logging.ERROR,
}
"""Events worth more than DEBUG."""


@attrs.frozen
class Event:
    """Something that happened: a constant name such as `pool.changed`, what it happened to, and its numbers."""

    name: str
    subject: str = ""
    data: Mapping[str, Any] = attrs.field(factory=dict)


Hook = Callable[[Event], None]


def log(event: Event) -> None:
    """Write an event to the `discovery` logger: as one line of text, and in `extra` for structured logs."""
    level = LEVELS.get(event.name, logging.DEBUG)
    if logger.isEnabledFor(level):
        fields = _printable(" ".join(f"{key}={value}" for key, value in event.data.items()))
        logger.log(
            level,
            "%s %s %s",
            event.name,
            _printable(event.subject),
            fields,
            extra={
                "discovery.event": event.name,
                "discovery.subject": event.subject,
                "discovery.data": dict(event.data),
            },
        )


def _printable(text: str) -> str:
    """Text from a cluster on one line, and without what would move a cursor."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def emitter(hook: Hook | None) -> Hook:
    """The hook made safe: an exception in it is logged and goes no further. The default is `log`."""
    if hook is None:
        return log

    def emit(event: Event) -> None:
        try:
            hook(event)
        except Exception as error:  # noqa: BLE001 - telemetry must never fail a request
            log(Event("hook.failed", event.name, {"error": repr(error)}))

    return emit
