"""A simulated cluster, a simulated Consul, and bridges between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Unpack

import attrs

import discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.options import BridgeKeywords, Policy
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul

QUICK: BridgeKeywords = {"debounce": 0.005, "max_debounce": 0.05, "confirm_after": 0.05}


@attrs.define
class Scene:
    """Both ends, and what was told."""

    cluster: FakeCluster
    consul: FakeConsul
    events: list[discovery.Event] = attrs.field(factory=list)

    def told(self, name: str) -> list[discovery.Event]:
        """The events of this name."""
        return [event for event in self.events if event.name == name]

    def instances(self, service: str = "web") -> dict[str, str]:
        """Of a Consul service: address and status."""
        found = {}
        for one in self.consul.instances(service):
            (check,) = [check for check in one["Checks"] if check["ServiceID"]]
            found[one["Service"]["Address"]] = check["Status"]
        return found

    def passing(self, service: str = "web") -> set[str]:
        """The addresses that pass."""
        return {address for address, status in self.instances(service).items() if status == "passing"}

    @contextlib.asynccontextmanager
    async def bridge(
        self,
        owner: str = "prod",
        *,
        policy: Policy = "sync",
        cluster: FakeCluster | None = None,
        token: str = "",
        **options: Unpack[BridgeKeywords],
    ) -> AsyncIterator[ConsulBridge]:
        """One that is not started."""
        from discovery.consul.settings import Settings

        settings = attrs.evolve(Settings.read(self.consul.url, {}), token=token or None)
        config = (cluster or self.cluster).kubeconfig
        async with discovery.Discovery(kubeconfig=config, consul=settings, on_event=self.events.append) as disco:
            every: BridgeKeywords = {**QUICK, **options}
            yield ConsulBridge(disco, owner=owner, policy=policy, **every)

    @contextlib.asynccontextmanager
    async def running(self, owner: str = "prod", **options: Any) -> AsyncIterator[ConsulBridge]:
        """One at work; ended in good order."""
        async with self.bridge(owner, **options) as bridge:
            task = asyncio.create_task(bridge.run())
            try:
                yield bridge
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@contextlib.asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    """Both ends."""
    async with FakeCluster() as cluster, FakeConsul(session_ttl_min=0.1, **options) as consul:
        yield Scene(cluster, consul)


def foreign(consul: FakeConsul, owner: str = "prod") -> dict[str, Any]:
    """All that is not an owner's, byte for byte."""
    found: dict[str, Any] = {}
    for name, node in consul.dump()["nodes"].items():
        services = {key: one for key, one in node["Services"].items() if not _is_of(one, owner)}
        ours = node["Services"].keys() - services.keys()
        checks = {key: one for key, one in node["Checks"].items() if one["ServiceID"] not in ours}
        head = {key: value for key, value in node.items() if key not in ("Services", "Checks")}
        if services or checks or not _is_of(node, owner):
            found[name] = (None if _is_of(node, owner) else head, services, checks)
    return found


def _is_of(row: Any, owner: str) -> bool:
    return (row["Meta"] or {}).get("owner-id") == owner
