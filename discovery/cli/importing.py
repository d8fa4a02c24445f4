"""`discovery sync --to-kubernetes`: the way back in, next to the bridge or alone."""

import argparse
import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Iterator

import attrs

from ..bridge.bridge import ConsulBridge
from ..bridge.inbound import ConsulImport, ImportOptions, ImportPlan
from ..bridge.leading.session_lock import SessionLock
from ..bridge.options import BridgeOptions
from ..bridge.status import BridgeStatus
from ..client import Discovery
from ..errors import ConfigurationError, NotReady
from .sync_options import words

SHARED = ("debounce", "repair", "confirm_after", "max_deletes", "max_delete_percent")
"""Options of the bridge that, where they are named, hold for the import as well."""


def add(made: argparse.ArgumentParser) -> None:
    """Add its options."""
    group = made.add_argument_group("back into Kubernetes")
    group.add_argument(
        "--to-kubernetes", metavar="NS", help="make Services of Consul's in this namespace; off by default"
    )
    group.add_argument(
        "--import",
        dest="imports",
        action="extend",
        type=words,
        metavar="PATTERN,...",
        help="which of them, as patterns of a shell; may be repeated",
    )
    group.add_argument(
        "--import-tags", type=words, default=(), metavar="TAG,...", help="only instances with all of these"
    )
    group.add_argument("--import-prefix", default="", metavar="TEXT", help="before each name in Kubernetes")
    group.add_argument(
        "--import-warning",
        choices=("ready", "unready"),
        default="ready",
        help="what an instance with a check that warns is (default: %(default)s)",
    )
    group.add_argument(
        "--approve-import", action="store_true", help="with --once: let it delete however many; while it runs: SIGUSR1"
    )
    group.add_argument("--no-export", action="store_true", help="register nothing in Consul: only the way back")


def check(options: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        ConfigurationError: it does not.
    """
    into = options.to_kubernetes
    if (into is None) != (options.imports is None):
        raise ConfigurationError(
            "--to-kubernetes and --import need each other", next_step="Write --to-kubernetes NS --import 'db-*'"
        )
    if into is None:
        for flag, given in (
            ("--no-export", options.no_export),
            ("--import-tags", options.import_tags),
            ("--import-prefix", options.import_prefix),
            ("--approve-import", options.approve_import),
        ):
            if given:
                raise ConfigurationError(
                    f"{flag} is for an import", next_step="Add --to-kubernetes NS --import PATTERN"
                )
        return
    if options.approve_import and not options.once:
        raise ConfigurationError("--approve-import is for --once", next_step="Send SIGUSR1 to a process that runs")
    if options.no_export and options.approve is not None:
        raise ConfigurationError("--approve is for what is registered in Consul", next_step="Leave out --no-export")
    if options.no_export and options.leader == "lease":
        raise ConfigurationError("--no-export is elected by a session of Consul", next_step="Leave out --leader lease")
    if options.pod_addresses and not options.no_export and _exported(into, options):
        raise ConfigurationError(
            "--pod-addresses would register again what is imported",
            next_step=f"Add {into} to --deny-namespaces, or import into a namespace that is not exported",
        )


def _exported(namespace: str, options: argparse.Namespace) -> bool:
    named, denied = options.namespaces or (), options.deny_namespaces or ()
    return namespace not in denied and (not named or namespace in named)


class Import:
    """The import of one command: what it is made of, and how it runs.

    Args:
        disco: gives the access to both ends, and takes the events.
        bridge: beside which it runs; it writes where that leads.
        options: of the command line.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(self, disco: Discovery, bridge: ConsulBridge, options: argparse.Namespace) -> None:
        given = {name: getattr(options, name) for name in SHARED}
        self.options = ImportOptions(
            owner=options.owner,
            namespace=options.to_kubernetes,
            services=tuple(options.imports),
            tags=options.import_tags,
            prefix=options.import_prefix,
            warning=options.import_warning,
            **{name: value for name, value in given.items() if value is not None},
        )
        self._bridge = bridge
        self._lock: SessionLock | None = None
        consul, rng = disco.consul_client(options.consul), random.Random()
        if options.no_export:
            self._lock = SessionLock(consul, lock_of(bridge.options), emit=disco.emit, rng=rng)
        permit = None if options.once or options.dry_run else self._lock or bridge
        access = disco.kubernetes().access
        self._made = ConsulImport(consul, access, self.options, emit=disco.emit, rng=rng, permit=permit)
        bridge.on_leadership(self._made.wake)

    async def once(self, *, dry_run: bool, approved: bool, timeout: float) -> ImportPlan:
        """Make one pass, or (`dry_run`) only look.

        Raises:
            NotReady: it was not over in time.
            DiscoveryError: Consul or Kubernetes could not be read or written.
        """
        try:
            async with asyncio.timeout(timeout + self.options.confirm_after):
                return await self._made.once(dry_run=dry_run, approved=approved)
        except TimeoutError:
            raise NotReady("the import was not over in time", next_step="Wait longer with --timeout") from None

    async def run(self) -> None:
        """Import until cancelled: beside the bridge, or alone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._made.approve)
        try:
            async with asyncio.TaskGroup() as group:
                if self._lock is None:
                    group.create_task(self._bridge.run(), name="bridge")
                else:
                    group.create_task(self._lock.run(self._made.wake), name="import: leadership")
                group.create_task(self._made.run(), name="import")
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closing
                loop.remove_signal_handler(signal.SIGUSR1)

    def status(self) -> BridgeStatus:
        """That of the bridge, which is only synced when the import is; or, alone, its own."""
        made = self._made
        found = self._bridge.status
        if self._lock is not None:
            lock = self._lock
            found = BridgeStatus(
                owner=self.options.owner,
                synced=True,
                leading=lock.leading,
                leader_known=lock.known,
                leader=lock.holder,
                passes=made.passes,
            )
        error = str(made.last_error) if made.last_error is not None else found.last_error
        return attrs.evolve(found, synced=found.synced and made.synced, last_error=error)


def lock_of(options: BridgeOptions) -> BridgeOptions:
    """The same with a lock of its own: who only imports does not keep a bridge of that owner from leading."""
    return attrs.evolve(options, lock=f"{options.lock}-import")


def shown(plan: ImportPlan, *, dry_run: bool) -> Iterator[str]:
    """A plan as text, with its sum at the end."""
    said = plan.as_json()
    for action in ("create", "replace", "delete"):
        for one in said[action]:
            endpoints = f", {one['endpoints']} endpoints" if "endpoints" in one else ""
            yield f"{action} {one['kind']} {one['name']} from {one['consul']!r}{endpoints}"
    for one in said["withheld"]:
        yield f"withheld {one['service'] or '-'} from {one['consul']!r}: {one['reason']}"
    past = "to " if dry_run else ""
    words_ = ("create", "replace", "delete") if dry_run else ("created", "replaced", "deleted")
    counts = [
        f"{len(said[key])} {past}{word}" for key, word in zip(("create", "replace", "delete"), words_, strict=True)
    ]
    yield f"into Kubernetes: {', '.join(counts)}, {len(plan.withheld)} withheld"


def left_undone(plan: ImportPlan) -> Iterator[str]:
    """What keeps a pass from being whole, with what to do about it."""
    for reason, count in sorted(Counter(one.reason for one in plan.withheld).items()):
        advice = " (--approve-import)" if reason == "too-many" else ""
        yield f"{count} of the import withheld as {reason}{advice}"
