"""`discovery doctor [TARGET...]`: what keeps a client here from finding and reaching backends, and what to do."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from ..doctor.checklist import checklist
from ..doctor.examining import examine
from ..doctor.finding import Finding
from ..doctor.kubernetes import Kubernetes
from .codes import DONE, code_of
from .options import common, consul, discovery, target
from .output import printable
from .resolve import silent

EXAMPLES = """examples:
  discovery doctor                                       the API server, the clock, the DNS, permissions, Consul
  discovery doctor shop/alpaca-prod:http                 what this target reads, and whether its pods can be reached
  discovery doctor --output json | jq -r '.checks[] | select(.state == "failed") | .next_step'"""

LIMIT = 5.0
"""Seconds for each check."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "doctor",
        help="tell what does not work here, and what to do about it",
        description="Look at all that a client here needs: a configuration, the API server, credentials, permissions, "
        "the clock, the DNS, Consul, and ways to the backends. Nothing is written. The exit code is that of the first "
        "check that failed; warnings are no failures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "targets",
        nargs="*",
        type=target,
        metavar="TARGET",
        help="[NS/]SERVICE[:PORT], or a target in full; none is what the Services of our own namespace need",
    )
    common(made)
    consul(made)
    made.set_defaults(run=run, timeout=LIMIT)


async def run(options: argparse.Namespace) -> int:
    """Look, print, and return the code of the first failure."""
    asked = options.consul is not None or bool(os.environ.get("CONSUL_HTTP_ADDR"))
    kubernetes = Kubernetes(options.kubeconfig, options.context)
    try:
        async with discovery(options, silent) as disco:
            checks = await checklist(disco, kubernetes, options.targets, consul_asked=asked)
            found = await examine(checks, options.timeout)
    finally:
        await kubernetes.aclose()
    print(json.dumps(as_json(found)) if options.output == "json" else "\n".join(shown(found)))
    return next((code_of(one.error) for one in found if one.error is not None), DONE)


def as_json(found: Sequence[Finding]) -> dict[str, object]:
    """All of it, for a program."""
    return {"checks": [one.as_json() for one in found], "ok": all(one.state != "failed" for one in found)}


def shown(found: Sequence[Finding]) -> Iterator[str]:
    """A line for each check, what to do below it, and the sum."""
    for one in found:
        yield f"{one.state:<7}  {printable(f'{one.name}: {one.seen}')}"
        if one.next_step:
            yield f"{'':7}  -> {printable(one.next_step)}"
    counts = Counter(one.state for one in found)
    yield ""
    yield ", ".join(f"{counts[state]} {state}" for state in ("ok", "warning", "failed", "skipped"))
