"""aiohttp: a client middleware that sends each request to a backend chosen for it, and what servers need of us.

The latter is imported when it is first used: a client has no need of aiohttp's server.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ..directory import Pools
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
from .hosts import Directory
from .middleware import Middleware

if TYPE_CHECKING:
    from .context import CLIENT, DISCOVERY, discovery_context
    from .drain import Drain
    from .server import server_middleware

_HOMES = {
    "CLIENT": "context",
    "DISCOVERY": "context",
    "Drain": "drain",
    "discovery_context": "context",
    "server_middleware": "server",
}

__all__ = [
    "CLIENT",
    "DISCOVERY",
    "ConfigurationError",
    "DeadlineExceeded",
    "Directory",
    "Drain",
    "Middleware",
    "NoBackends",
    "NotReady",
    "Overloaded",
    "Pools",
    "PortNotFound",
    "RetriesExhausted",
    "Route",
    "ServiceNotFound",
    "discovery_context",
    "server_middleware",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value
