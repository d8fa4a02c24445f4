"""The hash that keys are placed by: XXH64, as in Envoy and gRPC, the same in every process and every release.

`xxhash` is imported when something is first placed by it: with the first pool, for its subset.
"""

from collections.abc import Callable

from .node import Node

Digest = Callable[..., int]
"""Of bytes and, if given, a seed: a whole number below 2^64."""


def xxh64() -> Digest:
    """The function."""
    from xxhash import xxh64_intdigest

    return xxh64_intdigest


def encoded(key: str) -> bytes:
    """A key that is text, as bytes: UTF-8; what is no valid text has its place too."""
    return key.encode("utf-8", "surrogatepass")


def name(node: Node) -> bytes:
    """What a backend is hashed by: its address and port, so that it keeps its keys when its pod is replaced."""
    return node.backend.netloc.encode("utf-8", "surrogatepass")


def weight(node: Node) -> float:
    """What a backend's share of keys is in proportion to: the same in every process.

    So it is not what slow start makes of it, which depends on when this client has seen it (Envoy: slow start is for
    round robin and least request only). Where backends of weight 0 may be picked, all have it.
    """
    return node.backend.weight or 1.0


def order(node: Node) -> tuple[bytes, str]:
    """Before which others it goes where hashes do not decide."""
    return name(node), node.backend.id.uid
