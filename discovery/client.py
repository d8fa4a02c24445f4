"""Discovery: opens what is needed, shares it, closes it. The only place where the parts are wired together."""

import asyncio
import os
import random
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import aiohttp
import attrs

from . import surroundings
from .checks import check_timeout, is_seconds
from .consul.api import Consul as ConsulClient
from .consul.settings import Settings as ConsulSettings
from .definition import LoadBalancerStatus, Service
from .dns.lookups import Lookups
from .errors import ConfigurationError, InvalidTarget, NotReady, quote
from .events import Hook, emitter
from .integrations.aiohttp import Directory as AiohttpDirectory
from .integrations.aiohttp import Middleware
from .integrations.directory import Directory, H
from .integrations.finding import Finding
from .integrations.hosts import Via
from .integrations.routes import KeyOf, Route
from .integrations.settings import Settings
from .kube.access import Access
from .kube.credentials import Credentials, in_cluster, own_namespace
from .kube.watches import Watches
from .pool import Pool
from .pool_options import PoolKeywords, PoolOptions
from .pools import Pools
from .reading import Progress
from .resolvers import Resolver
from .resolvers.checked import CheckedResolver
from .resolvers.consul import ConsulResolver
from .resolvers.dns import DnsResolver
from .resolvers.endpoints import endpoints_resolver
from .resolvers.health import HealthCheck
from .resolvers.of_service import cluster_ip_resolver, load_balancer_resolver, node_port_resolver
from .resolvers.pods import pods_resolver
from .resolvers.static import StaticResolver
from .services import Services
from .surroundings import check_callback, check_names, dns_servers, own_place
from .targets import ClusterIP, Consul, Dns, Endpoints, LoadBalancer, NodePort, OfService, Pods, Static, Target, parse

OUTSIDE = "Pod addresses are seldom routed outside the cluster: from there use node-port://{target} or load-balancer://{target}"

_open: "weakref.WeakSet[Discovery]" = weakref.WeakSet()


class Discovery:
    """The way to everything: pools, middlewares, and the connections they share.

    Nothing is contacted before a target needs it. Use it with `async with`, or call `aclose()`; it belongs to the
    event loop that first uses it, and to the process that made it.

    Args:
        kubeconfig: a kubeconfig file; None is the pod's own service account in a cluster, else KUBECONFIG or
            ~/.kube/config.
        context: of the kubeconfig; None is its current one.
        namespace: where a target names none; None is the pod's own, or the context's.
        cluster_domain: the last part of Services' names; None reads it from /etc/resolv.conf, else `cluster.local`.
        node: this client's own, for traffic policies and topology hints; None is the environment's NODE_NAME.
        zone: this client's own; None is the environment's NODE_ZONE, else that of any endpoint on our node.
        dns: DNS servers, as `10.0.0.10`, `127.0.0.1:1053` or `[::1]:53`; None is as /etc/resolv.conf has them.
        consul: where Consul is, as `http://127.0.0.1:8500`, `https://consul.example:8501` or `unix:///path`, with all
            else as the environment's CONSUL_* variables say; or whole settings. None is CONSUL_HTTP_ADDR.
        on_event: takes each `Event`; None writes them to the `discovery` logger.
        reconcile: seconds after which what is watched is also listed anew; None trusts the watch, as client-go does.

    Attributes:
        emit: takes an event on its way to `on_event`; never raises.
    """

    def __init__(
        self,
        *,
        kubeconfig: str | os.PathLike[str] | None = None,
        context: str | None = None,
        namespace: str | None = None,
        cluster_domain: str | None = None,
        node: str | None = None,
        zone: str | None = None,
        dns: Sequence[str] | None = None,
        consul: str | ConsulSettings | None = None,
        on_event: Hook | None = None,
        reconcile: float | None = None,
    ) -> None:
        if reconcile is not None and not is_seconds(reconcile):
            raise ConfigurationError(f"reconcile={quote(reconcile)} is not a number of seconds above 0")
        check_callback("on_event", on_event)
        check_names(context=context, namespace=namespace, cluster_domain=cluster_domain, node=node, zone=zone)
        self._kubeconfig = None if kubeconfig is None else os.fspath(kubeconfig)
        self._context = context
        self._namespace = namespace
        self._domain = cluster_domain
        self.emit = emitter(on_event)
        self._reconcile = reconcile
        self._rng = random.Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._forked_off = False
        self._access: Access | None = None
        self._watches: Watches | None = None
        self._services: Services | None = None
        self._lookups: Lookups | None = None
        self._consul_settings = None if consul is None else _consul_settings(consul)
        self._consuls: list[tuple[ConsulSettings, ConsulClient]] = []  # few, and settings may not be hashable
        self._place = own_place(node, zone)
        self._dns = dns_servers(dns)
        self._pools = Pools(self._resolver, self._advice, lambda: self._place.zone, self.emit, self._rng)
        self._directories: weakref.WeakSet[Directory[Any]] = weakref.WeakSet()  # those with hosts hold themselves
        _open.add(self)

    def __repr__(self) -> str:
        return f"<Discovery {len(self._pools)} pools{', closed' if self._closed else ''}>"

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all pools, tasks and connections. May be called again.

        Raises:
            RuntimeError: called from another loop or process, whose tasks and sockets these are not.
        """
        self._check_home(asyncio.get_running_loop())
        self._closed = True
        for directory in tuple(self._directories):
            directory.aclose()
        if self._services is not None:
            self._services.close()
        await self._pools.aclose()
        if self._watches is not None:
            await self._watches.aclose()
        if self._access is not None:
            await self._access.aclose()
        if self._lookups is not None:
            await self._lookups.aclose()
        for _, consul in self._consuls:
            await consul.aclose()

    # Pools

    def pool(
        self,
        target: Target | str | Resolver,
        /,
        **options: Unpack[PoolKeywords],
    ) -> Pool:
        """The pool of a target. The same target and options give the same pool, with one more use to give back.

        Args:
            target: text (`endpoints://NS/SERVICE:PORT`), a typed target, or a `Resolver` of your own.
            options: how a backend is chosen and another one tried: those of `PoolOptions`, of which the most used are
                `balancer`, `retry`, `outlier`, `locality`, `hedging` and `max_in_flight`.

        Raises:
            InvalidTarget: the text cannot be read.
            ConfigurationError: an option cannot be used, or the namespace is to be the client's own, and that cannot
                be found out.
            RuntimeError: closed, or used from another loop or process.
        """
        return self.open(parse(target) if isinstance(target, str) else target, PoolOptions(**options))

    def open(self, target: Target | Resolver, options: PoolOptions) -> Pool:
        """As `pool`, for one that has all options at hand."""
        self._check()
        return self._pools.open(self._settle(target), options)

    def close(self, pool: Pool) -> None:
        """Take back one use of a pool; the last one ends it, and what only it needed."""
        self._pools.close(pool)

    async def prefetch(self, namespace: str | None = None, *, timeout: float | None = 30.0) -> None:
        """Hold every EndpointSlice and Service of a namespace, or (None) of all: pools of these need no watch more.

        For gateways, that call most of what there is: two requests, and each pool is ready at once. It costs what all
        the changes in these namespaces cost; others are better off without. Where only the EndpointSlices may all be
        read, Services are read one by one.

        Raises:
            DiscoveryError: the first list failed, for this reason. It goes on being tried.
            NotReady: no answer within `timeout` seconds.
        """
        check_timeout(timeout)
        self._check()
        try:
            async with asyncio.timeout(timeout):
                await self.kubernetes().prefetch(namespace)
        except TimeoutError:
            raise NotReady(f"the EndpointSlices of {namespace or 'all namespaces'} did not come in time") from None

    # Services

    async def service(self, name: str, *, namespace: str | None = None, timeout: float | None = 10.0) -> Service:
        """A Service as it is defined now, or as it last was known while the API server is away.

        Args:
            name: its own.
            namespace: likewise; None is the client's own.
            timeout: seconds to wait for the first answer, None for ever.

        Raises:
            InvalidTarget: a name or namespace that cannot be one.
            ServiceNotFound: there is none.
            AccessDenied, Unauthenticated, ApiUnavailable, ConfigurationError: it cannot be read, for this reason.
            NotReady: no answer in time, or one that cannot be read.
        """
        check_timeout(timeout)
        return await self._definitions().get(name, self._in(namespace), timeout)

    def watch_service(self, name: str, *, namespace: str | None = None) -> AsyncIterator[Service | None]:
        """A Service as it is defined now, then each other definition; None while there is none of this name.

        A slow reader misses what was overtaken meanwhile, and is told the newest. While the API server is away nothing
        is told. It ends with this Discovery.

        Args:
            name: its own.
            namespace: likewise; None is the client's own.

        Raises:
            InvalidTarget: a name or namespace that cannot be one; raised at once.
            AccessDenied, Unauthenticated, ApiUnavailable, ConfigurationError: the first answer is that it cannot be
                read. Later failures are retried, and told as events.
        """
        return self._at_home(self._definitions().watch(name, self._in(namespace)))

    async def load_balancer(
        self,
        name: str,
        *,
        namespace: str | None = None,
        timeout: float | None = 300.0,
        on_progress: Progress | None = None,
    ) -> LoadBalancerStatus:
        """Wait until a Service of the type LoadBalancer has an external address.

        If the Service is deleted meanwhile, the next of its name is waited for.

        Args:
            name: its own.
            namespace: likewise; None is the client's own.
            timeout: seconds for all of it, None for ever. Clouds take one to five minutes.
            on_progress: called with each definition that has no address yet, the first included, and with None where
                the Service has been deleted.

        Raises:
            InvalidTarget: a name or namespace that cannot be one.
            ServiceNotFound: there is none.
            NoBackends: it is of another type, or becomes one.
            AccessDenied, Unauthenticated, ApiUnavailable, ConfigurationError: it cannot be read, for this reason.
            NotReady: no address in time.
        """
        check_timeout(timeout)
        check_callback("on_progress", on_progress)
        return await self._definitions().load_balancer(name, self._in(namespace), timeout, on_progress)

    # Consul

    def consul_client(self, consul: str | ConsulSettings | None = None) -> ConsulClient:
        """The client of Consul's HTTP API that all `consul://` targets share. It ends with this Discovery.

        Nothing is contacted before it is used.

        Args:
            consul: another Consul, as the argument of `Discovery` has it; None is that one.

        Raises:
            ConfigurationError: the URL or the environment's CONSUL_* variables cannot be used.
            RuntimeError: closed, or used from another loop or process.
        """
        self._check()
        return self._consul(None, None) if consul is None else self._client_of(_consul_settings(consul))

    # Integrations

    def middleware(
        self,
        *,
        routes: Mapping[str, Route | Target | str] | None = None,
        via: Via = "endpoints",
        fallback: Literal["service"] | None = "service",
        ready_timeout: float = 5.0,
        short_names: bool = False,
        key: KeyOf | None = None,
        **options: Unpack[PoolKeywords],
    ) -> aiohttp.ClientMiddlewareType:
        """A client middleware for aiohttp: `ClientSession(middlewares=[disco.middleware()])`.

        Args:
            routes: by host, the target (or `Route`) that its requests go to.
            via: "endpoints" sends to a Service's pods; "cluster-ip" to its own address, for meshes that forbid pods'
                addresses. Headless Services, and pods by their hostname, pass untouched then.
            fallback: "service" sends requests by their name while nothing is known; None fails them with `NotReady`.
            ready_timeout: seconds to wait for a host's first answer before that.
            short_names: take `SVC.NS` and `SVC` for Services too.
            key: what a hash policy places a request by.
            options: of the pools, as in `pool`.

        Raises:
            InvalidTarget: a route's target cannot be read.
            ConfigurationError: an option cannot be used.
        """
        settings = Settings(
            routes=routes,
            via=via,
            fallback=fallback,
            ready_timeout=ready_timeout,
            short_names=short_names,
            key=key,
            options=PoolOptions(**options),
        )
        return Middleware(self.integrate(AiohttpDirectory, settings))

    def integrate(self, kind: "type[Directory[H]]", settings: Settings) -> Finding[H]:
        """For integrations: their kind of directory, filled from here and closed with this.

        Raises:
            RuntimeError: closed, or used from another process.
        """
        self._check_home(None)
        self._check_open()
        directory = kind(
            self,
            dict(settings.routes),
            settings.options,
            settings.key,
            domain=self._domain or surroundings.cluster_domain(),
            short_names=settings.short_names,
            via=settings.via,
        )
        self._directories.add(directory)
        return Finding(directory, settings.fallback, settings.ready_timeout, self.emit)

    # Wiring

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        self._check_home(loop)
        self._check_open()
        self._loop = loop

    def _check_home(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """In this process, and in this loop where one is given."""
        if self._forked_off:
            raise RuntimeError("this Discovery is of the process that was forked: make one in each process")
        if loop is not None and self._loop not in (None, loop):
            raise RuntimeError("this Discovery belongs to another event loop: make one in each loop")

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Discovery is closed")

    def _settle(self, target: Target | Resolver) -> Target | Resolver:
        """The target with the client's own namespace where it names none."""
        if isinstance(target, OfService | Pods):
            return target if target.namespace is not None else attrs.evolve(target, namespace=self.own_namespace())
        if not isinstance(target, Dns | Consul | Static | Resolver):
            raise InvalidTarget(
                f"{quote(target)} is no target", next_step="Give its text, a typed target or a Resolver"
            )
        return target

    def _definitions(self) -> Services:
        self._check()
        if self._services is None:
            domain = self._domain or surroundings.cluster_domain()
            self._services = Services(self.kubernetes().subscribe, domain, self.emit)
        return self._services

    async def _at_home(self, definitions: AsyncIterator[Service | None]) -> AsyncIterator[Service | None]:
        """These, in the loop that they belong to."""
        self._check()
        async with aclosing(definitions):  # type: ignore[type-var] # a generator
            async for one in definitions:
                yield one

    def _in(self, namespace: str | None) -> str:
        return self.own_namespace() if namespace is None else namespace

    def own_namespace(self) -> str:
        """The namespace of what names none.

        Raises:
            ConfigurationError: it was not given, and cannot be found out.
        """
        if self._namespace is None:
            self._namespace = own_namespace(self._kubeconfig, self._context)
        return self._namespace

    def _resolver(self, target: Target | Resolver, health: HealthCheck | None) -> Resolver:
        found = self._plain_resolver(target)
        if health is None:
            return found
        return CheckedResolver(found, health, self.emit, self._rng, name=str(target))

    def _plain_resolver(self, target: Target | Resolver) -> Resolver:
        match target:
            case Endpoints():
                return endpoints_resolver(target, self._place, self.kubernetes().subscribe, self.emit)
            case ClusterIP():
                return cluster_ip_resolver(target, self.kubernetes().subscribe, self.emit)
            case LoadBalancer():
                return load_balancer_resolver(target, self.kubernetes().subscribe, self.emit)
            case NodePort():
                return node_port_resolver(target, self.kubernetes().subscribe, self.emit)
            case Pods():
                return pods_resolver(target, self.kubernetes().subscribe, self.emit)
            case Dns():
                return DnsResolver(target, self._resolution(), self.emit, self._rng)
            case Consul():
                return ConsulResolver(target, self._consul(target.namespace, target.partition), self.emit, self._rng)
            case Static():
                return StaticResolver(target)
        return target

    def _advice(self, target: Target | Resolver) -> str:
        """What to say when no backend can be connected to."""
        if not isinstance(target, Endpoints) or in_cluster(self._kubeconfig, self._context):
            return ""
        return OUTSIDE.format(target=str(target).partition("://")[2])

    def _resolution(self) -> Lookups:
        if self._lookups is None:
            self._lookups = Lookups(self._dns)
        return self._lookups

    def _consul(self, namespace: str | None, partition: str | None) -> ConsulClient:
        """The client of a namespace and partition of Consul Enterprise; None are those of the settings."""
        if self._consul_settings is None:
            self._consul_settings = _consul_settings(None)
        settings = self._consul_settings
        return self._client_of(
            attrs.evolve(settings, namespace=namespace or settings.namespace, partition=partition or settings.partition)
        )

    def _client_of(self, settings: ConsulSettings) -> ConsulClient:
        held = next((client for known, client in self._consuls if known == settings), None)
        if held is None:
            held = ConsulClient(settings, emit=self.emit, rng=self._rng)
            self._consuls.append((settings, held))
        return held

    def kubernetes(self) -> Watches:
        """The watches that all pools share: for what is built on top of it, as the bridge to Consul is."""
        if self._watches is None:
            self._access = Access(Credentials(self._kubeconfig, self._context))
            self._watches = Watches(self._access, emit=self.emit, rng=self._rng, reconcile=self._reconcile)
        return self._watches

    def _forked(self) -> None:
        """In a child process nothing here works: the sockets and the loop are the parent's."""
        self._closed = self._forked_off = True
        self._pools.refuse()


def _consul_settings(given: object) -> ConsulSettings:
    if isinstance(given, ConsulSettings):
        return given
    if given is None or (isinstance(given, str) and given):
        return ConsulSettings.read(given, os.environ)
    raise ConfigurationError(f"consul={quote(given)} is no URL", next_step="Write http://127.0.0.1:8500")


def _after_fork() -> None:
    for discovery in tuple(_open):
        discovery._forked()  # noqa: SLF001 - our own


os.register_at_fork(after_in_child=_after_fork)
