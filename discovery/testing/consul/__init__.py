"""A simulated Consul server for tests: real HTTP on a loopback socket, the semantics of the real one, in memory."""

from .acl import Rules
from .server import FakeConsul

__all__ = ["FakeConsul", "Rules"]
