"""Client-side service discovery and load balancing for asyncio on Kubernetes: the public names, nothing else.

Each name is imported when it is first used, so `import discovery` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .balancing import (
        Balancer,
        Learner,
        LeastRequest,
        Maglev,
        Members,
        Node,
        PeakEwma,
        Random,
        RendezvousHash,
        RoundRobin,
    )
    from .balancing.locality import LocalityAware
    from .balancing.outlier import OutlierDetection
    from .balancing.slow_start import SlowStart
    from .balancing.subset import Subset
    from .bridge.bridge import ConsulBridge
    from .bridge.inbound import ConsulImport, ImportOptions
    from .bridge.options import BridgeOptions
    from .bridge.status import BridgeStatus
    from .caller import options
    from .client import Discovery
    from .definition import LoadBalancerStatus, Service, ServicePort
    from .errors import (
        AccessDenied,
        ApiUnavailable,
        ConfigurationError,
        ConsulError,
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
    from .integrations.routes import Route
    from .lease import Lease
    from .model import Backend, BackendId, Candidate, Change, PodRef, PoolStatus, Snapshot
    from .pool import Pool
    from .pool_options import PoolKeywords, PoolOptions
    from .rendering import Renderer, RenderError, Template
    from .resolvers import Remark, Resolver, Sink
    from .resolvers.health import HealthCheck
    from .retrying import Hedging, RetryBudget, RetryPolicy
    from .targets import ClusterIP, Consul, Dns, Endpoints, LoadBalancer, NodePort, Pods, Static, Target, parse

_HOMES = {
    "balancing": (
        "Balancer",
        "Learner",
        "LeastRequest",
        "Maglev",
        "Members",
        "Node",
        "PeakEwma",
        "Random",
        "RendezvousHash",
        "RoundRobin",
    ),
    "balancing.locality": ("LocalityAware",),
    "balancing.outlier": ("OutlierDetection",),
    "balancing.slow_start": ("SlowStart",),
    "balancing.subset": ("Subset",),
    "bridge.bridge": ("ConsulBridge",),
    "bridge.inbound": ("ConsulImport", "ImportOptions"),
    "bridge.options": ("BridgeOptions",),
    "bridge.status": ("BridgeStatus",),
    "caller": ("options",),
    "client": ("Discovery",),
    "definition": ("LoadBalancerStatus", "Service", "ServicePort"),
    "errors": (
        "AccessDenied",
        "ApiUnavailable",
        "ConfigurationError",
        "ConsulError",
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
    "integrations.routes": ("Route",),
    "lease": ("Lease",),
    "model": ("Backend", "BackendId", "Candidate", "Change", "PodRef", "PoolStatus", "Snapshot"),
    "pool": ("Pool",),
    "pool_options": ("PoolKeywords", "PoolOptions"),
    "rendering": ("RenderError", "Renderer", "Template"),
    "resolvers": ("Remark", "Resolver", "Sink"),
    "resolvers.health": ("HealthCheck",),
    "retrying": ("Hedging", "RetryBudget", "RetryPolicy"),
    "targets": (
        "ClusterIP",
        "Consul",
        "Dns",
        "Endpoints",
        "LoadBalancer",
        "NodePort",
        "Pods",
        "Static",
        "Target",
        "parse",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessDenied",
    "ApiUnavailable",
    "Backend",
    "BackendId",
    "Balancer",
    "BridgeOptions",
    "BridgeStatus",
    "Candidate",
    "Change",
    "ClusterIP",
    "ConfigurationError",
    "Consul",
    "ConsulBridge",
    "ConsulError",
    "ConsulImport",
    "DeadlineExceeded",
    "Discovery",
    "DiscoveryError",
    "Dns",
    "Endpoints",
    "Event",
    "HealthCheck",
    "Hedging",
    "ImportOptions",
    "InvalidTarget",
    "Learner",
    "Lease",
    "LeastRequest",
    "LoadBalancer",
    "LoadBalancerStatus",
    "LocalityAware",
    "Maglev",
    "Members",
    "NoBackends",
    "NoEndpoints",
    "Node",
    "NodePort",
    "NotReady",
    "OutlierDetection",
    "Overloaded",
    "PeakEwma",
    "PodRef",
    "Pods",
    "Pool",
    "PoolKeywords",
    "PoolOptions",
    "PoolStatus",
    "PortNotFound",
    "Random",
    "Remark",
    "RenderError",
    "Renderer",
    "RendezvousHash",
    "ResolutionError",
    "Resolver",
    "RetriesExhausted",
    "RetryBudget",
    "RetryPolicy",
    "RoundRobin",
    "Route",
    "Service",
    "ServiceNotFound",
    "ServicePort",
    "Sink",
    "SlowStart",
    "Snapshot",
    "Static",
    "Subset",
    "Target",
    "Template",
    "Unauthenticated",
    "options",
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
