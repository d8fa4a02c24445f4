"""What surrounds a client and is not told it: the cluster domain, its node and zone. What is told, checked."""

import inspect
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .dns import resolv_conf
from .errors import ConfigurationError, InvalidTarget, quote
from .resolvers.topology import Place
from .targets import check_namespace, server_text

CLUSTER_DOMAIN = "cluster.local"
"""Of a cluster that says nothing else (kubeadm's default)."""


def cluster_domain(path: Path = resolv_conf.PATH) -> str:
    """The cluster's domain, from the search list that a kubelet writes (`NS.svc.DOMAIN`), else `cluster.local`."""
    with suppress(OSError, UnicodeDecodeError):
        for name in resolv_conf.read(path.read_text()).search:
            before, mark, domain = name.partition("svc.")
            if mark and domain and (not before or before.endswith(".")):
                return domain
    return CLUSTER_DOMAIN


def own_place(node: str | None, zone: str | None) -> Place:
    """Where this client is: as it was told, else as the environment's NODE_NAME and NODE_ZONE say."""
    return Place(
        os.environ.get("NODE_NAME", "") if node is None else node,
        os.environ.get("NODE_ZONE", "") if zone is None else zone,
    )


def check_names(**names: object) -> None:
    """Each is a name, or None.

    Raises:
        ConfigurationError: one is not.
        InvalidTarget: `namespace` cannot be one.
    """
    for name, value in names.items():
        if value is not None and not (isinstance(value, str) and value):
            raise ConfigurationError(f"{name}={quote(value)} is no name")
    namespace = names.get("namespace")
    if isinstance(namespace, str):
        check_namespace(namespace)


def check_callback(name: str, callback: object) -> None:
    """A plain function, or None.

    Raises:
        ConfigurationError: it is not.
    """
    if callback is not None and (not callable(callback) or inspect.iscoroutinefunction(callback)):
        raise ConfigurationError(f"{name} is no plain function", next_step="Give a function by def, not async def")


def dns_servers(given: object) -> tuple[str, ...] | None:
    """DNS servers, each in its one spelling; None is as resolv.conf has them.

    Raises:
        ConfigurationError: no list, an empty one, or one of them is no address.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigurationError(f"dns={quote(given)} is no list of servers", next_step='Give ["10.0.0.10"]')
    try:
        return tuple(map(server_text, given))
    except InvalidTarget as error:
        raise ConfigurationError(f"dns={quote(given)} cannot be used: {error}") from error
