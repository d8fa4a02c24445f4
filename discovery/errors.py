"""Every error that leaves this library, as one tree.

DiscoveryError
├── InvalidTarget (ValueError)      the text or value that names a target is wrong
├── ConfigurationError              kubeconfig, token, certificate or option cannot be used
├── ServiceNotFound                 the namespace has no such Service
│   └── NoEndpoints                 it has one, but with neither selector nor slices: nothing to pick from
├── PortNotFound                    the Service has no such port
├── ResolutionError                 a name could not be looked up
├── Unauthenticated                 the API server does not know us (401)
├── AccessDenied                    it knows us and says no (403)
├── ApiUnavailable                  it cannot be reached, or does not answer as an API server
├── ConsulError                     Consul cannot be reached, refuses, or answers with a failure
├── NotReady                        a pool has never been synced
├── NoBackends                      a synced pool has nothing usable
├── Overloaded                      a limit of our own was reached
├── DeadlineExceeded (TimeoutError) the time given has passed
└── RetriesExhausted                every attempt failed; the last cause is chained

Each says what happened, to what, and what to do next. Text that came from a cluster is untrusted: it is cut and made
printable here. Credentials never come here at all. The kinds that are also an `aiohttp.ClientError` or an
`httpx.TransportError` are made in `discovery.integrations`.
"""

from collections.abc import Sequence

LONGEST_QUOTE = 200
"""Characters of foreign text that an error repeats; more would flood a log."""


def quote(text: object, longest: int = LONGEST_QUOTE) -> str:
    """Foreign text in quotes: control characters escaped, no longer than `longest` characters."""
    plain = str(text)
    return repr(plain if len(plain) <= longest else plain[: longest - 1] + "…")


class DiscoveryError(Exception):
    """The root: `except DiscoveryError` catches all that this library raises on its own account.

    `next_step` is the advice at the end of the message, or "" where there is none.
    """

    def __init__(self, message: str, *, next_step: str = "") -> None:
        self.next_step = next_step
        super().__init__(f"{message}. {next_step}" if next_step else message)


class InvalidTarget(DiscoveryError, ValueError):
    """What was asked for cannot be read; `part` is the wrong part of it."""

    def __init__(self, message: str, *, part: str = "", next_step: str = "") -> None:
        self.part = part
        super().__init__(message, next_step=next_step)


class ConfigurationError(DiscoveryError):
    """A kubeconfig, token, certificate or option that cannot be used as it is."""


class ServiceNotFound(DiscoveryError):
    """The namespace has no Service of that name. The pool goes on watching: it may appear later."""


class NoEndpoints(ServiceNotFound):
    """The Service stands for no pods: an ExternalName, or one with neither selector nor EndpointSlices."""


class PortNotFound(DiscoveryError):
    """The Service has no such port; `ports` are those it has."""

    def __init__(self, message: str, *, ports: Sequence[str] = (), next_step: str = "") -> None:
        self.ports = tuple(ports)
        super().__init__(message, next_step=next_step)


class ResolutionError(DiscoveryError):
    """A name could not be looked up in the DNS.

    `reason` tells apart `no-such-name` and `no-data` (the name has no records of this kind), which are answers, from
    `server-failure`, `timeout` and `unusable` (an answer that cannot be used), which say nothing of the name.
    `ttl` is for how many seconds an answer holds, 0 where there was none.
    """

    reason = ""

    def __init__(self, message: str, *, reason: str = "", ttl: float = 0.0, next_step: str = "") -> None:
        self.reason = reason
        self.ttl = ttl
        super().__init__(message, next_step=next_step)


class Unauthenticated(DiscoveryError):
    """The API server answered 401: the credentials are missing, wrong or expired."""


class AccessDenied(DiscoveryError):
    """The API server answered 403; `rule` is the RBAC rule, as YAML, that would allow the request."""

    def __init__(
        self, message: str, *, verb: str = "", resource: str = "", namespace: str = "", rule: str = ""
    ) -> None:
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
        self.rule = rule
        role = "Role" if namespace else "ClusterRole"
        super().__init__(message, next_step=f"Allow it with a {role} that holds {rule}")


class ApiUnavailable(DiscoveryError):
    """The API server cannot be reached, answers with a failure of its own, or is not an API server.

    `status` is the HTTP status, 0 where there was none; `retry_after` the seconds that the server asked for.
    """

    def __init__(
        self, message: str, *, status: int = 0, retry_after: float | None = None, reason: str = "", next_step: str = ""
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.reason = reason
        super().__init__(message, next_step=next_step)


class ConsulError(DiscoveryError):
    """Consul cannot be reached, refuses what was asked, or answers with a failure of its own.

    `status` is the HTTP status, 0 where there was none. `reason` tells them apart: `unreachable`, `no-leader`,
    `rate-limited` (429, or 503 with that text), `denied` (403, or a transaction refused by ACL), `too-large` (413),
    `conflict` (a transaction that found something else than it expected), `not-found`, `unusable` (no answer of a
    Consul), `failed` (whatever else).
    """

    reason = ""

    def __init__(self, message: str, *, status: int = 0, reason: str = "failed", next_step: str = "") -> None:
        self.status = status
        self.reason = reason
        super().__init__(message, next_step=next_step)


class NotReady(DiscoveryError):
    """The pool has not been synced once, so nothing is known yet. The reason is the message and the cause."""


class NoBackends(DiscoveryError):
    """The pool is synced and has nothing usable: not the same as not knowing."""


class Overloaded(DiscoveryError):
    """A limit set on this side was reached: fail fast, or wait with `acquire()`."""


class DeadlineExceeded(DiscoveryError, TimeoutError):
    """The time given for the whole has passed."""


class RetriesExhausted(DiscoveryError):
    """Every attempt failed; `attempts` counts them, the last cause is chained."""

    def __init__(self, message: str, *, attempts: int = 0, next_step: str = "") -> None:
        self.attempts = attempts
        super().__init__(message, next_step=next_step)
