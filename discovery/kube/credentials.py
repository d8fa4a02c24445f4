"""Where the API server is and who we are to it: read by kubernetes-asyncio, kept fresh here.

kubernetes-asyncio is imported here and nowhere else, on first use and in a thread: it costs 0.35 s and 38 MB. Its
loaders read files and run plugins with blocking calls, so they have a thread (and a loop) of their own as well.
"""

import asyncio
import hashlib
import os
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs

from ..errors import ConfigurationError, DiscoveryError, quote

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

T = TypeVar("T")

REREAD = 60.0
"""Seconds after which a token's file is read again (client-go: token_source.go)."""


@attrs.frozen(kw_only=True)
class Settings:
    """What is needed to speak to one API server. `token` is the whole Authorization header, never shown."""

    host: str
    source: str
    token: str | None = attrs.field(default=None, repr=False)
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False, eq=False)
    server_hostname: str | None = None
    proxy: str | None = attrs.field(default=None, repr=False)
    rereads: bool = False


class Credentials:
    """Settings that are read again: a minute after the last time where a file may have changed, and when refused."""

    def __init__(self, kubeconfig: str | os.PathLike[str] | None, context: str | None) -> None:
        self._kubeconfig = None if kubeconfig is None else os.fspath(kubeconfig)
        self._context = context
        self._settings: Settings | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self, *, not_this: Settings | None = None) -> Settings:
        """The settings to use now; `not_this` are those that the server has just refused.

        Raises:
            ConfigurationError: nothing usable is found.
        """
        now = asyncio.get_running_loop().time()
        held = self._settings
        if held is not None and held is not not_this and not (held.rereads and now - self._read_at >= REREAD):
            return held
        async with self._lock:  # one reader; the others take what it brings
            if self._settings is held:
                read = await asyncio.to_thread(load, self._kubeconfig, self._context)
                # The old TLS context goes on where it can: a new one would part from all open connections.
                same = held is not None and attrs.evolve(read, token=None) == attrs.evolve(held, token=None)
                unchanged = same and held is not None and _same_trust(held, read)
                self._settings = attrs.evolve(read, tls=held.tls) if unchanged and held else read
                self._read_at = now
            assert self._settings is not None
            return self._settings


def _same_trust(one: Settings, other: Settings) -> bool:
    if one.tls is None or other.tls is None:
        return one.tls is other.tls
    return getattr(one.tls, "origin", None) == getattr(other.tls, "origin", None)


class _Context(ssl.SSLContext):
    """A TLS context that knows what it was made from, so that a change of the files can be seen."""

    origin: tuple[str, ...]


def load(kubeconfig: str | None, context: str | None) -> Settings:
    """Read settings: the kubeconfig named, else the pod's service account, else the usual kubeconfig. Blocks.

    Raises:
        ConfigurationError: with the file that is wrong, never with what it holds.
    """
    if in_cluster(kubeconfig, context):
        return _guarded("the pod's service account", _load_in_cluster)
    path, _ = _kubeconfigs(kubeconfig)
    return _guarded(f"the kubeconfig {quote(path)}", lambda: asyncio.run(_load_kubeconfig(path, context)))


def own_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace that is meant where none is named: the pod's own, or that of the context. Reads a small file.

    Raises:
        ConfigurationError: there is nothing to read it from.
    """
    if in_cluster(kubeconfig, context):
        return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    path, files = _kubeconfigs(kubeconfig)
    return _guarded(f"the kubeconfig {quote(path)}", lambda: _context_namespace(files, context))


def in_cluster(kubeconfig: str | None, context: str | None) -> bool:
    """Whether the pod's service account is what is used."""
    return kubeconfig is None and context is None and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def _kubeconfigs(kubeconfig: str | None) -> tuple[str, list[Path]]:
    path = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    files = [file for place in path.split(os.pathsep) if place and (file := Path(place).expanduser()).is_file()]
    if not files:
        raise ConfigurationError(
            f"there is no kubeconfig at {quote(path)}, and this is no pod",
            next_step="Name one with kubeconfig=, --kubeconfig or KUBECONFIG",
        )
    return path, files


def _context_namespace(files: list[Path], context: str | None) -> str:
    """Of several files the first that names a thing has it, as with kubectl."""
    import yaml

    contexts: dict[str, Any] = {}
    for file in files:
        read = yaml.safe_load(file.read_text()) or {}
        context = context or read.get("current-context")
        for entry in read.get("contexts") or ():
            contexts.setdefault(entry["name"], entry.get("context") or {})
    return str(contexts[context].get("namespace") or "default") if context in contexts else "default"


def _guarded(source: str, read: Callable[[], T]) -> T:
    """Turn whatever a loader raises into one error that shows no secret: a parser's message quotes the file."""
    try:
        return read()
    except DiscoveryError:
        raise
    except Exception as error:  # noqa: BLE001 - these loaders raise anything, AssertionError too
        raise ConfigurationError(
            f"{source} cannot be used ({_safe_cause(error)})", next_step="Check it with kubectl cluster-info"
        ) from None


def _safe_cause(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"no YAML at line {mark.line + 1}"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror or error}"
    kind = type(error).__name__
    if kind == "ConfigException":
        # "exec: process returned 1. <what the plugin wrote>": only the first sentence is ours to repeat.
        return quote(str(error).partition(". ")[0])
    return f"{kind} while reading it: a part is missing or of the wrong kind"


def _load_in_cluster() -> Settings:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import load_incluster_config

    configuration = Configuration()
    load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return _settings(configuration, "the pod's service account", rereads=True)


async def _load_kubeconfig(path: str, context: str | None) -> Settings:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import load_kube_config

    configuration = Configuration()
    configuration.proxy = None
    loader = await load_kube_config(path, context, configuration, persist_config=False)
    user = loader._user  # noqa: SLF001 - the loader does not say otherwise whether a file or a plugin gave the token
    plugin = user is not None and "exec" in user
    # A plugin's token holds until its own expiry, or until it is refused: running it each minute is not ours to do.
    rereads = bool(user is not None and not plugin) or hasattr(loader, "exec_plugin_expiry")
    return _settings(configuration, f"the kubeconfig {quote(path)}", rereads=rereads)


def _settings(configuration: Any, source: str, *, rereads: bool) -> Settings:
    host = str(configuration.host).rstrip("/")
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{source} has no server with http:// or https://", next_step="Set clusters[].cluster.server"
        )
    token = configuration.api_key.get("BearerToken")
    return Settings(
        host=host,
        source=source,
        token=" ".join(token.split()) if token else None,  # files end with a newline; headers must not
        tls=_trust(configuration) if parts.scheme == "https" else None,
        server_hostname=configuration.tls_server_name,
        proxy=configuration.proxy or _environment_proxy(host),
        rereads=rereads,
    )


def _trust(configuration: Any) -> ssl.SSLContext:
    given = configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file
    files = tuple(str(name) for name in given if name)
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    if configuration.ssl_ca_cert:
        context.load_verify_locations(configuration.ssl_ca_cert)
    else:
        context.load_default_certs()
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.origin = tuple(hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files)
    return context


def _environment_proxy(host: str) -> str | None:
    parts = urlsplit(host)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)
