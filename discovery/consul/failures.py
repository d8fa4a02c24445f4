"""What a failure at Consul means, as one of our errors: the statuses and texts of its servers, once."""

import re

import aiohttp

from ..errors import ConsulError, quote
from ..network import cause_of

_LEADERLESS = (
    "No cluster leader",
    "No known Consul servers",
    "Raft leader not found",
    "Not ready to serve consistent reads",
    "node is not the leader",
)
"""What a server says that could not begin."""

_LOST = "leadership lost"
"""What one says that had begun: whether the write holds is not known."""

_REFUSALS = ("Permission denied", "ACL not found")
_UNKNOWN_TOKEN = ("ACL not found", "token does not exist")
_LACKS = re.compile(r"lacks permission '([a-z-]{1,20}):([a-z]{1,10})'(?: on \"?([\w.:/@-]{1,100})\"?)?")
_WAIT = "Wait before it is tried again; what is known stays in use"


def is_refusal(text: str) -> bool:
    """Whether what Consul says of an operation means that its ACLs forbid it."""
    return any(one in text for one in _REFUSALS)


def is_unknown_token(error: ConsulError) -> bool:
    """Whether Consul does not know the token: it expired, or was deleted. Not so where the token lacks a right."""
    return error.status in (401, 403) and any(one in str(error) for one in _UNKNOWN_TOKEN)


def is_elsewhere(error: ConsulError) -> bool:
    """Whether another address may do better."""
    return error.reason in ("unreachable", "no-leader") or error.status == 429


def is_undone(error: ConsulError) -> bool:
    """Whether it is certain that Consul did nothing of what was asked, so that a write may be sent once more."""
    if error.reason == "unreachable":
        return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return error.status == 429 or (error.reason == "no-leader" and _LOST not in str(error))


def missing_rule(text: str) -> str:
    """The ACL rule that a refusal names as missing, such as `service "web" { policy = "write" }`; else ""."""
    found = _LACKS.search(text)
    if found is None:
        return ""
    resource, level, name = found.groups()
    return f'{resource} "{name}" {{ policy = "{level}" }}' if name else f'{resource} = "{level}"'


def unreachable(where: str, error: BaseException) -> ConsulError:
    """What a failure of the network means."""
    return ConsulError(
        f"Consul at {where} cannot be reached ({type(error).__name__}: {quote(cause_of(error))})",
        reason="unreachable",
        next_step="Check the address and the network; what is known stays in use",
    )


def unusable(where: str, what: str, why: object, *, status: int = 200) -> ConsulError:
    """What an answer means that no Consul gives."""
    return ConsulError(
        f"{where}, asked to {what}, does not answer as Consul does ({quote(why)})",
        status=status,
        reason="unusable",
        next_step="Check that the address is Consul's HTTP API: it may be a proxy, a gateway, or another service",
    )


def status_error(status: int, text: str, where: str, what: str, *, page: bool = False) -> ConsulError:
    """The error for a status that is no success.

    Args:
        status: of HTTP.
        text: the body, cut.
        where: the server, for the message; likewise what was asked.
        what: an infinitive, such as "read the nodes".
        page: the body is HTML, which the API of Consul never answers with.
    """
    reason = _reason(status, text, page=page)
    if reason == "unusable":
        return unusable(where, what, f"{status}: {text}", status=status)
    said = f": {quote(text.strip())}" if text.strip() else ""
    return ConsulError(
        f"Consul at {where} answered {status} when asked to {what}{said}",
        status=status,
        reason=reason,
        next_step=_next_step(status, reason, text),
    )


def _reason(status: int, text: str, *, page: bool) -> str:
    if status in (502, 504) or (status == 503 and page):
        return "unreachable"  # a gateway says so of the Consul behind it
    if status < 400 or page:
        return "unusable"
    if status in (401, 403) or (status == 500 and is_refusal(text)):
        return "denied"
    if status == 429 or (status == 503 and "rate limit" in text.lower()):
        return "rate-limited"
    if any(one in text for one in (*_LEADERLESS, _LOST)):
        return "no-leader"
    return {404: "not-found", 409: "conflict", 413: "too-large"}.get(status, "failed")


def _next_step(status: int, reason: str, text: str) -> str:
    if reason == "denied":
        return _right(text)
    if "concurrent connections" in text:
        return "Keep fewer blocking queries open, or raise limits.http_max_conns_per_client (200 by itself)"
    if reason == "rate-limited":
        return "Ask less often, or another server" if status == 429 else "Write less often: the leader takes no more"
    return {
        "unreachable": _WAIT,
        "no-leader": "Wait until the servers have elected one; what is known stays in use",
        "not-found": "Check the name, the namespace and the partition",
        "too-large": "Send less at once, or raise limits.txn_max_req_len or limits.kv_max_value_size",
        "conflict": "Read the state again: somebody else has changed it",
        "failed": _WAIT,
    }[reason]


def _right(text: str) -> str:
    if "ACL support disabled" in text:
        return "Do without tokens and logins, or enable ACLs in Consul"
    if "auth method" in text:
        return "Check the name of the auth method, and its namespace and partition"
    if any(one in text for one in _UNKNOWN_TOKEN):
        return "Renew the token: Consul does not know it"
    if rule := missing_rule(text):
        return f"Allow it with an ACL policy that holds {rule}"
    return "Check the token and the policies that it carries"
