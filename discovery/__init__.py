"""Client-side service discovery and load balancing for asyncio on Kubernetes: the public names, nothing else.

Each name is imported when it is first used, so `import discovery` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .balancing import Balancer, LeastRequest, Members, Node, RoundRobin
    from .client import Discovery
    from .definition import LoadBalancerStatus, Service, ServicePort
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
    from .resolvers import Remark, Resolver, Sink
    from .retrying import RetryPolicy
    from .targets import ClusterIP, Dns, Endpoints, LoadBalancer, NodePort, Pods, Static, Target, parse

_HOMES = {
    "balancing": ("Balancer", "LeastRequest", "Members", "Node", "RoundRobin"),
    "client": ("Discovery",),
    "definition": ("LoadBalancerStatus", "Service", "ServicePort"),
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
    "resolvers": ("Remark", "Resolver", "Sink"),
    "retrying": ("RetryPolicy",),
    "targets": ("ClusterIP", "Dns", "Endpoints", "LoadBalancer", "NodePort", "Pods", "Static", "Target", "parse"),
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
    "ClusterIP",
    "ConfigurationError",
    "DeadlineExceeded",
    "Discovery",
    "DiscoveryError",
    "Dns",
    "Endpoints",
    "Event",
    "InvalidTarget",
    "Lease",
    "LeastRequest",
    "LoadBalancer",
    "LoadBalancerStatus",
    "Members",
    "NoBackends",
    "NoEndpoints",
    "Node",
    "NodePort",
    "NotReady",
    "Overloaded",
    "PodRef",
    "Pods",
    "Pool",
    "PoolStatus",
    "PortNotFound",
    "Remark",
    "ResolutionError",
    "Resolver",
    "RetriesExhausted",
    "RetryPolicy",
    "RoundRobin",
    "Route",
    "Service",
    "ServiceNotFound",
    "ServicePort",
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
