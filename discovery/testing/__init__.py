"""A simulated cluster for tests and demonstrations: a Kubernetes API on a loopback socket, and real HTTP backends.

`FakeCluster` needs nothing but this package. With pytest, the fixture `fake_cluster` is one, started.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import FakeCluster
    from .deployment import Deployment
    from .pods import FakePod

__all__ = ["Deployment", "FakeCluster", "FakePod"]

_HOMES = {"FakeCluster": "cluster", "Deployment": "deployment", "FakePod": "pods"}


def __getattr__(name: str) -> Any:
    """Import on first use: the pytest plugin of this package is loaded in every test run of its users."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value
