"""`discovery resolve TARGET`: the backends, once."""

import argparse
import json

from ..errors import NotReady
from ..events import Event
from ..pool import Pool
from .codes import DONE
from .options import discovery, of_target
from .output import BACKEND_HEAD, as_json, backend_row, table

EXAMPLES = """examples:
  discovery resolve alpaca-prod                          the only port of a Service in our own namespace
  discovery resolve default/alpaca-prod:http             a port by its name
  discovery resolve endpoints://default/alpaca-prod:80 --output json"""

ASKED = {"consul": "Consul", "dns": "the DNS server", "dns+srv": "the DNS server"}
"""Who is asked for what is no target of Kubernetes, by scheme."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "resolve",
        help="print the backends of a target once",
        description="Print the backends of a target that are usable now, once.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    of_target(made)
    made.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print what the target resolves to."""
    async with discovery(options, silent) as disco:
        pool = disco.pool(options.target)
        await answer(pool, options.timeout)
        backends = pool.snapshot.backends
        if options.output == "json":
            print(json.dumps({"target": pool.name, "backends": [as_json(backend) for backend in backends]}))
        elif backends:
            print(table(BACKEND_HEAD, map(backend_row, backends)))
        if not backends:
            raise pool.status.last_error or pool.why_empty()
    return DONE


def silent(_event: Event) -> None:
    """What goes wrong on the way is what the command ends with."""


async def answer(pool: Pool, timeout: float) -> None:
    """Wait for the first answer.

    Raises:
        DiscoveryError: there is none, for this reason.
    """
    if not await pool.settled(timeout):
        raise pool.status.last_error or NotReady(
            f"no answer for {pool.name} within {timeout:g} s",
            next_step=f"Check the address of {asked(pool.name)} and the way to it, or wait longer with --timeout",
        )


def asked(target: str) -> str:
    """Who is asked for a target, by its scheme."""
    return ASKED.get(target.partition("://")[0], "the API server")
