"""What things are called in Consul: services, instances and nodes. Pure.

Every name is a function of what it stands for and of nothing else, so that a bridge that starts anew finds its own.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import attrs

from ...errors import quote
from ...kube.objects import ServicePort
from ..options import BridgeOptions
from .annotations import NAME, PORT, Wishes
from .unusable import Unusable

LONGEST_NAME = 63
"""Characters of a DNS label."""

UNNAMED = "_"
"""Stands in an id for the port that has no name: no name of a port has it."""

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HASHED = re.compile(r".*-[0-9a-f]{8}")


@attrs.frozen
class Name:
    """A Consul service that a Service has. `asked`: by annotation, so several Services may share it on purpose."""

    text: str
    asked: bool = False


def port_names(
    namespace: str, name: str, ports: Sequence[ServicePort], options: BridgeOptions, wishes: Wishes
) -> dict[str, Name]:
    """The Consul service of each port, by the port's name: the main one has the plain name, others `NAME-PORT`.

    Args:
        namespace: of the Service.
        name: likewise.
        ports: likewise, in its own order; at least one.
        options: for prefix and suffix, which a name that is asked for has not.
        wishes: for the name and the main port.

    Raises:
        Unusable: DNS cannot carry one of them, or there is no such main port.
    """
    main = main_port(ports, wishes.port)
    plain = wishes.name or f"{options.service_prefix}{name}{f'-{namespace}' if options.namespace_suffix else ''}"
    texts = {port.name: plain if port is main else f"{plain}-{port.name}" for port in ports}
    for text in texts.values():
        _check(text)
    return {port: Name(text, wishes.name is not None) for port, text in texts.items()}


def main_port(ports: Sequence[ServicePort], wanted: str | int | None) -> ServicePort:
    """The one that is asked for, by its name or number; None is the first.

    Raises:
        Unusable: there is no such port, or two have one name.
    """
    names = [port.name for port in ports]
    if len(set(names)) < len(names):
        raise Unusable("two of its ports have one name", reason="port", next_step="Give each a name of its own")
    if wanted is None:
        return ports[0]
    for port in ports:
        if (port.port == wanted) if isinstance(wanted, int) else (port.name == wanted and wanted):
            return port
    has = ", ".join(f"{port.name or 'unnamed'}={port.port}" for port in ports[:10])
    raise Unusable(
        f"the annotation {PORT} is {quote(wanted)}, which is none of its ports",
        reason="annotation",
        next_step=f"It has {quote(has)[1:-1]}",
    )


def instance_id(owner: str, namespace: str, name: str, port: str, address: str) -> str:
    """The id of an instance, unlike that of any other: no part but the last can have a dot."""
    return f"{owner}.{namespace}.{name}.{port or UNNAMED}.{address}"


@lru_cache(maxsize=2**14)
def node_name(prefix: str, owner: str, node: str) -> str:
    """The Consul node of a node of the cluster: `PREFIX-OWNER--NODE`, or for "" that of all other addresses.

    A name that does not fit, or has dots, ends in a hash of the whole; so does one that only looks as if it did.
    """
    stem = "-".join(part for part in (prefix, owner) if part)
    text = f"{stem}--{node}" if node else stem
    plain = text.replace(".", "-")
    if plain == text and len(text) <= LONGEST_NAME and not (node and _HASHED.fullmatch(node)):
        return text
    mark = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{plain[: LONGEST_NAME - 9].rstrip('-')}-{mark}"


def _check(text: str) -> None:
    if not _LABEL.fullmatch(text):
        raise Unusable(
            f"Consul's DNS cannot carry the name {quote(text)}: 1 to {LONGEST_NAME} of A-Z, a-z, 0-9 and -, with "
            "- at neither end",
            reason="name",
            next_step=f"Give it another with the annotation {NAME}",
        )
