"""What the services of a benchmark look like: the formulas of `anchors/population.go`, to tell right from wrong."""

from collections.abc import Iterator

import attrs

NAMESPACE = "bench"
PORT = 8080


@attrs.frozen
class Expected:
    """What a backend has to say of itself."""

    address: str
    port: int
    node: str
    zone: str
    pod: str
    uid: str


def service(index: int) -> str:
    """The name of a Service."""
    return f"svc-{index:05d}"


def endpoints(index: int, count: int) -> Iterator[Expected]:
    """The endpoints of the Service of that number, where each has `count`."""
    for number in range(index * count, (index + 1) * count):
        node = number % 200
        yield Expected(
            address=f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
            port=PORT,
            node=f"node-{node:03d}",
            zone=f"zone-{'abc'[node % 3]}",
            pod=f"{service(index)}-6d4cf56db6-{number:05x}",
            uid=f"{2:08x}-5d1c-4b7e-9f00-{number:012x}",
        )
