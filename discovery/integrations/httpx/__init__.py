"""httpx: a transport that sends each request to a backend chosen for it."""

try:
    import httpx as _httpx
except ImportError as error:
    raise ImportError("discovery.integrations.httpx needs httpx: pip install 'aiodiscovery[httpx]'") from error

from ..routes import Route
from .errors import (
    ConfigurationError,
    DeadlineExceeded,
    NoBackends,
    NotReady,
    Overloaded,
    PortNotFound,
    RetriesExhausted,
    ServiceNotFound,
)
from .transport import AsyncTransport

del _httpx

__all__ = [
    "AsyncTransport",
    "ConfigurationError",
    "DeadlineExceeded",
    "NoBackends",
    "NotReady",
    "Overloaded",
    "PortNotFound",
    "RetriesExhausted",
    "Route",
    "ServiceNotFound",
]
