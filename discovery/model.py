"""The values that the rest talks about: what a user reads, compares and keeps. No behaviour, no I/O."""

from functools import cached_property
from typing import Any

import attrs

from .checks import is_weight
from .errors import ConfigurationError, quote


def _weight(_instance: object, _attribute: "attrs.Attribute[Any]", value: object) -> None:
    usual = value.__class__ is float and value == 1.0  # first, for this runs for each backend there is
    if not usual and not is_weight(value):
        raise ConfigurationError(f"weight={quote(value)} is not a number of at least 0", next_step="1.0 is the usual")


def _priority(_instance: object, _attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value.__class__ is not int or value < 0:
        raise ConfigurationError(f"priority={quote(value)} is not a whole number of at least 0")


@attrs.frozen(kw_only=True)
class PodRef:
    """The pod behind a backend."""

    namespace: str
    name: str
    uid: str = ""


@attrs.frozen(kw_only=True, cache_hash=True)
class BackendId:
    """What makes a backend the same one: a new pod on an old address is another backend."""

    address: str
    port: int
    uid: str = ""


@attrs.frozen(kw_only=True)
class Backend:
    """One place a request can go to, as the cluster describes it now.

    `ready`, `serving` and `terminating` mean what they mean in an EndpointSlice. `weight` is relative: 1.0 is the
    usual, 0 gets nothing, unless all are 0. `priority` 0 is tried before 1. `zone`, `node`, `hostname` and
    `app_protocol` are "" where unknown.
    """

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    weight: float = attrs.field(default=1.0, validator=_weight)
    priority: int = attrs.field(default=0, validator=_priority)
    zone: str = ""
    node: str = ""
    hostname: str = ""
    pod: PodRef | None = None
    labels: tuple[tuple[str, str], ...] = ()
    app_protocol: str = ""

    @cached_property
    def id(self) -> BackendId:
        """Address, port and pod uid."""
        return BackendId(address=self.address, port=self.port, uid=self.pod.uid if self.pod else "")

    @cached_property
    def netloc(self) -> str:
        """`host:port` as a URL has it: IPv6 in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@attrs.frozen(kw_only=True)
class Snapshot:
    """The backends a pool may pick from, at one version. `synced_at` is in seconds of the event loop's clock."""

    backends: tuple[Backend, ...]
    version: int
    synced_at: float | None


@attrs.frozen(kw_only=True)
class Change:
    """What is different since the change before: `updated` holds the new values of backends that stayed."""

    added: tuple[Backend, ...]
    removed: tuple[Backend, ...]
    updated: tuple[Backend, ...]
    snapshot: Snapshot


@attrs.frozen(kw_only=True)
class Candidate:
    """One address that discovery knows of, whether it may be picked, and why: a line of `pool.explain()`."""

    backend: Backend
    usable: bool
    reason: str
    in_flight: int = 0


@attrs.frozen(kw_only=True)
class PoolStatus:
    """How a pool stands.

    `stale_for` is in seconds: 0 while its source speaks, else the time since it last did. `ejected`: usable backends
    that are kept out for their failures. `panic`: so many are out that all are used all the same. `outage`: half of the
    backends or more fail, so it is the service that is down: none is kept out for long.
    """

    synced: bool
    backends: int
    not_ready: int
    standing_in: bool
    stale_for: float
    last_error: Exception | None
    ejected: int = 0
    panic: bool = False
    outage: bool = False
