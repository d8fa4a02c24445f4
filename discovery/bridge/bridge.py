"""The bridge as a program uses it: what it is given, what it says of itself, once or for as long as it runs."""

import random
from collections.abc import Callable
from typing import Unpack

import attrs

from ..checks import check_timeout
from ..client import Discovery
from ..kube.writes import Writes
from .leading.lease import LeaseLock
from .leading.session_lock import SessionLock
from .leading.term import Leadership, NotLeading
from .options import BridgeKeywords, BridgeOptions, Policy
from .plan.changes import Plan
from .registry.approval import Approval
from .running import Running
from .single import Nobody, Single
from .status import BridgeStatus


class ConsulBridge:
    """Registers a cluster's Services in Consul, and keeps them current.

    Nothing is contacted before `run()` or `once()`. Several bridges with the same owner id may run: one of them writes.

    Args:
        disco: gives the access to Kubernetes and to Consul, and takes the events.
        owner: the id under which it owns its entries: one of its own for each cluster, such as `prod-eu`.
        consul: a URL; None is as `disco` has it.
        policy: "sync" registers, updates and deregisters; "upsert-only" never deregisters; "create-only" does neither.
        options: see `BridgeOptions`.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(
        self,
        disco: Discovery,
        *,
        owner: str,
        consul: str | None = None,
        policy: Policy = "sync",
        **options: Unpack[BridgeKeywords],
    ) -> None:
        self.options = BridgeOptions(owner=owner, policy=policy, **options)
        self._disco = disco
        self._consul = disco.consul_client(consul)
        self._rng = random.Random()
        self._running: Running | None = None
        self._told: Callable[[], None] | None = None
        self._last = BridgeStatus(owner=owner)

    def __repr__(self) -> str:
        status = self.status
        doing = "leading" if status.leading else "standing by" if status.leader_known else "no leader known"
        return f"<ConsulBridge {self.options.owner} to {self._consul.where}: {doing}, {status.owned} instances>"

    async def run(self) -> None:
        """Keep Consul current until cancelled; then leave it as the option `shutdown` says.

        Failures of Consul and of Kubernetes do not end it: they are told as events, and tried again.

        Raises:
            ConfigurationError: nothing could be read yet, and a file that says how is missing or cannot be used.
            RuntimeError: it runs already.
        """
        running = self._started(self._leadership())
        try:
            await running.run()
        finally:
            self._ended(running)

    async def once(self, *, dry_run: bool = False, timeout: float | None = 60.0) -> Plan:
        """Make one pass, and end.

        What is to be removed on the evidence of lists is confirmed by a second list, `confirm_after` seconds later.

        Args:
            dry_run: write nothing, and do not stand for leader.
            timeout: seconds to wait for the first lists, and for the leadership; None is for ever.

        Returns:
            What was done, or would be; what Consul refused is among the withheld.

        Raises:
            NotReady: no answer in time, or another bridge with this owner id leads.
            AccessDenied, Unauthenticated, ConfigurationError, ConsulError (denied): no waiting helps; at once.
            ApiUnavailable, ConsulError: the reason for it, where it is known.
            RuntimeError: it runs already.
        """
        check_timeout(timeout)
        running = self._started(Nobody() if dry_run else self._leadership())
        try:
            return await Single(running, self.options).run(dry_run=dry_run, timeout=timeout)
        finally:
            self._ended(running)

    async def approve(self, word: str) -> str:
        """Let the removals go that are held back for being too many: `word` is what the bridge asks for.

        Whichever replica leads acts on it within seconds, or emits `bridge.unapproved` where it asks for another.

        Returns:
            The key in Consul that holds it now.

        Raises:
            ConsulError: it cannot be written.
        """
        approval = Approval(self._consul, self.options)
        await approval.give(word)
        return approval.key

    # What else is for the replica that leads only

    @property
    def leading(self) -> bool:
        """Whether it is this replica that acts, right now."""
        return self._running is not None and self._running.leadership.leading

    def check(self) -> None:
        """Let something else begin that only the leader may do.

        Raises:
            NotLeading: this replica does not lead.
        """
        if self._running is None:
            raise NotLeading("this bridge does not run, and so does not lead")
        self._running.leadership.check()

    def on_leadership(self, told: Callable[[], None]) -> None:
        """Have this called when `leading` may have changed; it must not raise, nor take long."""
        self._told = told
        if self._running is not None:
            self._running.on_leadership = told

    @property
    def status(self) -> BridgeStatus:
        """How it stands; after its end, how it stood then."""
        return self._last if self._running is None else self._running.status()

    def _started(self, leadership: Leadership) -> Running:
        if self._running is not None:
            raise RuntimeError("this bridge runs already")
        self._running = Running(
            self._consul, self._disco.kubernetes(), leadership, self.options, self._disco.emit, self._rng
        )
        if self._told is not None:
            self._running.on_leadership = self._told
        return self._running

    def _ended(self, running: Running) -> None:
        self._running = None
        self._last = attrs.evolve(running.status(), leading=False, leader_known=False, leader="")

    def _leadership(self) -> Leadership:
        options, emit = self.options, self._disco.emit
        if options.leader == "session":
            return SessionLock(self._consul, options, emit=emit, rng=self._rng)
        namespace = options.lease_namespace or self._disco.own_namespace()
        return LeaseLock(Writes(self._disco.kubernetes().access), namespace, options, emit=emit, rng=self._rng)
