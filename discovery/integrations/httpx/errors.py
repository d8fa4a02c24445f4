"""Our errors as httpx's: what leaves a request is an `httpx.TransportError`, as all who call httpx expect."""

import ssl

import httpx

from ... import errors
from ...retrying import Outcome
from ..errors import Kinds, translated


class _Sent(httpx.TransportError):
    """The client sets the request of each error that leaves it; until then there is none."""

    _request = None


class NotReady(errors.NotReady, _Sent):
    """`discovery.NotReady`, leaving a request."""


class NoBackends(errors.NoBackends, _Sent):
    """`discovery.NoBackends`, leaving a request."""


class Overloaded(errors.Overloaded, _Sent):
    """`discovery.Overloaded`, leaving a request."""


class ServiceNotFound(errors.ServiceNotFound, _Sent):
    """`discovery.ServiceNotFound`, leaving a request."""


class PortNotFound(errors.PortNotFound, _Sent):
    """`discovery.PortNotFound`, leaving a request."""


class RetriesExhausted(errors.RetriesExhausted, _Sent):
    """`discovery.RetriesExhausted`, leaving a request."""


class ConfigurationError(errors.ConfigurationError, _Sent):
    """`discovery.ConfigurationError`, leaving a request."""


class DeadlineExceeded(errors.DeadlineExceeded, _Sent, httpx.TimeoutException):
    """`discovery.DeadlineExceeded`, leaving a request."""


KINDS: Kinds = {
    errors.NotReady: NotReady,
    errors.NoBackends: NoBackends,
    errors.Overloaded: Overloaded,
    errors.ServiceNotFound: ServiceNotFound,
    errors.PortNotFound: PortNotFound,
    errors.RetriesExhausted: RetriesExhausted,
    errors.ConfigurationError: ConfigurationError,
    errors.DeadlineExceeded: DeadlineExceeded,
}


class Unconnected(httpx.ConnectTimeout, TimeoutError):
    """No connection within one of our limits."""


class Unanswered(httpx.ReadTimeout, TimeoutError):
    """Sent, and no headers within one of our limits."""


class Untrusted(httpx.ConnectError, ssl.SSLError):
    """The backend was reached, and TLS came to nothing: as a rule its certificate is not valid for the name."""

    __str__ = Exception.__str__


UNSENT = httpx.ConnectError, httpx.ConnectTimeout
"""There was no connection to send anything on."""

BROKEN = httpx.NetworkError, httpx.RemoteProtocolError, httpx.ReadTimeout, httpx.WriteTimeout
"""A connection that was there and is no more, or says nothing more, or no HTTP."""


def httpx_error(error: errors.DiscoveryError) -> errors.DiscoveryError:
    """The same error as one of httpx's, with the same message, fields and cause."""
    return translated(error, KINDS)


def judge(error: BaseException) -> Outcome:
    """What an error of httpx before the response's headers means. A wait for a free connection is nobody's failure."""
    if isinstance(error, UNSENT):
        return Outcome.UNSENT
    return Outcome.SENT if isinstance(error, BROKEN) else Outcome.FINAL


def judge_once(error: BaseException) -> Outcome:
    """The same for a request whose body can be read only once: sent is sent."""
    outcome = judge(error)
    return Outcome.FINAL if outcome is Outcome.SENT else outcome


def placed(error: BaseException, place: str) -> BaseException:
    """The error with the backend in its message, which httpx leaves out.

    What a server sent that is no HTTP stays out of it: that may be a header, with what is secret in it.
    """
    if isinstance(error, httpx.RemoteProtocolError):
        return httpx.RemoteProtocolError(f"{place} broke off, or sent what is no HTTP")
    if isinstance(error, TimeoutError) or not isinstance(error, (*UNSENT, *BROKEN)):
        return error  # ours names it already
    if type(error).__module__ != httpx.__name__:
        return error  # of a transport of the program's own, which alone knows how one is made
    kind = Untrusted if _is_of_tls(error) else type(error)
    return kind(f"{place}: {error}" if str(error) else place)


def _is_of_tls(error: BaseException | None) -> bool:
    """Whether it goes back to the handshake: httpx and httpcore each put their own error before the system's."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return isinstance(error, ssl.SSLError)
