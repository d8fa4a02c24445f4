"""Simulations for tests and demonstrations: a Kubernetes API and a Consul on loopback sockets, and real HTTP backends.

`FakeCluster` and `FakeConsul` need nothing but this package. With pytest, the fixtures `fake_cluster` and `fake_consul`
are one each, started.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import FakeCluster
    from .consul import FakeConsul, Rules
    from .deployment import Deployment
    from .pods import FakePod

__all__ = ["Deployment", "FakeCluster", "FakeConsul", "FakePod", "Rules"]

_HOMES = {
    "Deployment": "deployment",
    "FakeCluster": "cluster",
    "FakeConsul": "consul",
    "FakePod": "pods",
    "Rules": "consul",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the pytest plugin of this package is loaded in every test run of its users."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value
