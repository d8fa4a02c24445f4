"""What a failure at the API server means: for users as one of our errors, for a reflector as one of its kinds."""

from ..errors import AccessDenied, ApiUnavailable, ConfigurationError, DiscoveryError, Unauthenticated, quote
from ..network import cause_of
from .objects import Status
from .reflector import Failure


class Expired(DiscoveryError):
    """The version asked for is gone, or the server has not come so far: read the list anew."""


def unreachable(where: str, error: BaseException) -> ApiUnavailable:
    """What a failure of the network means."""
    return ApiUnavailable(
        f"{where} cannot be reached ({type(error).__name__}: {quote(cause_of(error))})",
        next_step="Check the server's address, the network and the proxy; what is known stays in use",
    )


def unreadable(what: str, error: Exception) -> ApiUnavailable:
    """What an answer means that is not what was asked for."""
    return ApiUnavailable(
        f"what the server sent of {what} cannot be read ({type(error).__name__}: {quote(error)})",
        status=200,
        next_step="Check that the address is an API server's: it may be a proxy, a gateway, or another service",
    )


def status_error(
    code: int,
    status: Status,
    what: str,
    verb: str,
    resource: str,
    namespace: str | None,
    where: str,
    retry_after: float | None,
    *,
    name: str = "",
) -> DiscoveryError:
    """The error for a status other than 200.

    `status` is what the server said, empty where it is no API server; `name` that of the one object asked for.
    """
    said = f": {quote(status.message)}" if status.message else ""
    if status.expired or code == 410:
        return Expired(f"{where} no longer has, or not yet, the version asked for{said}")
    if code in (401, 403) and status.kind != "Status":
        said = ", but not as a Kubernetes API server does: it may be a proxy or a gateway that refuses"
    if code == 401:
        return Unauthenticated(
            f"{where} does not accept our credentials to {what}{said}",
            next_step="Renew the token or certificate; a rotated token file is read again by itself",
        )
    if code == 403:
        return AccessDenied(
            f"{where} does not allow us to {what}{said}",
            verb=verb,
            resource=resource,
            namespace=namespace or "",
            rule=rule(verb, resource, name),
        )
    if status.kind != "Status" and code != 429:  # too many requests is said in plain text
        return ApiUnavailable(
            f"{where} answered {code}, but not as a Kubernetes API server does",
            status=code,
            retry_after=retry_after,
            next_step="Check the address: it may be a proxy, a gateway, or another service",
        )
    return ApiUnavailable(
        f"{where} answered {code}{f' {quote(status.reason)}' if status.reason else ''} to {what}{said}",
        status=code,
        retry_after=retry_after,
        reason=status.reason,
        next_step="The server does not know this resource" if code == 404 else "It is tried again by itself",
    )


def rule(verb: str, resource: str, name: str = "") -> str:
    """The smallest RBAC rule that allows what comes of this request: what is listed is watched too, and vice versa.

    A list or watch of one object, by field selector, is allowed by its name (kube-apiserver: requestinfo.go).
    """
    plural, _, group = resource.partition(".")
    names = f', resourceNames: ["{name}"]' if name else ""
    verbs = '"list", "watch"' if verb in ("list", "watch") else f'"{verb}"'
    return f'{{apiGroups: ["{group}"], resources: ["{plural}"]{names}, verbs: [{verbs}]}}'


def failure_of(error: DiscoveryError) -> Failure:
    """What a reflector has to know of an error."""
    if isinstance(error, Expired):
        return "expired"
    if isinstance(error, Unauthenticated | AccessDenied | ConfigurationError):
        return "denied"
    if isinstance(error, ApiUnavailable) and error.status in (0, 429):
        return "busy" if error.status else "unreachable"
    return "error"
