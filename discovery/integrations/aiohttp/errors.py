"""Our errors as aiohttp's: what leaves a request is an `aiohttp.ClientError`, as all who call aiohttp expect.

All are `ClientConnectionError` and none a `ClientOSError`: on the latter aiohttp runs the whole chain of middlewares
once more, and attempts would not be bounded by what the user said.
"""

import aiohttp

from ... import errors
from ...retrying import Outcome
from ..errors import Kinds, translated


class NotReady(errors.NotReady, aiohttp.ClientConnectionError):
    """`discovery.NotReady`, leaving a request."""


class NoBackends(errors.NoBackends, aiohttp.ClientConnectionError):
    """`discovery.NoBackends`, leaving a request."""


class Overloaded(errors.Overloaded, aiohttp.ClientConnectionError):
    """`discovery.Overloaded`, leaving a request."""


class ServiceNotFound(errors.ServiceNotFound, aiohttp.ClientConnectionError):
    """`discovery.ServiceNotFound`, leaving a request."""


class PortNotFound(errors.PortNotFound, aiohttp.ClientConnectionError):
    """`discovery.PortNotFound`, leaving a request."""


class DeadlineExceeded(errors.DeadlineExceeded, aiohttp.ClientConnectionError):
    """`discovery.DeadlineExceeded`, leaving a request."""


class RetriesExhausted(errors.RetriesExhausted, aiohttp.ClientConnectionError):
    """`discovery.RetriesExhausted`, leaving a request."""


class ConfigurationError(errors.ConfigurationError, aiohttp.ClientConnectionError):
    """`discovery.ConfigurationError`, leaving a request."""


KINDS: Kinds = {
    errors.NotReady: NotReady,
    errors.NoBackends: NoBackends,
    errors.Overloaded: Overloaded,
    errors.DeadlineExceeded: DeadlineExceeded,
    errors.ServiceNotFound: ServiceNotFound,
    errors.PortNotFound: PortNotFound,
    errors.RetriesExhausted: RetriesExhausted,
    errors.ConfigurationError: ConfigurationError,
}

BROKEN = aiohttp.ClientOSError, aiohttp.ClientConnectionResetError, aiohttp.ServerConnectionError
"""A connection that was there and is no more, or says nothing more."""


def client_error(error: errors.DiscoveryError) -> errors.DiscoveryError:
    """The same error as one of aiohttp's, with the same message, fields and cause."""
    return translated(error, KINDS)


def judge(error: BaseException) -> Outcome:
    """What an error of aiohttp before the response's headers means.

    A bare TimeoutError is the caller's own limit (`ClientTimeout.total`): the time for everything is over.
    """
    if isinstance(error, Queued):
        return Outcome.FINAL
    if isinstance(error, Unsent | aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Outcome.UNSENT
    if isinstance(error, BROKEN):
        return Outcome.SENT
    return Outcome.FINAL


def judge_with_body(body: object, error: BaseException) -> Outcome:
    """The same for a request with this body: one that can be read only once cannot be sent twice."""
    outcome = judge(error)
    return Outcome.FINAL if outcome is Outcome.SENT and getattr(body, "consumed", False) else outcome


class Queued(aiohttp.ConnectionTimeoutError):
    """The caller's limit on connecting passed in the connector's queue, which is no backend's fault."""


class Unsent(aiohttp.ClientConnectionError):
    """The connection broke before the request went out; the cause tells how."""
