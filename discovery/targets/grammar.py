"""What a user asks for, as text: `parse(str(target)) == target`, always.

    SCHEME://[NAMESPACE/]BODY[:PORT][?key=value&...]

The namespace ends at the first `/`; empty or left out it is the client's own, settled before a pool is keyed. The
port begins at the last `:` outside brackets. Options are percent-encoded, and an unknown one is an error.
Everything wrong raises `InvalidTarget`, which quotes the wrong part. No I/O happens here: a name is checked for its
form, not for being there.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs

from ..errors import InvalidTarget
from ..errors import quote as quoted
from . import consul
from .checks import LABEL, WORDS, split_port
from .consul import Consul
from .dns import Dns
from .pods import Pods
from .services import AnyOfService, ClusterIP, Endpoints, LoadBalancer, NodePort
from .static import Static

Target = Endpoints | Pods | Dns | ClusterIP | NodePort | LoadBalancer | Consul | Static

LONGEST_TARGET = 4096

Options = dict[str, str]


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
    known = SCHEMES.get(scheme)
    if known is None:
        near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1)
        raise InvalidTarget(
            f"the scheme {quoted(scheme)} is unknown",
            part=scheme,
            next_step=f"Did you mean {near[0]}://?" if near else f"One of {', '.join(SCHEMES)}",
        )
    body, _, query = rest.partition("?")
    return known.read(body, _read_options(scheme, query))


def _namespaced(body: str) -> tuple[str | None, str]:
    namespace, slash, rest = body.partition("/")
    return (namespace or None, rest) if slash else (None, body)


def _of_service(kind: type[AnyOfService]) -> "Callable[[str, Options], AnyOfService]":
    def read(body: str, options: Options) -> AnyOfService:
        namespace, name = _namespaced(body)
        service, port = split_port(name)
        if not service:
            raise InvalidTarget(
                f"{quoted(body)} names no Service", part=body, next_step="Write NS/SERVICE:PORT after the scheme"
            )
        return kind(service, namespace=namespace, port=port, **_typed(options))

    return read


def _typed(options: Options) -> dict[str, Any]:
    """Options by the names of the fields, as the validators want them."""
    typed: dict[str, Any] = dict(options)
    if "address-types" in typed:
        typed["address_types"] = tuple(typed.pop("address-types").split(","))
    if typed.get("cordoned") in WORDS:
        typed["cordoned"] = WORDS[typed["cordoned"]]
    return typed


def _read_pods(body: str, options: Options) -> Pods:
    namespace, rest = _namespaced(body)
    if namespace is not None and not LABEL.fullmatch(namespace) and "." in namespace:
        raise InvalidTarget(
            f"{quoted(namespace)} is not the name of a namespace, which ends at the first /",
            part=namespace,
            next_step=f"For the client's own write pods:///{body}",
        )
    selector, port = split_port(rest)
    return Pods(selector, namespace=namespace, port=port, **_typed(options))


def _read_dns(body: str, options: Options) -> Dns:
    name, port = split_port(body)
    return Dns(name, port=port, **_typed(options))  # type: ignore[arg-type] # the class reads digits


def _read_srv(body: str, options: Options) -> Dns:
    name, port = split_port(body)
    return Dns(name, port=port, srv=True, **_typed(options))  # type: ignore[arg-type]


def _read_static(body: str, _options: Options) -> Static:
    return Static([place for place in body.split(",") if place])


@attrs.frozen
class Scheme:
    """How a target is read from what follows `://`, and which options it has."""

    read: "Callable[[str, Options], Target]"
    options: frozenset[str]


SCHEMES: Mapping[str, Scheme] = {
    "endpoints": Scheme(_of_service(Endpoints), frozenset({"family", "hostname"})),
    "pods": Scheme(_read_pods, frozenset({"family"})),
    "dns": Scheme(_read_dns, frozenset({"family", "server"})),
    "dns+srv": Scheme(_read_srv, frozenset({"family", "server"})),
    "cluster-ip": Scheme(_of_service(ClusterIP), frozenset({"family"})),
    "node-port": Scheme(_of_service(NodePort), frozenset({"address-types", "cordoned", "family"})),
    "load-balancer": Scheme(_of_service(LoadBalancer), frozenset({"family"})),
    "consul": Scheme(consul.read, consul.OPTIONS),
    "static": Scheme(_read_static, frozenset()),
}


def _read_options(scheme: str, query: str) -> Options:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise InvalidTarget(
            f"the options {quoted(query)} cannot be read", part=query, next_step="Write ?key=value&key=value"
        ) from error
    known = SCHEMES[scheme].options
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
