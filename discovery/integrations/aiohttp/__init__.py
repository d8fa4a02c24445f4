"""aiohttp: a client middleware that sends each request to a backend chosen for it."""

from .directory import Directory, Pools
from .errors import ConfigurationError, NoBackends, NotReady, PortNotFound, RetriesExhausted, ServiceNotFound
from .middleware import Middleware
from .routes import Route

__all__ = [
    "ConfigurationError",
    "Directory",
    "Middleware",
    "NoBackends",
    "NotReady",
    "Pools",
    "PortNotFound",
    "RetriesExhausted",
    "Route",
    "ServiceNotFound",
]
