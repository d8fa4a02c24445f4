"""`discovery watch TARGET`: the backends, as they change; with `--render` in a file."""

import argparse
import json
import sys

from ..errors import PortNotFound, ResolutionError, ServiceNotFound
from ..events import Event
from ..model import Change
from ..pool import Pool
from . import render
from .clock import now
from .codes import DONE
from .options import discovery, of_target
from .output import BACKEND_HEAD, HOME_AND_CLEAR, as_json, backend_row, complain, printable, state_of, table
from .resolve import answer

EXAMPLES = """examples:
  discovery watch default/alpaca-prod:http               a live table; Ctrl-C ends it
  discovery watch default/alpaca-prod:http --output json | jq .ready
  discovery watch node-port://default/alpaca-prod:http --render haproxy --to /etc/haproxy/alpaca.cfg \\
    --check 'haproxy -c -f /etc/haproxy/haproxy.cfg -f {}' --run 'systemctl reload haproxy'"""

LOST = frozenset({"watch.failed", "watch.retry", "consul.failed", "dns.failed"})
FOUND = frozenset({"watch.recovered", "consul.recovered", "dns.recovered"})


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "watch",
        help="follow the backends of a target",
        description="Print the backends of a target and each change, until interrupted; or keep them in a file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    of_target(made)
    render.add(made)
    made.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print each change, or write it."""
    rendering = render.renderer(options)
    trouble = Trouble()
    async with discovery(options, trouble.take) as disco:
        pool = disco.pool(options.target)
        await answer(pool, options.timeout)
        problem = pool.status.last_error
        if not pool.backends and isinstance(problem, ServiceNotFound | PortNotFound | ResolutionError):
            raise problem  # a slip of the hand, as a rule: what is only empty is waited for
        if rendering is not None and options.once:
            return await render.once(rendering, pool)
        trouble.aloud = True
        if not pool.backends and problem is not None:
            complain(problem)
        if rendering is not None:
            return await render.follow(rendering, pool)
        show = show_json if options.output == "json" else show_screen if sys.stdout.isatty() else show_lines
        async for change in pool.changes():
            show(pool, change)
            sys.stdout.flush()
    return DONE


class Trouble:
    """Says on stderr when what is watched is lost, and when all of it is found again, once the first answer is there.

    A target may need several watches, which are lost together: that is said once.
    """

    def __init__(self) -> None:
        self.aloud = False
        self._lost: dict[str, object] = {}  # and of what kind the error was

    def take(self, event: Event) -> None:
        """Say so, where it is worth a line."""
        if event.name in LOST:
            kind = event.data.get("kind")
            if kind not in self._lost.values():
                self._say(str(event.data["error"]))
            self._lost[event.subject] = kind
        elif event.name in FOUND:
            self._lost.pop(event.subject, None)
            if not self._lost:
                self._say(f"{event.subject} can be read again")
        elif event.name in ("pool.problem", "pool.warning"):
            self._say(str(event.data.get("error") or event.data.get("warning")))

    def _say(self, line: str) -> None:
        if self.aloud:
            complain(line)


def show_json(_pool: Pool, change: Change) -> None:
    """One change a line."""
    line: dict[str, object] = {"at": now()}
    for name in ("added", "removed", "updated"):
        line[name] = [as_json(backend) for backend in getattr(change, name)]
    line["ready"] = sum(backend.ready for backend in change.snapshot.backends)
    print(json.dumps(line))


def show_screen(pool: Pool, change: Change) -> None:
    """The whole table, in the place of the one before."""
    print(f"{HOME_AND_CLEAR}{pool!r}  {now()}\n\n{table(BACKEND_HEAD, map(backend_row, change.snapshot.backends))}")


def show_lines(_pool: Pool, change: Change) -> None:
    """A line for each backend that came, went or changed: for files and pipes."""
    for mark, backends in (("+", change.added), ("-", change.removed), ("~", change.updated)):
        for backend in backends:
            pod = printable(backend.pod.name) if backend.pod else "-"
            print(f"{now()} {mark} {backend.netloc} {state_of(backend)} {pod}")
