"""Which kubeconfig, which context in it, and what that names. What it takes to use them is in `credentials`."""

import os
from pathlib import Path
from typing import Any

import attrs

from ..errors import ConfigurationError, quote


def places(kubeconfig: str | None) -> tuple[str, list[Path]]:
    """The kubeconfigs to read: as they were named, and those of them that exist.

    Raises:
        ConfigurationError: none does.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    names = [os.path.expanduser(place) for place in path.split(os.pathsep) if place]  # noqa: PTH111 - never raises
    files = [Path(place) for place in names if os.path.isfile(place)]  # noqa: PTH113 - likewise
    if not files:
        pod = kubeconfig is not None or os.environ.get("KUBERNETES_SERVICE_HOST")
        raise ConfigurationError(
            f"there is no kubeconfig at {quote(path)}{'' if pod else ', and this is no pod'}",
            next_step="Name one with kubeconfig=, --kubeconfig or KUBECONFIG",
        )
    return path, files


@attrs.frozen
class Chosen:
    """The context that is used, and what it names. The files are those that hold anything."""

    context: str
    namespace: str
    cluster: dict[str, Any] = attrs.field(repr=False)
    user: dict[str, Any] = attrs.field(repr=False)
    files: list[Path]


def choose(source: str, files: list[Path], context: str | None) -> Chosen:
    """Of several files the first that names a thing has it, as with kubectl. Blocks.

    Raises:
        ConfigurationError: a part is missing, and which.
        Exception: anything, where a file is none of its kind.
    """
    import yaml

    named: dict[str, dict[str, Any]] = {"contexts": {}, "clusters": {}, "users": {}}
    filled = []
    for file in files:
        read = yaml.safe_load(file.read_text())
        if read is None:
            continue
        filled.append(file)
        context = context or read.get("current-context")
        for part, entries in named.items():
            for entry in read.get(part) or ():
                entries.setdefault(entry["name"], entry.get(part[:-1]) or {})
    if not context:
        raise ConfigurationError(
            f"{source} has no current-context", next_step="Give context=, or kubectl config use-context NAME"
        )
    found = _named(source, named, "contexts", context)
    if not isinstance(namespace := found.get("namespace") or "default", str):
        raise ConfigurationError(
            f"{source} has a namespace that is no text", next_step="Set contexts[].context.namespace"
        )
    user = _named(source, named, "users", found["user"]) if found.get("user") else {}
    return Chosen(context, namespace, _named(source, named, "clusters", found["cluster"]), user, filled)


def _named(source: str, named: dict[str, dict[str, Any]], part: str, name: str) -> dict[str, Any]:
    if name not in named[part]:
        has = ", ".join(quote(other) for other in [*named[part]][:10])
        raise ConfigurationError(
            f"{source} has no {part[:-1]} {quote(name)}", next_step=f"It has {has or 'none'}: correct the name"
        )
    found = named[part][name]
    if not isinstance(found, dict):
        raise TypeError(part)
    return found
