"""Active health checks: what a user asks for, and what the results of one backend's checks come to. Pure.

How a check is made is in `probes`, when in `checked`, what all of them mean for the pool in `checked_set`.
"""

import re
import ssl
from typing import Any, Literal

import attrs

from ..checks import seconds, whole
from ..errors import ConfigurationError, quote
from ..targets.checks import HOST

NOT_CHECKED = "not checked yet"

PATH = re.compile(r"/[!-\"$-~]*")
"""What a request line has after the method: no spaces, no fragment, nothing beyond ASCII."""

Standing = Literal["unchecked", "passing", "failing"]


def _path(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not (isinstance(value, str) and PATH.fullmatch(value)):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} is not the path of a URL",
            next_step="Begin it with / and percent-encode it, or give None to check the connection alone",
        )


def _port(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535):
        raise ConfigurationError(f"{attribute.name}={quote(value)} is not in 1 to 65535, or None")


def _host(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not (isinstance(value, str) and HOST.fullmatch(value)):
        raise ConfigurationError(f"{attribute.name}={quote(value)} is no host name", next_step="Give it without a port")


def _tls(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not isinstance(value, ssl.SSLContext):
        raise ConfigurationError(
            f"{attribute.name}={quote(value)} is no TLS context", next_step="Give ssl.create_default_context()"
        )


@attrs.frozen(kw_only=True)
class HealthCheck:
    """How the backends of a pool are checked by the client itself, beside what its target says of them.

    Args:
        path: what an HTTP check asks for by GET: an answer from 200 to 399 passes, as for the kubelet, and redirects
            are not followed. None, the default, checks that a connection can be made, as HAProxy's `check` does: no
            path is everywhere.
        interval: seconds between two checks of a backend, give or take a tenth. 5 is NGINX Plus's; the kubelet has 10,
            HAProxy 2. Every client checks every backend, so a backend sees clients / interval checks a second.
        timeout: seconds for one check, from the connection to the status line. 1 is the kubelet's `timeoutSeconds`.
        healthy: passes in a row that bring a backend back. 1 is the kubelet's `successThreshold`.
        unhealthy: failures in a row that take a backend out. 3 is the kubelet's `failureThreshold` and HAProxy's
            `fall`. For a backend that is new one result decides either way, as in Envoy.
        port: where checks go; None is the backend's own port.
        host: the Host header, and the name that TLS asks for; None is the backend's address, as for the kubelet.
        tls: the context that checks are encrypted with; None is plain text.

    Raises:
        ConfigurationError: an option that cannot be used.
    """

    path: str | None = attrs.field(default=None, validator=_path)
    interval: float = attrs.field(default=5.0, validator=seconds())
    timeout: float = attrs.field(default=1.0, validator=seconds())
    healthy: int = attrs.field(default=1, validator=whole(least=1))
    unhealthy: int = attrs.field(default=3, validator=whole(least=1))
    port: int | None = attrs.field(default=None, validator=_port)
    host: str | None = attrs.field(default=None, validator=_host)
    tls: ssl.SSLContext | None = attrs.field(default=None, validator=_tls)


@attrs.frozen(kw_only=True)
class Health:
    """What is known of one backend.

    Attributes:
        standing: what the checks so far come to.
        passes: in a row.
        failures: in a row.
        error: of the last check; None where it passed.
        reason: why it is not to be picked; None where it is.
    """

    standing: Standing = "unchecked"
    passes: int = 0
    failures: int = 0
    error: str | None = None
    reason: str | None = NOT_CHECKED


UNCHECKED = Health()


def step(health: Health, error: str | None, spec: HealthCheck) -> Health:
    """What is known after one more check, that failed for `error`, or passed (None)."""
    if error is None:
        passes = health.passes + 1
        if health.standing == "failing" and passes < spec.healthy:
            return attrs.evolve(health, passes=passes, failures=0, error=None)
        return Health(standing="passing", passes=passes, reason=None)
    failures = health.failures + 1
    if health.standing == "passing" and failures < spec.unhealthy:
        return attrs.evolve(health, passes=0, failures=failures, error=error)
    reason = health.reason
    if health.standing != "failing" or error != health.error:  # a count that is told anew each time would be a change
        reason = f"health check failed: {error}{f' ({failures} times)' if failures > 1 else ''}"
    return Health(standing="failing", failures=failures, error=error, reason=reason)
