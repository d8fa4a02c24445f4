"""Bridges at work: in the loop of the test, or as processes that can be killed and suspended."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.options import BridgeKeywords, Policy
from discovery.bridge.status import BridgeStatus
from discovery.consul.settings import Settings

from ..until import until
from .admin import Admin, Object
from .cluster import NODES
from .manifests import endpoint_slice, service

RULES: list[Object] = [
    {"apiGroups": [""], "resources": ["services", "nodes"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]
"""All that a bridge may do in the cluster. The rest of its work is in Consul."""

ROLE: Object = {"kind": "ClusterRole", "metadata": {}, "rules": RULES}

CAREFUL: BridgeKeywords = {"confirm_after": 1.0, "session_ttl": 10.0}
"""A second list comes soon enough for a test; a session cannot live for less."""


class Bridging:
    """A bridge that runs in this loop, and what it has told."""

    def __init__(self, bridge: ConsulBridge, events: list[discovery.Event]) -> None:
        self.bridge, self.events = bridge, events

    @property
    def status(self) -> BridgeStatus:
        return self.bridge.status

    def told(self, name: str, subject: str | None = None) -> list[discovery.Event]:
        """The events of a name, and of a subject where one is given."""
        return [one for one in self.events if one.name == name and subject in (None, one.subject)]

    async def settled(self, owned: int, *, timeout: float = 30.0) -> None:
        """Wait until it owns so many instances, and lacks nothing."""
        try:
            await until(lambda: self.current and self.status.owned == owned, timeout)
        except TimeoutError:
            raise TimeoutError(f"{owned} instances are not owned after {timeout} s: {self.status}") from None

    async def passed(self, times: int = 1, *, timeout: float = 30.0) -> None:
        """Wait for so many further passes."""
        before = self.status.passes
        await until(lambda: self.status.passes >= before + times, timeout)

    @property
    def current(self) -> bool:
        status = self.status
        return status.leading and status.passes > 0 and not status.behind_for and not status.last_error


@contextlib.asynccontextmanager
async def bridging(
    kubeconfig: Path,
    consul: str,
    owner: str,
    *,
    policy: Policy = "sync",
    token: str | None = None,
    token_file: Path | None = None,
    **options: Unpack[BridgeKeywords],
) -> AsyncIterator[Bridging]:
    """One at work, ended in good order."""
    events: list[discovery.Event] = []
    settings = Settings(address=consul, token=token, token_file=None if token_file is None else str(token_file))
    async with discovery.Discovery(kubeconfig=kubeconfig, consul=settings, on_event=events.append) as disco:
        every: BridgeKeywords = {**CAREFUL, **options}
        bridge = ConsulBridge(disco, owner=owner, policy=policy, **every)
        task = asyncio.create_task(bridge.run())
        try:
            yield Bridging(bridge, events)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Process:
    """`discovery sync` as a process of its own.

    async with Process(kubeconfig, consul.url, "prod", namespaces="shop") as bridge:
        await bridge.tells("bridge.wrote")
        await bridge.kill()
    """

    def __init__(self, kubeconfig: Path, consul: str, owner: str, log: Path, **options: str) -> None:
        flags = {"owner": owner, "kubeconfig": str(kubeconfig), "consul": consul, "session-ttl": "10", **options}
        self._words = [word for flag, value in flags.items() for word in (f"--{flag.replace('_', '-')}", value)]
        self._log = log
        self.pid = 0

    async def __aenter__(self) -> Self:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
        command = (sys.executable, "-m", "discovery", "sync", "--log-json", *self._words)
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=DEVNULL, stderr=log, env=environ
            )
        self.pid = self._process.pid
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, where it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def kill(self) -> None:
        """End it without a warning, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self._process.wait()

    def told(self, name: str) -> list[dict[str, Any]]:
        """Its events of a name so far, as it wrote them."""
        lines = self._log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [one for one in found if one["event"] == name]

    async def tells(self, name: str, *, timeout: float = 30.0) -> None:
        """Wait until it has told of something."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: self.told(name) or self._process.returncode is not None, timeout)
        assert self.told(name), self._log.read_text(errors="replace")[-4000:]


# Many Services at once


def spread_service(namespace: str, name: str, nodes: Sequence[str] = NODES) -> list[Object]:
    """A Service without pods, and a slice that has an endpoint on each of these nodes."""
    made = service(namespace, name, port=80, kind="NodePort")
    del made["spec"]["selector"]
    piece = endpoint_slice(namespace, f"{name}-1", name, [])
    ready = {"ready": True, "serving": True, "terminating": False}
    piece["endpoints"] = [
        {"addresses": [f"10.1.{node.removeprefix('node-')}.254"], "nodeName": node, "conditions": ready}
        for node in nodes
    ]
    return [made, piece]


async def fill(admin: Admin, namespace: str, count: int, *, first: int = 0) -> list[str]:
    """Make so many Services, each with an endpoint on all three nodes; gives their names."""
    turn = asyncio.Semaphore(16)
    names = [f"many-{number}" for number in range(first, first + count)]

    async def make(thing: Object) -> None:
        async with turn:
            await admin.create(thing)

    await asyncio.gather(*(make(thing) for name in names for thing in spread_service(namespace, name)))
    return names


async def remove(admin: Admin, namespace: str, name: str) -> None:
    """Delete a Service."""
    await admin.delete(f"/api/v1/namespaces/{namespace}/services/{name}")
