"""`discovery watch TARGET --render TEMPLATE --to FILE`: a target, kept in a file that something else reads."""

import argparse
import asyncio
import contextlib
import json
import signal

from ..errors import ConfigurationError, quote
from ..events import Event
from ..pool import Pool
from ..rendering import Renderer, RenderError, Template
from .clock import now
from .codes import DONE, USAGE
from .output import complain, printable

FLAGS = {
    "render": "--render",
    "to": "--to",
    "reload": "--run",
    "check": "--check",
    "set": "--set",
    "keep_last": "--keep-last",
    "once": "--once",
}
"""What each is called by its user: `run` is what a command does."""

REQUIRED = {"--render": "TEMPLATE", "--to": "FILE"}
"""What is needed for a file, and what each is given."""


def add(made: argparse.ArgumentParser) -> None:
    """Add the options of it."""
    group = made.add_argument_group("rendering", "Write the backends into a file, and tell what reads it.")
    group.add_argument("--render", metavar="TEMPLATE", help="haproxy, nginx or prometheus; or the path of a template")
    group.add_argument("--to", metavar="FILE", help="the file to write, whole and only when it differs")
    group.add_argument(
        "--run", dest="reload", metavar="COMMAND", help="run this when it was written, until it succeeds; no shell"
    )
    group.add_argument(
        "--check", metavar="COMMAND", help="first run this, {} being the new file; if it fails, keep the old"
    )
    group.add_argument(
        "--set", type=variable, action="append", default=[], metavar="NAME=VALUE", help="a variable of the template"
    )
    group.add_argument("--keep-last", action="store_true", help="leave the file as it is where nothing is usable")
    group.add_argument("--once", action="store_true", help="write it once, and end")


def variable(text: str) -> tuple[str, str]:
    """A name and a value."""
    name, found, value = text.partition("=")
    if not (found and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{quote(text)} is not NAME=VALUE")
    return name, value


def renderer(options: argparse.Namespace) -> Renderer | None:
    """What the options ask for; None where they ask for no file.

    Raises:
        ConfigurationError: they do not go together, or what they name cannot be used.
    """
    if options.render is None or options.to is None:
        alone = [flag for name, flag in FLAGS.items() if getattr(options, name)]
        if not alone:
            return None
        missing = [f"{flag} {what}" for flag, what in REQUIRED.items() if flag not in alone]
        raise ConfigurationError(f"{alone[0]} needs {' and '.join(missing)}", next_step=f"Add {' '.join(missing)}")
    return Renderer(
        Template.find(options.render, variables=dict(options.set)),
        to=options.to,
        run=options.reload,
        check=options.check,
        keep_last=options.keep_last,
        on_event=tell_json if options.output == "json" else tell,
    )


async def follow(rendering: Renderer, pool: Pool) -> int:
    """Keep the file until interrupted, or until SIGTERM, which is how a service is stopped."""
    following = asyncio.ensure_future(rendering.follow(pool))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, following.cancel)
    try:
        await asyncio.wait([following])
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        following.cancel()
        await asyncio.wait([following])
    if not following.cancelled():
        following.result()
    return DONE


async def once(rendering: Renderer, pool: Pool) -> int:
    """Write the file, and have its reader told."""
    try:
        await rendering.write(pool)
    except RenderError as error:
        said = str(error)
        if error.stage == "command":  # nobody is here to run it again
            said = f"{said.removesuffix(error.next_step)}The file is in place; the next run for it tells its reader"
        complain_of(said, error.output)
        return USAGE
    if not pool.snapshot.backends:
        raise pool.status.last_error or pool.why_empty()
    return DONE


def tell(event: Event) -> None:
    """A line for each time that the file was written; what went wrong, on stderr."""
    if event.name == "render.written":
        count = event.data["backends"]
        say(f"{now()} {printable(event.subject)} {count} backend{'' if count == 1 else 's'}")
    elif event.name == "render.failed":
        complain_of(str(event.data["error"]), str(event.data["output"]))


def tell_json(event: Event) -> None:
    """As `tell`, for programs."""
    if event.name == "render.written":
        say(json.dumps({"at": now(), "file": event.subject, "backends": event.data["backends"]}))
    else:
        tell(event)


def say(line: str) -> None:
    """One line on stdout. The file is kept whether or not somebody reads on."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def complain_of(error: str, output: str) -> None:
    """An error, and whatever a command said before the line that is in the error."""
    for line in output.strip().splitlines()[:-1]:
        complain(line)
    complain(error)
