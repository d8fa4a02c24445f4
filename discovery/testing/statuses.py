"""The Status objects with which the simulated API server refuses, in kube-apiserver's own words. Pure."""

from typing import Any

from .objects import Json, Kind


class Refused(Exception):
    """The answer to a request that is not done; `status` is its body."""

    def __init__(self, code: int, reason: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        self.status |= more


def _details(kind: Kind, name: str, **more: Any) -> Json:
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.resource, **more}


def not_found(kind: Kind, name: str) -> Refused:
    """404: no such object."""
    return Refused(404, "NotFound", f'{kind.full_name} "{name}" not found', details=_details(kind, name))


def already_exists(kind: Kind, name: str) -> Refused:
    """409: the name is taken."""
    return Refused(409, "AlreadyExists", f'{kind.full_name} "{name}" already exists', details=_details(kind, name))


def conflict(kind: Kind, name: str) -> Refused:
    """409: another write came first."""
    message = (
        f'Operation cannot be fulfilled on {kind.full_name} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return Refused(409, "Conflict", message, details=_details(kind, name))


def bad_request(message: str) -> Refused:
    """400: it cannot be read."""
    return Refused(400, "BadRequest", message)


def invalid_options(field: str, kind: str, message: str) -> Refused:
    """422: options that exclude each other."""
    text = f'ListOptions.meta.k8s.io "" is invalid: {field}: {kind}: {message}'
    return Refused(422, "Invalid", text, details={"group": "meta.k8s.io", "kind": "ListOptions"})


def unauthorized() -> Refused:
    """401."""
    return Refused(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, verb: str, namespace: str | None, name: str) -> Refused:
    """403: no rule allows it."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    user = "system:serviceaccount:default:default"
    what = f'{kind.full_name} "{name}"' if name else kind.full_name
    cannot = f'User "{user}" cannot {verb} resource "{kind.resource}" in API group "{kind.group}" {where}'
    message = f"{what} is forbidden: {cannot}"
    return Refused(403, "Forbidden", message, details=_details(kind, name))


def expired(version: int, oldest: int) -> Refused:
    """410: a watch from a version that is compacted away."""
    return Refused(410, "Expired", f"too old resource version: {version} ({oldest})")


def list_expired() -> Refused:
    """410: a list of such a version."""
    return Refused(410, "Expired", "The resourceVersion for the provided list is too old.")


def continue_expired() -> Refused:
    """410: a page of such a list."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter."
    )
    return Refused(410, "Expired", message)


def too_new(version: int, current: int) -> Refused:
    """504: a version that has not been yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {version}, current: {current}"
    return Refused(504, "Timeout", message, details={"causes": [cause], "retryAfterSeconds": 1})
