"""What a user asks for, as text or as a typed value: `parse(str(target)) == target`, always.

    SCHEME://[NAMESPACE/]BODY[:PORT][?key=value&...]

The namespace ends at the first `/`; empty or left out it is the client's own, settled before a pool is keyed. The
port begins at the last `:` outside brackets. Options are percent-encoded, and an unknown one is an error.
Everything wrong raises `InvalidTarget`, which quotes the wrong part. No I/O happens here: a name is checked for its
form, not for being there.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote

import attrs

from .errors import InvalidTarget
from .errors import quote as quoted

Family = Literal["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]
FAMILIES: tuple[Family, ...] = ("prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6")

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label of RFC 1123, as Kubernetes wants names of Services, namespaces and ports."""

LONGEST_TARGET = 2048


def _label(kind: str) -> Callable[[object, "attrs.Attribute[str]", str | None], None]:
    def check(_instance: object, _attribute: "attrs.Attribute[str]", value: str | None) -> None:
        if value is None:
            return
        text = str(value)
        if text is not value or not LABEL.fullmatch(text):
            hint = "Write it in lower case" if LABEL.fullmatch(text.lower()) else ""
            raise InvalidTarget(
                f"{quoted(value)} is not the name of a {kind}: at most 63 of a-z, 0-9 and -, not at an end",
                part=text,
                next_step=hint,
            )

    return check


def _port(value: str | int | None) -> str | int | None:
    """A port's number, or its name; digits as text are a number."""
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


def _family(_instance: object, _attribute: "attrs.Attribute[Family]", value: Family) -> None:
    if value not in FAMILIES:
        raise InvalidTarget(
            f"family {quoted(value)} is unknown", part=str(value), next_step=f"One of {', '.join(FAMILIES)}"
        )


@attrs.frozen(kw_only=True)
class Endpoints:
    """The usable pods behind a Service: EndpointSlices, or Endpoints where the server has no slices.

    Args:
        service: the Service's name.
        namespace: its namespace; None is the client's own.
        port: the name or number of the Service's port; None where the Service has only one. A headless Service is
            also found by its target port, because that is what users of plain DNS write.
        hostname: only the pod of this hostname (a StatefulSet's pod); None is all.
        family: which address a pod with both is called by, or the only kind wanted.

    Raises:
        InvalidTarget: a name, port or family that cannot be one.
    """

    service: str = attrs.field(kw_only=False, validator=_label("Service"))
    namespace: str | None = attrs.field(default=None, validator=_label("namespace"))
    port: str | int | None = attrs.field(default=None, converter=_port)
    hostname: str | None = attrs.field(default=None, validator=_label("pod"))
    family: Family = attrs.field(default="prefer-ipv4", validator=_family)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        options: dict[str, str] = {}
        if self.hostname is not None:
            options["hostname"] = self.hostname
        if self.family != "prefer-ipv4":
            options["family"] = self.family
        return f"endpoints://{self.namespace or ''}/{self.service}{port}{_print_options(options)}"


def _hosts(given: Sequence[str | tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidTarget(f"{quoted(given)} is not a list", next_step='Write Static(["host:80", ("host", 80)])')
    hosts = tuple(_host(place) for place in given)
    if not hosts:
        raise InvalidTarget("a static target needs at least one host:port")
    return hosts


_HOST_LABEL = r"[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?"
HOST = re.compile(rf"(?=.{{1,253}}\.?$){_HOST_LABEL}(\.{_HOST_LABEL})*\.?")


def _host(place: object) -> tuple[str, int]:
    pair = _split_port(place) if isinstance(place, str) else place
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
        say = 'Write "host:80" or ("host", 80)'
        raise InvalidTarget(f"{quoted(place)} is no place", part=str(place), next_step=say)
    host, number = pair[0], _port(pair[1])
    if not isinstance(number, int):
        raise InvalidTarget(f"{quoted(place)} has no port number", part=str(place), next_step="Write host:80")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ipaddress.ip_address(bare)), number
    except ValueError:
        if bare is host and HOST.fullmatch(host):
            return host.lower(), number
    raise InvalidTarget(f"{quoted(host)} is neither an address nor a host name", part=host)


@attrs.frozen
class Static:
    """Fixed places, as `(host, port)` pairs or `host:port` texts; they are always ready.

    Raises:
        InvalidTarget: none given, or one that is no host with a port number.
    """

    hosts: tuple[tuple[str, int], ...] = attrs.field(converter=_hosts)

    def __str__(self) -> str:
        places = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"static://{','.join(places)}"


Target = Endpoints | Static


def parse(text: str, *, bare: bool = False) -> Target:
    """Read a target from its text.

    Args:
        text: `SCHEME://[NAMESPACE/]BODY[:PORT][?options]`.
        bare: also take `[NAMESPACE/]SERVICE[:PORT]`, short for `endpoints://`, as the command line does.

    Raises:
        InvalidTarget: with the wrong part quoted, and what was probably meant.
    """
    if not isinstance(text, str):
        raise InvalidTarget(f"{quoted(text)} is not text", next_step="Give a target's text, or one of its types")
    if len(text) > LONGEST_TARGET:
        raise InvalidTarget(f"a target of {len(text)} characters is too long", part=text[:40])
    scheme, mark, rest = text.partition("://")
    if not mark:
        if not bare:
            try:
                meant = str(parse(f"endpoints://{text}" if "/" in text else f"endpoints://default/{text}"))
            except InvalidTarget:
                meant = "endpoints://NS/SERVICE:PORT"
            raise InvalidTarget(f"{quoted(text)} has no scheme", part=text, next_step=f"Did you mean {meant}?")
        scheme, rest = "endpoints", text
    reader = SCHEMES.get(scheme)
    if reader is None:
        near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1)
        raise InvalidTarget(
            f"the scheme {quoted(scheme)} is unknown",
            part=scheme,
            next_step=f"Did you mean {near[0]}://?" if near else f"One of {', '.join(SCHEMES)}",
        )
    body, _, query = rest.partition("?")
    return reader(body, _read_options(scheme, query))


def _read_endpoints(body: str, options: Mapping[str, str]) -> Endpoints:
    namespace, slash, name = body.partition("/")
    if not slash:
        namespace, name = "", body
    service, port = _split_port(name)
    if not service:
        raise InvalidTarget(
            f"{quoted(body)} names no Service", part=body, next_step="Write endpoints://NS/SERVICE:PORT"
        )
    family = options.get("family", "prefer-ipv4")
    return Endpoints(
        service,
        namespace=namespace or None,
        port=port,
        hostname=options.get("hostname"),
        family=family,  # type: ignore[arg-type] # the validator decides
    )


def _read_static(body: str, _options: Mapping[str, str]) -> Static:
    return Static([place for place in body.split(",") if place])


SCHEMES: Mapping[str, Callable[[str, Mapping[str, str]], Target]] = {
    "endpoints": _read_endpoints,
    "static": _read_static,
}
OPTIONS: Mapping[str, frozenset[str]] = {"endpoints": frozenset({"family", "hostname"}), "static": frozenset()}


def _split_port(text: str) -> tuple[str, str | None]:
    """`name:port` at the last colon outside brackets."""
    colon = text.rfind(":")
    if colon < 0 or colon < text.rfind("]"):
        return text, None
    if not text[colon + 1 :]:
        raise InvalidTarget(f"{quoted(text)} ends with a colon", part=text, next_step="Name the port, or leave it out")
    return text[:colon], text[colon + 1 :]


def _read_options(scheme: str, query: str) -> Mapping[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise InvalidTarget(
            f"the options {quoted(query)} cannot be read", part=query, next_step="Write ?key=value&key=value"
        ) from error
    known = OPTIONS[scheme]
    for key, _ in pairs:
        if key not in known:
            raise InvalidTarget(
                f"{scheme}:// has no option {quoted(key)}",
                part=key,
                next_step=f"It has {', '.join(sorted(known))}" if known else "It has none",
            )
    options = dict(pairs)
    if len(options) < len(pairs):
        raise InvalidTarget(f"the options {quoted(unquote(query))} say one thing twice", part=query)
    return options


def _print_options(options: Mapping[str, str]) -> str:
    return "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(options.items())) if options else ""
