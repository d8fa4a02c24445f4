"""The `discovery` command: one file a subcommand."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from ..errors import DiscoveryError
from ..version import __version__
from . import demo, doctor, explain, rbac, resolve, service, sync, watch
from .codes import DONE, INTERRUPTED, USAGE, code_of
from .output import complain

COMMANDS = (resolve, watch, explain, doctor, service, sync, rbac, demo)


def parser() -> argparse.ArgumentParser:
    """Reads the command line."""
    made = argparse.ArgumentParser(
        prog="discovery",
        description="Find the backends of Kubernetes Services, as a program that uses this library finds them.",
        epilog="Exit codes: 0 done, 1 no usable backend, 2 usage, 3 not reachable or timed out, 4 not permitted, "
        "5 not found, 6 done in part, 130 interrupted.",
    )
    made.add_argument("--version", action="version", version=f"aiodiscovery {__version__}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = asyncio.run(options.run(options))
        if sys.stdout is not None:  # `>&-`
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (DiscoveryError, OSError, ExceptionGroup) as error:
        return ended_by(error)
    return code


def ended_by(error: Exception) -> int:
    """The exit code for what ended a command, said in one line where it is worth one."""
    while isinstance(error, ExceptionGroup):  # of the tasks that a command had
        error = error.exceptions[0]
    if isinstance(error, DiscoveryError):
        complain(error)
        return code_of(error)
    if not isinstance(error, OSError):
        raise error
    # The interpreter flushes stdout once more at its end, which must not fail aloud.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # nobody reads on
        return DONE
    complain(error)
    return USAGE
