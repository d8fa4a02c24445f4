"""What `discovery sync` is told: a flag for each option of a bridge, and what they make together."""

import argparse
from typing import Any, get_args

import attrs

from ..bridge.options import BridgeKeywords, BridgeOptions, LeaderBy, NodeChoice, NotReadyAs, Policy, Shutdown
from ..errors import ConfigurationError, quote
from ..targets import ADDRESS_TYPES, FAMILIES
from .options import seconds

DEFAULTS = {field.name: field.default for field in attrs.fields(BridgeOptions)}

TIMEOUT = 60.0
"""Seconds that one pass waits for its lists and for the leadership: twice the longest life of a dead leader's lock."""


def add(made: argparse.ArgumentParser) -> None:
    """Add all of them."""
    _what_to_do(made)
    _which(made)
    _as_what(made)
    _where(made)
    _carefully(made)
    _together(made)
    _reaching(made)


def keywords(options: argparse.Namespace) -> BridgeKeywords:
    """The options of the bridge that were named on the command line; the others are as the bridge has them."""
    named = {name: getattr(options, name) for name in BridgeKeywords.__annotations__}
    found: BridgeKeywords = {name: value for name, value in named.items() if value is not None}  # type: ignore[assignment]
    return found


def check(options: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        ConfigurationError: it does not.
    """
    if options.approve is not None and options.dry_run:
        raise ConfigurationError("--approve and --dry-run contradict each other", next_step="Leave one of them out")
    if options.listen is not None and (options.once or options.dry_run or options.approve is not None):
        raise ConfigurationError(
            "--listen is for a bridge that keeps running", next_step="Leave out --once, --dry-run and --approve"
        )


def words(text: str) -> tuple[str, ...]:
    """A list, separated by commas; nothing is the empty list."""
    return tuple(word.strip() for word in text.split(",")) if text.strip() else ()


def whole(text: str) -> int:
    """A whole number of 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a whole number")
    return int(text)


def word(text: str) -> str:
    """What a bridge asks to have approved: it is given back as it was told."""
    if not (text.isascii() and text.isalnum() and len(text) <= 64):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a word that a bridge has asked for")
    return text


def _option(group: Any, name: str, said: str, **more: Any) -> None:
    """A flag named after an option of the bridge, and that option's default in its help."""
    default = DEFAULTS[name]
    shown = ",".join(default) if isinstance(default, tuple) else default
    if isinstance(default, bool):
        more["action"], shown = argparse.BooleanOptionalAction, "yes" if default else "no"
    told = "none" if shown in (None, "") else f"{shown:g}" if isinstance(shown, float) else str(shown)
    flag = f"--{name.replace('_', '-')}"
    flags = (flag, "--namespace", "-n") if name == "namespaces" else (flag,)
    told = "all" if name == "namespaces" else told
    group.add_argument(*flags, dest=name, default=None, help=f"{said} (default: {told})", **more)


def _what_to_do(made: argparse.ArgumentParser) -> None:
    made.add_argument("--owner", required=True, metavar="ID", help="who owns the entries: one id for each cluster")
    made.add_argument(
        "--consul", metavar="URL", help="default: CONSUL_HTTP_ADDR; the other CONSUL_* variables count too"
    )
    made.add_argument(
        "--policy", choices=get_args(Policy), default="sync", help="what may be done (default: %(default)s)"
    )
    made.add_argument("--once", action="store_true", help="make one pass, print what was done, and end")
    made.add_argument("--dry-run", action="store_true", help="print what one pass would do; write nothing")
    made.add_argument(
        "--approve", type=word, metavar="WORD", help="let the removals go that wait for this word, and end"
    )
    made.add_argument("--listen", metavar="HOST:PORT", help="serve /livez, /readyz, /status and /metrics; :PORT is all")
    made.add_argument("--log-json", action="store_true", help="events as JSON, one object a line, on stderr")


def _which(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("which Services")
    _option(group, "namespaces", "only these namespaces", type=words, metavar="NS,...")
    _option(group, "deny_namespaces", "not these, even so", type=words, metavar="NS,...")
    _option(group, "opt_in", "only those whose annotation service-sync says so")
    _option(group, "pod_addresses", "also ClusterIP and headless ones, at their pods")


def _as_what(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("as what")
    _option(group, "service_prefix", "before each name", metavar="TEXT")
    _option(group, "namespace_suffix", "-NAMESPACE after each name")
    _option(group, "tags", "of every instance", type=words, metavar="TAG,...")
    _option(group, "node_prefix", "nodes in Consul are called PREFIX-OWNER--NODE", metavar="PREFIX")
    _option(group, "probe", "checks for consul-esm", choices=("esm",))


def _where(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("where they are reached")
    types = ", ".join(ADDRESS_TYPES)
    _option(group, "address_types", f"of a node's addresses, best first: {types}", type=words, metavar="TYPE,...")
    _option(group, "family", "of addresses", choices=FAMILIES)
    _option(group, "nodes", "those with a usable endpoint, or all", choices=get_args(NodeChoice))
    _option(group, "max_nodes", "of one port of a Service; with --nodes all at most 5", type=whole, metavar="N")
    _option(group, "cordoned", "cordoned nodes serve")
    _option(group, "not_ready", "what becomes of unready nodes", choices=get_args(NotReadyAs))


def _carefully(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("how quickly and how carefully")
    _option(group, "debounce", "seconds without an event, after which a change is written", type=seconds, metavar="S")
    _option(group, "max_debounce", "seconds, after which it is written even so", type=seconds, metavar="S")
    _option(group, "repair", "seconds between two readings of Consul", type=seconds, metavar="S")
    _option(
        group,
        "confirm_after",
        "seconds, after which a list that lacks something is read again",
        type=seconds,
        metavar="S",
    )
    _option(group, "max_deletes", "on the evidence of lists at most so many at once", type=whole, metavar="N")
    _option(group, "max_delete_percent", "or so many of a hundred", type=float, metavar="P")
    _option(group, "in_flight", "transactions at a time", type=whole, metavar="N")


def _together(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("several replicas, and the end")
    _option(group, "leader", "by a session of Consul or a Lease of Kubernetes", choices=get_args(LeaderBy))
    _option(group, "lease_namespace", "where that Lease is; none is our own namespace", metavar="NS")
    _option(group, "lock", "the keys in Consul are LOCK/OWNER/...", metavar="LOCK")
    _option(group, "session_ttl", "seconds; a dead leader is followed within twice that", type=seconds, metavar="S")
    _option(
        group, "expire_after", "seconds without a leader, after which all is marked critical", type=seconds, metavar="S"
    )
    _option(group, "adopt", "take over what another cluster has written under this owner id")
    _option(group, "shutdown", "what becomes of the entries at the end", choices=get_args(Shutdown))


def _reaching(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("as every command has them")
    group.add_argument(
        "--output", choices=("table", "json"), default="table", help="of the plan (default: %(default)s)"
    )
    group.add_argument("--kubeconfig", metavar="FILE", help="default: in a pod its service account, else KUBECONFIG")
    group.add_argument("--context", help="of the kubeconfig; default: its current one")
    group.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="S",
        help="seconds that one pass waits (default: %(default)g)",
    )
