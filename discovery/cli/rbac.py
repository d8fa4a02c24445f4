"""`discovery rbac TARGET...`: the smallest roles that these targets need, or (`--sync`) a bridge to Consul."""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..bridge.options import BridgeOptions
from ..errors import InvalidTarget, quote
from ..kube.credentials import own_namespace
from ..permissions import ROLE_NAME, Permission, binding, bridge_roles, needed, optional, roles, settle
from ..targets import LABEL, OfService, Pods, Target, check_namespace
from . import yaml
from .codes import DONE
from .options import common, target
from .output import printable

EXAMPLES = """examples:
  discovery rbac shop/alpaca-prod:80                     what a middleware needs for http://alpaca-prod.shop.svc
  discovery rbac shop/alpaca-prod:80 --service-account default:orders | kubectl apply -f -
  discovery rbac 'pods://shop/app=web:http' node-port://shop/web --output json
  discovery rbac --sync shop,web --service-account discovery:bridge      what `discovery sync` needs for these"""

ANY_OWNER = "any"
"""A bridge that stands for election in Consul needs the same, whoever it is."""

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.:_]{0,251}[A-Za-z0-9])?")
_ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "rbac",
        help="print the permissions that targets need",
        description="Print the smallest Roles (and, for nodes, the ClusterRole) that allow these targets, as YAML. "
        "Nothing is contacted.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "targets", nargs="*", type=target, metavar="TARGET", help="[NS/]SERVICE[:PORT], or a target in full"
    )
    made.add_argument(
        "--sync",
        nargs="?",
        const=(),
        type=namespaces,
        metavar="NS,...",
        help="what `discovery sync` needs in these namespaces; where none is named, in all",
    )
    made.add_argument("--name", type=role_name, default=ROLE_NAME, help="of the roles (default: %(default)s)")
    made.add_argument(
        "--service-account", type=account, metavar="NS:NAME", help="also print what gives it the roles; default: none"
    )
    made.add_argument(
        "--full", action="store_true", help="also what the targets can do without: what traffic policies need"
    )
    common(made)
    made.set_defaults(run=run, wrong=made.error)


def namespaces(text: str) -> tuple[str, ...]:
    """Namespaces, separated by commas."""
    found = tuple(one.strip() for one in text.split(","))
    try:
        for one in found:
            check_namespace(one)
    except InvalidTarget as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return found


def role_name(text: str) -> str:
    """What a role may be called."""
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not the name of a Role: letters, digits, - . : _")
    return text


def account(text: str) -> tuple[str, str]:
    """The namespace and name of a ServiceAccount."""
    namespace, _, name = text.partition(":")
    if not (LABEL.fullmatch(namespace) and _ACCOUNT.fullmatch(name)):
        raise argparse.ArgumentTypeError(f"{quote(text)} is no ServiceAccount: write NAMESPACE:NAME")
    return namespace, name


async def run(options: argparse.Namespace) -> int:
    """Print the roles."""
    if options.sync is not None and options.targets:
        options.wrong("argument --sync: it is for a bridge alone, name no TARGET")
    if options.sync is None and not options.targets:
        options.wrong("the following arguments are required: TARGET")
    targets = settled(options)
    found = list(objects(options, targets))
    said_first = remarks(targets, full=options.full) if options.sync is None else [of_bridge(options.sync)]
    if options.output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": found}))
        return DONE
    print("\n".join(f"# {printable(line)}" for line in said_first))
    for number, body in enumerate(found):
        print("---\n" * bool(number) + yaml.document(body), end="")
    return DONE


def settled(options: argparse.Namespace) -> Sequence[Target]:
    """The targets, each once, in the namespace that is meant where one names none.

    Raises:
        ConfigurationError: that cannot be found out.
        InvalidTarget: it is the name of none.
    """
    namespace = options.namespace
    if namespace is not None:
        if not namespace:
            raise InvalidTarget("--namespace names none", next_step="Write --namespace NS, or leave it out")
        check_namespace(namespace)
    elif any(isinstance(one, OfService | Pods) and not one.namespace for one in options.targets):
        namespace = own_namespace(options.kubeconfig, options.context)
    return tuple(dict.fromkeys(settle(one, namespace) for one in options.targets))


def objects(options: argparse.Namespace, targets: Sequence[Target]) -> Iterator[dict[str, Any]]:
    """The roles, each followed by its binding where one is wanted."""
    wanted = (
        roles(targets, name=options.name, full=options.full)
        if options.sync is None
        else bridge_roles(BridgeOptions(owner=ANY_OWNER, namespaces=options.sync), name=options.name)
    )
    for role in wanted:
        yield role
        if options.service_account is not None:
            namespace, name = options.service_account
            yield binding(role, account=name, account_namespace=namespace)


def of_bridge(namespaces: Sequence[str]) -> str:
    """A line: what a bridge of these namespaces, or (none) of all, reads."""
    return f"discovery sync reads services and endpointslices of {', '.join(namespaces) or 'all namespaces'}, and nodes"


def remarks(targets: Sequence[Target], *, full: bool) -> Iterator[str]:
    """A line for each target: what it reads, and what it goes without."""
    for one in targets:
        wanted, more = needed(one), optional(one)
        if full:
            wanted, more = wanted + more, ()
        reads = f"reads {said(wanted)}" if wanted else "needs no permission"
        yield f"{one} {reads}" + (f"; --full adds {said(more)}" if more else "")


def said(permissions: Sequence[Permission]) -> str:
    """As one lists them."""
    return ", ".join(map(str, permissions))
