"""What the parts of a target may look like: checked where a target is made, so that a wrong one never exists."""

import ipaddress
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import InvalidTarget
from ..errors import quote as quoted

if TYPE_CHECKING:
    import attrs

Family = Literal["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]
FAMILIES: tuple[Family, ...] = ("prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6")

Attribute: TypeAlias = "attrs.Attribute[Any]"

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label of RFC 1123, as Kubernetes wants names of Services, namespaces and ports."""

_HOST_LABEL = r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
HOST = re.compile(rf"(?=.{{1,253}}\.?$){_HOST_LABEL}(\.{_HOST_LABEL})*\.?")
"""A host name: labels of at most 63 characters, 253 in all (RFC 1035). Underscores are seen in the field."""

WORDS = {"yes": True, "no": False}
"""What an option is set to that is on or off."""

_ALL_DIGITS = re.compile(r"[0-9.]+")


def label(kind: str, *, optional: bool = True) -> Callable[[object, Attribute, str | None], None]:
    """A validator: the name of a Service, a namespace or the like; where it is optional, None too."""

    def check(_instance: object, _attribute: Attribute, value: str | None) -> None:
        if value is None and optional:
            return
        text = str(value)
        if text is not value or not LABEL.fullmatch(text):
            hint = "Write it in lower case" if text != text.lower() and LABEL.fullmatch(text.lower()) else ""
            raise InvalidTarget(
                f"{quoted(value)} is not the name of a {kind}: at most 63 of a-z, 0-9 and -, not at an end",
                part=text,
                next_step=hint,
            )

    return check


def port(value: str | int | None) -> str | int | None:
    """A converter: a port's number, or its name; digits as text are a number."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:6])
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= 65535:
            return value
        raise InvalidTarget(f"port {value} is not in 1 to 65535", part=str(value))
    if not isinstance(value, str) or not LABEL.fullmatch(value):
        raise InvalidTarget(
            f"{quoted(value)} is neither a port's number nor its name", part=str(value), next_step="Write :80 or :http"
        )
    return value


def family(_instance: object, _attribute: Attribute, value: Family) -> None:
    """A validator: one of `FAMILIES`."""
    if value not in FAMILIES:
        raise InvalidTarget(
            f"family {quoted(value)} is unknown", part=str(value), next_step=f"One of {', '.join(FAMILIES)}"
        )


def address(text: str) -> str | None:
    """An IP address in its one spelling, with or without brackets; None where it is none."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


def host(text: str) -> str:
    """An address in its one spelling, or a host name in lower case.

    Raises:
        InvalidTarget: it is neither. All digits and dots are an address or nothing: `10.0.0.256` is no name.
    """
    found = address(text)
    if found is not None:
        return found
    if HOST.fullmatch(text) and not _ALL_DIGITS.fullmatch(text):
        return text.lower()
    raise InvalidTarget(f"{quoted(text)} is neither an address nor a host name", part=text)


def split_port(text: str) -> tuple[str, str | None]:
    """`name:port` at the last colon outside brackets."""
    colon = text.rfind(":")
    if colon < 0 or colon < text.rfind("]"):
        return text, None
    if not text[colon + 1 :]:
        raise InvalidTarget(f"{quoted(text)} ends with a colon", part=text, next_step="Name the port, or leave it out")
    return text[:colon], text[colon + 1 :]


def bracketed(text: str) -> str:
    """A host as it stands before a port."""
    return f"[{text}]" if ":" in text else text
