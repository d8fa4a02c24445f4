"""`discovery explain TARGET`: every candidate, in or out, and why."""

import argparse
import json
from typing import Any

from ..balancing.subset import Subset
from ..errors import DiscoveryError
from ..model import Candidate
from ..pool import Pool
from .codes import DONE
from .options import discovery, of_target
from .output import as_json, printable, table
from .resolve import answer, silent

EXAMPLES = """examples:
  discovery explain default/alpaca-prod:http             why a pod is not in the pool
  discovery explain node-port://shop/web:http --output json | jq '.candidates[] | select(.usable | not)'"""

HEAD = ("ADDRESS", "USABLE", "ZONE", "NODE", "POD", "REASON")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "explain",
        help="tell of each candidate whether it is used, and why",
        description="Print every address that is known for a target, whether a pool would pick it, and why; then "
        "what else is worth knowing. What a running program has learnt (ejections, its subset, health checks) only "
        "its own pool.explain() tells.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    of_target(made)
    made.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print what is known; what keeps it from being used is what the command ends with."""
    async with discovery(options, silent) as disco:
        pool = disco.pool(options.target, subset=Subset(size=None))  # of each it tells what every client sees
        failure: Exception | None = None
        try:
            await answer(pool, options.timeout)
        except DiscoveryError as error:  # told below, after what is known
            failure = error
        if failure is None and not pool.backends:
            failure = pool.status.last_error or pool.why_empty()
        if options.output == "json":
            print(json.dumps(explained(pool, failure)))
        elif text := shown(pool):
            print(text)
        if failure is not None:
            raise failure
    return DONE


def explained(pool: Pool, error: Exception | None) -> dict[str, Any]:
    """As JSON."""
    return {
        "target": pool.name,
        "synced": pool.status.synced,
        "candidates": [
            as_json(one.backend) | {"usable": one.usable, "reason": one.reason, "in_flight": one.in_flight}
            for one in pool.explain()
        ],
        "notes": list(pool.notes),
        "error": None if error is None else str(error),
    }


def shown(pool: Pool) -> str:
    """As a table, and the notes below it."""
    candidates = pool.explain()
    parts = [table(HEAD, map(row, candidates))] if candidates else []
    parts += ["\n".join(f"note: {printable(note)}" for note in pool.notes)] if pool.notes else []
    return "\n\n".join(parts)


def row(candidate: Candidate) -> tuple[str, ...]:
    """A line of the table."""
    backend = candidate.backend
    pod = backend.pod.name if backend.pod else ""
    return backend.netloc, "yes" if candidate.usable else "no", backend.zone, backend.node, pod, candidate.reason
