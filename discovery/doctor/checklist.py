"""Which checks there are for some targets, and which of them need which."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from functools import partial

from ..client import Discovery
from ..errors import ConfigurationError
from ..kube.credentials import LOADING
from ..permissions import Permission, needed, optional, settle
from ..targets import Consul, OfService, Pods, Target
from . import consul, judging, permissions, reach, surroundings
from .examining import Check
from .finding import Finding, skipped
from .kubernetes import Kubernetes

READING = LOADING + 5.0
"""Seconds for the configuration: a plugin may have to ask somebody. It has a limit of its own, and says so."""

NO_TARGET = "Name a TARGET, and a few of its backends are connected to"
NO_CONSUL = "no Consul is configured"
SET_CONSUL = "Name one by --consul or CONSUL_HTTP_ADDR, where there is one"


async def checklist(
    disco: Discovery, kubernetes: Kubernetes, targets: Sequence[Target], *, consul_asked: bool
) -> list[Check]:
    """All that is worth a look.

    Args:
        disco: resolves the targets.
        kubernetes: looks at the API server; it is left out where targets are given and none is of Kubernetes.
        targets: what a client is to resolve; none is what is read for the Services of our own namespace.
        consul_asked: whether a Consul was named; a `consul://` target asks for it too.
    """
    namespace = await _namespace(disco)
    settled = list(dict.fromkeys(settle(one, namespace) for one in targets))
    checks: list[Check] = []
    reads: dict[Permission, bool] = {}
    if not targets or any(isinstance(one, OfService | Pods) for one in settled):
        reads = read_by(settled) if targets else read_in(namespace)
        checks += _of_kubernetes(kubernetes, reads)
    checks += _around(inside="KUBERNETES_SERVICE_HOST" in os.environ)
    checks += _of_consul(disco, asked=consul_asked or any(isinstance(one, Consul) for one in settled))
    return [*checks, *_of_reach(disco, settled)]


def read_by(targets: Sequence[Target]) -> dict[Permission, bool]:
    """What these targets read, and whether they need it."""
    found = {one: True for target in targets for one in needed(target)}
    return found | {one: False for target in targets for one in optional(target) if one not in found}


def read_in(namespace: str) -> dict[Permission, bool]:
    """What is read for any Service of a namespace."""
    slices = Permission(namespace, "discovery.k8s.io", "endpointslices")
    return {slices: True, Permission(namespace, "", "services"): False}


async def _namespace(disco: Discovery) -> str:
    """Our own; any, where it cannot be found out: the configuration's check will say why."""
    try:
        return await asyncio.to_thread(disco.own_namespace)
    except ConfigurationError:
        return "default"


def _of_kubernetes(kubernetes: Kubernetes, reads: dict[Permission, bool]) -> Iterator[Check]:
    yield Check(name="configuration", run=kubernetes.configuration, limit=READING)
    yield Check(name="api-server", run=kubernetes.answers, after=("configuration",))
    yield Check(name="clock", run=kubernetes.clock, after=("api-server",))
    yield Check(name="credentials", run=kubernetes.credentials, after=("api-server",))
    yield Check(name="version", run=kubernetes.version, after=("credentials",))
    for one, is_needed in reads.items():
        may_read = partial(permissions.may_read, kubernetes.access, one, needed=is_needed)
        yield Check(name=name_of(one), run=may_read, after=("credentials",))
    first = next(iter(reads))
    yield Check(
        name="watch stream", run=partial(permissions.streams, kubernetes.access, first), after=(name_of(first),)
    )


def name_of(permission: Permission) -> str:
    """The name of the check of a permission."""
    where = f" in {permission.namespace}" if permission.namespace else ""
    return f"read {permission}{where}"


def _around(*, inside: bool) -> Iterator[Check]:
    async def place() -> Finding:
        return judging.place(os.environ, inside=inside)

    yield Check(name="place", run=place)
    yield Check(name="dns", run=partial(surroundings.dns, inside=inside), mild=not inside)


def _of_consul(disco: Discovery, *, asked: bool) -> Iterator[Check]:
    if not asked:
        yield Check(name="consul", run=partial(_skipped, NO_CONSUL, SET_CONSUL))
        return

    # The client is made in the check: what keeps it from being made is a finding.
    async def leads() -> Finding:
        return await consul.leads(disco.consul_client())

    async def version() -> Finding:
        return await consul.version(disco.consul_client())

    async def token() -> Finding:
        return await consul.token(disco.consul_client())

    yield Check(name="consul", run=leads)
    yield Check(name="consul version", run=version, after=("consul",))
    yield Check(name="consul token", run=token, after=("consul",))


def _of_reach(disco: Discovery, targets: Sequence[Target]) -> Iterator[Check]:
    if not targets:
        yield Check(name="reach", run=partial(_skipped, "no TARGET was given", NO_TARGET))
    for target in targets:
        yield Check(name=f"reach {target}", run=partial(reach.reach, disco, target), after=_before(target))


def _before(target: Target) -> tuple[str, ...]:
    """What the resolving of a target cannot do without."""
    if isinstance(target, Consul):
        return ("consul",)
    return tuple(map(name_of, needed(target)))


async def _skipped(seen: str, next_step: str) -> Finding:
    return skipped(seen, next_step)
