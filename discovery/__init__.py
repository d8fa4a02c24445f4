"""Client-side service discovery and load balancing for asyncio on Kubernetes: the public names, nothing else.

Each name is imported when it is first used, so `import discovery` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .balancing import Balancer, LeastRequest, Members, Node, RoundRobin
    from .client import Discovery
    from .errors import (
        AccessDenied,
        ApiUnavailable,
        ConfigurationError,
        DeadlineExceeded,
        DiscoveryError,
        InvalidTarget,
        NoBackends,
        NoEndpoints,
        NotReady,
        Overloaded,
        PortNotFound,
        ResolutionError,
        RetriesExhausted,
        ServiceNotFound,
        Unauthenticated,
    )
    from .events import Event
    from .integrations.aiohttp import Route
    from .lease import Lease
    from .model import Backend, BackendId, Candidate, Change, PodRef, PoolStatus, Snapshot
    from .pool import Pool
    from .resolvers import Resolver, Sink
    from .retrying import RetryPolicy
    from .targets import Endpoints, Static, Target, parse

_HOMES = {
    "balancing": ("Balancer", "LeastRequest", "Members", "Node", "RoundRobin"),
    "client": ("Discovery",),
    "errors": (
        "AccessDenied",
        "ApiUnavailable",
        "ConfigurationError",
        "DeadlineExceeded",
        "DiscoveryError",
        "InvalidTarget",
        "NoBackends",
        "NoEndpoints",
        "NotReady",
        "Overloaded",
        "PortNotFound",
        "ResolutionError",
        "RetriesExhausted",
        "ServiceNotFound",
        "Unauthenticated",
    ),
    "events": ("Event",),
    "integrations.aiohttp": ("Route",),
    "lease": ("Lease",),
    "model": ("Backend", "BackendId", "Candidate", "Change", "PodRef", "PoolStatus", "Snapshot"),
    "pool": ("Pool",),
    "resolvers": ("Resolver", "Sink"),
    "retrying": ("RetryPolicy",),
    "targets": ("Endpoints", "Static", "Target", "parse"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessDenied",
    "ApiUnavailable",
    "Backend",
    "BackendId",
    "Balancer",
    "Candidate",
    "Change",
    "ConfigurationError",
    "DeadlineExceeded",
    "Discovery",
    "DiscoveryError",
    "Endpoints",
    "Event",
    "InvalidTarget",
    "Lease",
    "LeastRequest",
    "Members",
    "NoBackends",
    "NoEndpoints",
    "Node",
    "NotReady",
    "Overloaded",
    "PodRef",
    "Pool",
    "PoolStatus",
    "PortNotFound",
    "ResolutionError",
    "Resolver",
    "RetriesExhausted",
    "RetryPolicy",
    "RoundRobin",
    "Route",
    "ServiceNotFound",
    "Sink",
    "Snapshot",
    "Static",
    "Target",
    "Unauthenticated",
    "parse",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
