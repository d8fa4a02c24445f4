"""Places that are known."""

from collections.abc import Sequence

import attrs

from ..errors import InvalidTarget
from ..errors import quote as quoted
from . import checks


def _hosts(given: Sequence[str | tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidTarget(f"{quoted(given)} is not a list", next_step='Write Static(["host:80", ("host", 80)])')
    hosts = tuple(_host(place) for place in given)
    if not hosts:
        raise InvalidTarget("a static target needs at least one host:port")
    return hosts


def _host(place: object) -> tuple[str, int]:
    pair = checks.split_port(place) if isinstance(place, str) else place
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
        say = 'Write "host:80" or ("host", 80)'
        raise InvalidTarget(f"{quoted(place)} is no place", part=str(place), next_step=say)
    number = checks.port(pair[1])
    if not isinstance(number, int):
        raise InvalidTarget(f"{quoted(place)} has no port number", part=str(place), next_step="Write host:80")
    return checks.host(pair[0]), number


@attrs.frozen
class Static:
    """Fixed places, as `(host, port)` pairs or `host:port` texts; they are always ready.

    Raises:
        InvalidTarget: none given, or one that is no host with a port number.
    """

    hosts: tuple[tuple[str, int], ...] = attrs.field(converter=_hosts)

    def __str__(self) -> str:
        return "static://" + ",".join(f"{checks.bracketed(host)}:{port}" for host, port in self.hosts)
