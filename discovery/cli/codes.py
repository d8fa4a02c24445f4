"""Exit codes, by error."""

from .. import errors

DONE, NO_BACKEND, USAGE, UNREACHABLE, DENIED, NOT_FOUND, IN_PART, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130

CODES: dict[type[errors.DiscoveryError], int] = {
    errors.InvalidTarget: USAGE,
    errors.ConfigurationError: USAGE,
    errors.ServiceNotFound: NOT_FOUND,
    errors.PortNotFound: NOT_FOUND,
    errors.ResolutionError: NOT_FOUND,
    errors.Unauthenticated: DENIED,
    errors.AccessDenied: DENIED,
    errors.NoBackends: NO_BACKEND,
}


NO_ANSWER = ("server-failure", "timeout", "unusable")
"""Reasons for which nothing is known of a name."""

OF_CONSUL = {"denied": DENIED, "not-found": NOT_FOUND}
"""Reasons for which Consul has answered, and what they come to."""


def code_of(error: errors.DiscoveryError) -> int:
    """The exit code for an error; whatever is not in the table could not be reached, or not in time."""
    if isinstance(error, errors.ResolutionError) and error.reason in NO_ANSWER:
        return UNREACHABLE
    if isinstance(error, errors.ConsulError) and error.reason in OF_CONSUL:
        return OF_CONSUL[error.reason]
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), UNREACHABLE)
