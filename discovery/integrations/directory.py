"""The hosts that an integration has met, and the pool of each.

Opens a pool when a host is first asked for, closes it when nobody has asked for ten minutes, and remembers for a
moment the hosts that are no Service of the cluster. What only one HTTP library needs of a host belongs to its own
kind of `Host`.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import ClassVar, Generic, Protocol, TypeVar

import attrs

from ..balancing import Key
from ..caller import Options
from ..errors import DiscoveryError
from ..pool import Pool
from ..pool_options import PoolOptions
from ..targets import Target
from .hosts import Via, name_of
from .routes import KeyOf, Route

IDLE = 600.0
"""Seconds without a request after which a host's pool is closed."""

MOST = 1000
"""Hosts with a pool; beyond, the one that was asked for the longest ago and has no request under way makes room."""

UNKNOWN = 5.0
"""Seconds for which an unknown service is taken to be unknown still."""

SWEEP = 60.0

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SECURE = frozenset({"https", "wss"})

Place = tuple[str, str]
"""Scheme and authority of a URL."""


class Pools(Protocol):
    """Where pools come from, and where they are given back."""

    def open(self, target: Target, options: PoolOptions) -> Pool:
        """The pool of a target, counted as one more use of it."""

    def close(self, pool: Pool) -> None:
        """One use less."""


@attrs.define(eq=False, kw_only=True)
class Host:
    """A host that means a target. `used` and `until` are in the loop's time.

    `direct`: a request may pick from its pool without a closer look. `asked`: one has come since `used` was written.
    `certified`: the name that its certificate must be valid for, None without TLS. `short`: the name could mean another
    thing. `unknown`: what was wrong with it, held on to until `until`.
    """

    name: str
    scheme: str
    target: Target
    options: PoolOptions
    key: KeyOf | None
    pool: Pool
    loop: asyncio.AbstractEventLoop
    opened: float
    used: float
    direct: bool = False
    asked: bool = False
    waiting: int = 0
    certified: str | None = None
    short: bool = False
    falling_back: bool = False
    unknown: DiscoveryError | None = None
    until: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.use(self.pool)

    def use(self, pool: Pool) -> None:
        """Pick from this pool from now on. What an integration makes of a pool, it makes here."""
        self.pool = pool

    @property
    def busy(self) -> bool:
        """Whether any request to its target waits or is under way, and may yet have to go elsewhere."""
        return self.waiting > 0 or self.pool.in_flight > 0

    def key_of(self, request: object, asked: Options | None) -> Key:
        """What a hash policy places a request by: the word of the program first."""
        if asked is not None and asked.key is not None:
            return asked.key
        return None if self.key is None else self.key(request)

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """A request waits for what there is to pick from."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


H = TypeVar("H", bound=Host)


class Directory(Generic[H]):
    """From a URL to the pool of its host. An integration's own subclass says with `kind` what it keeps of a host.

    Args:
        pools: where they come from.
        routes: by host, in lower case, what goes elsewhere than the name says.
        options: of the pools, where a route says nothing.
        key: likewise.
        domain: the cluster's.
        short_names: whether `SVC.NS` and `SVC` are names of Services too.
        via: where requests to Services go.
    """

    kind: ClassVar[type[Host]] = Host

    def __init__(
        self,
        pools: Pools,
        routes: dict[str, Route],
        options: PoolOptions,
        key: KeyOf | None,
        *,
        domain: str,
        short_names: bool,
        via: Via = "endpoints",
    ) -> None:
        self._pools = pools
        self._routes = routes
        self._options = options
        self._key = key
        self._domain = domain.strip(".")
        self._short_names = short_names
        self._via = via
        self.hosts: dict[Place, H] = {}
        self._foreign: set[Place] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def find(self, place: Place, name: str, port: int | None) -> H | None:
        """The host of a URL, None where requests pass untouched.

        Args:
            place: the URL's scheme and its authority, as they are written.
            name: the host in it.
            port: the port in it; None is the scheme's own.

        Raises:
            RuntimeError: the hosts belong to another event loop.
        """
        host = self.hosts.get(place)
        if host is None:
            return None if place in self._foreign else self._meet(place, name, port)
        loop = asyncio.get_running_loop()
        if loop is not host.loop:
            raise RuntimeError("this middleware belongs to another event loop: make a Discovery in each loop")
        host.used = loop.time()
        if host.pool.closed if host.unknown is None else host.used >= host.until:
            self._reopen(host)
        return host

    def remember_unknown(self, host: Host, error: DiscoveryError) -> None:
        """Stop watching for a Service that is not there; look again after a while."""
        if host.unknown is None:
            host.unknown, host.direct = error, False
            host.until = host.loop.time() + UNKNOWN
            self._pools.close(host.pool)

    def aclose(self) -> None:
        """Give every pool back, and know no host any more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for host in self.hosts.values():
            self._close(host)
        self.hosts.clear()

    def _meet(self, place: Place, name: str, port: int | None) -> H | None:
        scheme = place[0]
        port = PORTS.get(scheme) if port is None else port
        found = self._means(scheme, name, port)
        if found is None:
            if len(self._foreign) >= 10 * MOST:
                self._foreign.clear()
            self._foreign.add(place)
            return None
        route, short = found
        options = attrs.evolve(self._options, **route.options)
        if len(self.hosts) >= MOST:
            self._make_room()
        loop = asyncio.get_running_loop()
        host: H = self.kind(  # type: ignore[assignment] # a subclass's kind is its H
            name=f"{name}:{port}",
            scheme=scheme,
            target=route.target,
            options=options,
            key=route.key or self._key,
            pool=self._pools.open(route.target, options),
            loop=loop,
            opened=loop.time(),
            used=loop.time(),
            certified=name.removesuffix(".") if scheme in SECURE else None,
            short=short,
        )
        self.hosts[place] = host
        if self._sweeping is None:
            self._sweeping = loop.call_later(SWEEP, self._sweep)
        return host

    def _means(self, scheme: str, host: str, port: int | None) -> tuple[Route, bool] | None:
        route = self._routes.get(host.lower().removesuffix("."))
        if route is not None:
            return route, False
        if scheme not in PORTS or not port:
            return None
        name = name_of(host, self._domain, short_names=self._short_names)
        if name is None:
            return None
        target = name.cluster_ip(port) if self._via == "cluster-ip" else name.target(port)
        return (Route(target), name.short) if target else None

    def _reopen(self, host: H) -> None:
        host.unknown, host.opened = None, host.used
        host.use(self._pools.open(host.target, host.options))

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for host in self.hosts.values():
            if host.asked:
                host.used, host.asked = loop.time(), False
        idle = [place for place, host in self.hosts.items() if loop.time() - host.used >= IDLE and not host.busy]
        for place in idle:
            self._evict(place)
        self._sweeping = loop.call_later(SWEEP, self._sweep) if self.hosts else None

    def _make_room(self) -> None:
        spare = [place for place, host in self.hosts.items() if not host.busy]
        if spare:
            self._evict(min(spare, key=lambda one: (self.hosts[one].asked, self.hosts[one].used)))

    def _evict(self, place: Place) -> None:
        self._close(self.hosts.pop(place))

    def _close(self, host: H) -> None:
        if host.unknown is None:
            self._pools.close(host.pool)
