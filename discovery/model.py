"""The values that the rest talks about: what a user reads, compares and keeps. No behaviour, no I/O."""

from functools import cached_property

import attrs


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

    `ready`, `serving` and `terminating` mean what they mean in an EndpointSlice. `weight` is relative (1.0 is the
    usual); `priority` 0 is tried before 1. `zone`, `node`, `hostname` and `app_protocol` are "" where unknown.
    """

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    weight: float = 1.0
    priority: int = 0
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
    """How a pool stands. `stale_for` is in seconds: 0 while its source speaks, else the time since it last did."""

    synced: bool
    backends: int
    not_ready: int
    standing_in: bool
    stale_for: float
    last_error: Exception | None
