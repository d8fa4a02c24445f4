"""`discovery sync`: the bridge to Consul, for as long as it is let, or for one pass."""

import argparse
import asyncio
import gc
import json
import logging
import signal
import sys
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from ..bridge.bridge import ConsulBridge
from ..bridge.inbound import ImportPlan
from ..bridge.plan.changes import Plan
from ..bridge.registry.approval import word_of
from ..bridge.serving import Probes
from ..client import Discovery
from ..events import Event, Hook
from ..exporters.logging import JsonLines, Lines
from . import importing, sync_options
from .codes import DONE, IN_PART, INTERRUPTED
from .figures import Figures
from .importing import Import
from .output import complain, printable

T = TypeVar("T")

FINAL = frozenset({"ConfigurationError", "AccessDenied", "Unauthenticated", "denied"})
"""Kinds and reasons of failures that no waiting helps against."""

FILTERED = "the plan rests on a read from which Consul left out what the token may not see"

EXAMPLES = """examples:
  discovery sync --owner prod-eu --dry-run               what it would do
  discovery sync --owner prod-eu --once --output json | jq '.withheld'
  discovery sync --owner prod-eu --consul https://consul.example:8501 --listen :8080
  discovery sync --owner prod-eu --approve 3f9ac01b      what it has asked for may go
  discovery sync --owner prod-eu --to-kubernetes shop --import 'db-*'     and these of Consul's, in this namespace"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "sync",
        help="register the cluster's Services in Consul, and keep them current",
        description="Register the cluster's Services in Consul and keep them current, until interrupted; several "
        "replicas may run. It never touches an entry of another owner, and removes none that it is not sure of.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sync_options.add(made)
    importing.add(made)
    made.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Run the bridge, make one pass, or approve."""
    collect_seldom()
    sync_options.check(options)
    importing.check(options)
    kind = JsonLines if options.log_json else Lines
    single = options.once or options.dry_run
    # One pass prints what it did: of its events only what goes wrong is news.
    teller = Teller(kind(sys.stderr, level=logging.WARNING if single else logging.INFO), single=single)
    figures = Figures(teller, wanted=options.listen is not None)
    async with Discovery(kubeconfig=options.kubeconfig, context=options.context, on_event=figures.hook) as disco:
        bridge = ConsulBridge(
            disco, owner=options.owner, consul=options.consul, policy=options.policy, **sync_options.keywords(options)
        )
        imports = None if options.to_kubernetes is None else importing.Import(disco, bridge, options)
        if options.approve is not None:
            key = await bridge.approve(options.approve)
            said = f"the word {options.approve} is in Consul, as the key {key}"
            print(said, file=sys.stderr if single else sys.stdout)  # a plan is alone on stdout
        if single:
            return await one_pass(bridge, imports, options, teller)
        if options.approve is None:
            await keep_running(bridge, imports, options.listen, figures)
    return DONE


def collect_seldom() -> None:
    """Let the garbage collector look less often: what a bridge holds is large, lives long, and has no cycles.

    A fill of 15,000 instances takes a fifth less processor time so, and no pause of a tenth of a second.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def keep_running(bridge: ConsulBridge, imports: Import | None, listen: str | None, figures: Figures) -> None:
    """Run the bridge, and the import beside it, until the process is told to end."""
    run = bridge.run if imports is None else imports.run
    if listen is None:
        await unless_terminated(run())
        return
    status = (lambda: bridge.status) if imports is None else imports.status
    async with Probes(status, listen=listen, metrics=figures.page_of(bridge)):
        await unless_terminated(run())


async def one_pass(bridge: ConsulBridge, imports: Import | None, options: argparse.Namespace, teller: "Teller") -> int:
    """Make it, or (`--dry-run`) only look; print the plan, and say what was left undone."""
    plans = await unless_terminated(passes(bridge, imports, options))
    teller.release()
    if plans is None:
        return INTERRUPTED
    out, back = plans
    print(json.dumps(as_json(out, back)) if options.output == "json" else "\n".join(in_words(out, back, options)))
    undone = [*(left_undone(out, len(teller.unusable)) if out else ()), *(importing.left_undone(back) if back else ())]
    if bridge.status.filtered:
        undone.append(FILTERED)
    if undone:
        complain(f"done in part: {', '.join(undone)}")
        return IN_PART
    return DONE


async def passes(
    bridge: ConsulBridge, imports: Import | None, options: argparse.Namespace
) -> tuple[Plan | None, ImportPlan | None]:
    """One pass of each way that is wanted."""
    dry_run, timeout = options.dry_run, options.timeout
    out = None if options.no_export else await bridge.once(dry_run=dry_run, timeout=timeout)
    if imports is None:
        return out, None
    return out, await imports.once(dry_run=dry_run, approved=options.approve_import, timeout=timeout)


def as_json(out: Plan | None, back: ImportPlan | None) -> dict[str, Any]:
    """Both plans as one object; that of the import is under its own name."""
    return {**(out.as_json() if out else {}), **({"import": back.as_json()} if back else {})}


def in_words(out: Plan | None, back: ImportPlan | None, options: argparse.Namespace) -> Iterator[str]:
    """Both plans as text."""
    if out is not None:
        yield from shown(out, dry_run=options.dry_run)
    if back is not None:
        yield from map(printable, importing.shown(back, dry_run=options.dry_run))


def shown(plan: Plan, *, dry_run: bool) -> Iterator[str]:
    """A plan as text, with its sum at the end."""
    yield from plan.lines()
    counts = {
        "to register" if dry_run else "registered": len(plan.register),
        "to update" if dry_run else "updated": len(plan.update),
        "to deregister" if dry_run else "deregistered": len(plan.deregister),
        "withheld": len(plan.withheld),
    }
    yield ", ".join(f"{count} {said}" for said, count in counts.items())


def left_undone(plan: Plan, unusable: int) -> Iterator[str]:
    """What keeps a pass from being whole, with what to do about it. What the policy leaves out is meant to be."""
    for reason, count in sorted(Counter(one.reason for one in plan.withheld).items()):
        if reason != "policy":
            yield f"{count} withheld as {reason}" + (f" (--approve {word_of(plan)})" if reason == "too-many" else "")
    if unusable == 1:
        yield "1 Service cannot be registered as it is"
    elif unusable:
        yield f"{unusable} Services cannot be registered as they are"


async def unless_terminated(work: Coroutine[Any, Any, T]) -> T | None:
    """What it comes to; None where SIGTERM ended it, in good order. A container's first process must ask for that."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    return None if task.cancelled() else task.result()


class Teller:
    """Has events written, and keeps in mind which Services cannot be registered as they are.

    Args:
        write: writes an event.
        single: for one pass, which a failure that no waiting helps against ends: then the command says it, once, and
            not each watch too.
    """

    def __init__(self, write: Hook, *, single: bool) -> None:
        self.unusable: set[str] = set()
        self._write = write
        self._single = single
        self._held: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Take one."""
        if event.name == "bridge.unusable":
            self.unusable.add(event.subject)
        elif event.name == "bridge.usable":
            self.unusable.discard(event.subject)
        if self._single and _is_final(event):
            self._held.append(event)
        else:
            self._write(event)

    def release(self) -> None:
        """Have written what was held back: none of it has ended the pass."""
        held, self._held = self._held, []
        for event in held:
            self._write(event)


def _is_final(event: Event) -> bool:
    said = {event.data.get("kind"), event.data.get("reason")}
    return event.name in ("watch.failed", "leader.failed") and not FINAL.isdisjoint(said)
