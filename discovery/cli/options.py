"""Options that every command has, and the Discovery they describe."""

import argparse
import math

from ..client import Discovery
from ..errors import InvalidTarget, quote
from ..events import Hook
from ..targets import Target, parse


def common(made: argparse.ArgumentParser) -> None:
    """Add them."""
    made.add_argument(
        "--output", choices=("table", "json"), default="table", help="how to print (default: %(default)s)"
    )
    made.add_argument("--kubeconfig", metavar="FILE", help="default: in a pod its service account, else KUBECONFIG")
    made.add_argument("--context", help="of the kubeconfig; default: its current one")
    made.add_argument("--namespace", "-n", metavar="NS", help="where a target names none; default: our own")
    made.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds to wait for an answer; default: %(default)g",
    )
    made.set_defaults(consul=None)


def of_target(made: argparse.ArgumentParser) -> None:
    """Add the one target that a command is about, and what every command has."""
    made.add_argument("target", type=target, metavar="TARGET", help="[NS/]SERVICE[:PORT], or a target in full")
    common(made)
    consul(made)


def consul(made: argparse.ArgumentParser) -> None:
    """Add where Consul is."""
    made.add_argument(
        "--consul",
        metavar="URL",
        help="for consul:// targets; default: CONSUL_HTTP_ADDR, and the other CONSUL_* variables count too",
    )


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a number of seconds above 0")
    return number


def target(text: str) -> Target:
    """A target, short or in full."""
    try:
        return parse(text, bare=True)
    except InvalidTarget as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def discovery(options: argparse.Namespace, on_event: Hook) -> Discovery:
    """The Discovery that the options describe."""
    return Discovery(
        kubeconfig=options.kubeconfig,
        context=options.context,
        namespace=options.namespace,
        consul=options.consul,
        on_event=on_event,
    )
