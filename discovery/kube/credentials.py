"""Where the API server is and who we are to it: read by kubernetes-asyncio, kept fresh here.

kubernetes-asyncio is imported here and nowhere else, on first use and in a thread: it costs 0.35 s and 38 MB. Its
loaders read files and run plugins with blocking calls, so they have a thread (and a loop) of their own as well.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ..errors import ConfigurationError, DiscoveryError, quote
from .kubeconfig import Chosen, choose, places
from .proxies import environment_proxy, http_url, proxy_of

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

POD = "the pod's service account"
MOUNT = "Mount it (automountServiceAccountToken: true), or name a kubeconfig"

T = TypeVar("T")

REREAD = 60.0
"""Seconds after which a token's file is read again (client-go: token_source.go)."""

LOADING = 30.0
"""Seconds that reading may take, a plugin included."""

SHORTEST = 1.0
"""Seconds between two runs of a plugin whose token has expired as it comes."""


@attrs.frozen(kw_only=True)
class Settings:
    """What is needed to speak to one API server. `token` is the whole Authorization header, never shown.

    `lasts` is the number of seconds after which it is read again; None is only when the server refuses it.
    """

    host: str
    source: str
    token: str | None = attrs.field(default=None, repr=False)
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False, eq=False)
    server_hostname: str | None = None
    proxy: str | None = None
    proxy_token: str | None = attrs.field(default=None, repr=False)
    lasts: float | None = attrs.field(default=None, eq=False)


class Credentials:
    """Settings that are read again: when a file may have changed or a token has expired, and when refused."""

    def __init__(self, kubeconfig: str | os.PathLike[str] | None, context: str | None) -> None:
        self._kubeconfig = None if kubeconfig is None else os.fspath(kubeconfig)
        self._context = context
        self._settings: Settings | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def get(self, *, not_this: Settings | None = None) -> Settings:
        """The settings to use now; `not_this` are those that the server has just refused.

        Raises:
            ConfigurationError: nothing usable is found.
        """
        loop, held = asyncio.get_running_loop(), self._settings
        if held is not None and held is not not_this and loop.time() < self._until:
            return held
        async with self._lock:  # one reader; the others take what it brings
            if self._settings is held:
                self._settings = await self._read(held, refused=held is not_this)
                lasts = self._settings.lasts
                self._until = float("inf") if lasts is None else loop.time() + lasts
            assert self._settings is not None
            return self._settings

    async def _load(self) -> Settings:
        try:
            async with asyncio.timeout(LOADING):
                return await asyncio.to_thread(load, self._kubeconfig, self._context)
        except TimeoutError:
            raise ConfigurationError(
                f"the credentials could not be read within {LOADING:g} s",
                next_step="Run the kubeconfig's exec plugin by hand: it may wait for somebody",
            ) from None

    async def _read(self, held: Settings | None, *, refused: bool) -> Settings:
        try:
            read = await self._load()
        except ConfigurationError:
            if held is None or refused:
                raise
            return attrs.evolve(held)  # good until the server refuses it (client-go: cachingTokenSource)
        # The old TLS context goes on where it can: a new one would part from all open connections.
        if held is not None and attrs.evolve(read, token=None) == attrs.evolve(held, token=None):
            return attrs.evolve(read, tls=held.tls) if _same_trust(held, read) else read
        return read


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
        return _guarded(POD, _load_in_cluster, MOUNT)
    path, files = places(kubeconfig)
    source = f"the kubeconfig {quote(path)}"
    chosen = _guarded(source, lambda: choose(source, files, context))
    return _guarded(f"what {source} names", lambda: asyncio.run(_load_kubeconfig(source, chosen)))


def own_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace that is meant where none is named: the pod's own, or that of the context. Reads a small file.

    Raises:
        ConfigurationError: there is nothing to read it from.
    """
    if in_cluster(kubeconfig, context):
        return _guarded(POD, lambda: (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default", MOUNT)
    path, files = places(kubeconfig)
    source = f"the kubeconfig {quote(path)}"
    return _guarded(source, lambda: choose(source, files, context)).namespace


def in_cluster(kubeconfig: str | None, context: str | None) -> bool:
    """Whether the pod's service account is what is used."""
    return kubeconfig is None and context is None and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def _guarded(source: str, read: Callable[[], T], next_step: str = "Check it with kubectl cluster-info") -> T:
    """Turn whatever a loader raises into one error that shows no secret: a parser's message quotes the file."""
    try:
        with _unlogged():
            return read()
    except DiscoveryError:
        raise
    except Exception as error:  # noqa: BLE001 - these loaders raise anything, AssertionError too
        cause = _safe_cause(error)
    # Raised out here, it has no context: that one's message, and the values in its frames, may be secret.
    raise ConfigurationError(f"{source} cannot be used ({cause})", next_step=next_step)


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """The loader logs what a plugin wrote, be it a secret: nothing of that is let through."""
    thread = threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread not in (None, thread)

    logger = logging.getLogger("kubernetes_asyncio.config.kube_config")
    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)


def _safe_cause(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"no YAML at line {mark.line + 1}"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror or 'no reason given'}"
    kind = type(error).__name__
    if kind == "ConfigException":
        # "exec: process returned 1. <what the plugin wrote>": only the first sentence is ours to repeat.
        # "File does not exists: <what stands in client-key>": that may be the key itself, by mistake.
        said = str(error).partition(". ")[0]
        return "a certificate's or key's file does not exist" if said.startswith("File ") else quote(said)
    return f"{kind} while reading it: a part is missing or of the wrong kind"


def _load_in_cluster() -> Settings:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import load_incluster_config

    configuration = Configuration()
    load_incluster_config(  # type: ignore[no-untyped-call]
        client_configuration=configuration,
        token_filename=str(SERVICE_ACCOUNT / "token"),
        cert_filename=str(SERVICE_ACCOUNT / "ca.crt"),
    )
    return _settings(configuration, POD, lasts=REREAD)


async def _load_kubeconfig(source: str, chosen: Chosen) -> Settings:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import load_kube_config

    for field, kind in (
        ("server", str),
        ("tls-server-name", str),
        ("proxy-url", str),
        ("insecure-skip-tls-verify", bool),
    ):
        if not isinstance(chosen.cluster.get(field, kind()), kind):
            raise ConfigurationError(
                f"{source} has a {field} that is no {kind.__name__}", next_step=f"Correct clusters[].cluster.{field}"
            )
    configuration = Configuration()
    configuration.proxy = None
    paths = os.pathsep.join(str(file) for file in chosen.files)
    loader = await load_kube_config(paths, chosen.context, configuration, persist_config=False)
    if "tokenFile" in chosen.user and not configuration.api_key:
        raise ConfigurationError(f"the tokenFile of {source} is empty", next_step="Renew the token")
    lasts: float | None = REREAD
    if "exec" in chosen.user or "auth-provider" in chosen.user:
        # A plugin's token holds until its own expiry, or until it is refused: to run it each minute is not ours.
        expiry = getattr(loader, "exec_plugin_expiry", None)
        now = dt.datetime.now(dt.UTC)
        lasts = max((expiry - now).total_seconds(), SHORTEST) if expiry is not None else None
    return _settings(configuration, source, lasts=lasts)


def _settings(configuration: Any, source: str, *, lasts: float | None) -> Settings:
    host = str(configuration.host).rstrip("/")
    parts = http_url(host)
    if parts is None or "@" in parts.netloc:
        raise ConfigurationError(
            f"{source} has no server of the form https://HOST:PORT", next_step="Set clusters[].cluster.server"
        )
    proxy = proxy_of(configuration.proxy, source) or proxy_of(environment_proxy(parts), "the environment")
    return Settings(
        host=host,
        source=source,
        token=_header(configuration.api_key.get("BearerToken"), source),
        tls=_trust(configuration) if parts.scheme == "https" else None,
        server_hostname=configuration.tls_server_name,
        proxy=proxy[0] if proxy else None,
        proxy_token=proxy[1] if proxy else None,
        lasts=lasts,
    )


def _header(token: str | None, source: str) -> str | None:
    """The Authorization header: files end with a newline, headers must not."""
    if token is None:
        return None
    words = token.split()
    if len(words) != 2 or not all(word.isascii() and word.isprintable() for word in words):
        raise ConfigurationError(
            f"the token of {source} is empty, or has characters that no token has", next_step="Renew the token"
        )
    return " ".join(words)


def _trust(configuration: Any) -> ssl.SSLContext:
    given = configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file
    files = tuple(str(name) for name in given if name)
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    # First of all: a file that is replaced meanwhile will then be seen as changed.
    context.origin = tuple(hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files)
    if configuration.ssl_ca_cert:
        context.load_verify_locations(configuration.ssl_ca_cert)
    else:
        context.load_default_certs()
    if configuration.cert_file:
        # Without a password an encrypted key would have OpenSSL ask for it on the terminal.
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file, password="")
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
