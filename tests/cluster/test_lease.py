"""A Lease of a real API server: who leads by it, with the rights that the manifest gives, and with none."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import attrs

from discovery.bridge.leading.lease import DURATION, RENEW_DEADLINE, RETRY, LeaseLock
from discovery.bridge.options import BridgeOptions
from discovery.events import Event
from discovery.kube.access import Access
from discovery.kube.credentials import Credentials
from discovery.kube.writes import Writes

from ..until import until
from .admin import Admin, Object
from .cluster import Cluster
from .faults import kubeconfig_for
from .servers import ApiServer

GROUP = "coordination.k8s.io"
RULES: Sequence[Object] = (
    {"apiGroups": [GROUP], "resources": ["leases"], "verbs": ["create"]},
    {"apiGroups": [GROUP], "resources": ["leases"], "resourceNames": ["aiodiscovery-prod"], "verbs": ["get", "update"]},
)


@attrs.define(eq=False)
class Candidate:
    """One that stands."""

    lock: LeaseLock
    events: list[Event]
    access: Access
    task: asyncio.Task[None] | None = None

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
        await self.access.aclose()


@contextlib.asynccontextmanager
async def standing(config: Path, namespace: str, name: str) -> AsyncIterator[Candidate]:
    """A candidate with its own connections."""
    events: list[Event] = []
    access = Access(Credentials(config, None))
    options = BridgeOptions(owner="prod", leader="lease")
    lock = LeaseLock(Writes(access), namespace, options, emit=events.append, rng=random.Random(), holder=name)
    one = Candidate(lock, events, access)
    one.task = asyncio.create_task(lock.run(lambda: None))
    try:
        yield one
    finally:
        await one.stop()


def path(namespace: str) -> str:
    return f"/apis/{GROUP}/v1/namespaces/{namespace}/leases/aiodiscovery-prod"


async def test_one_of_two_leads_and_the_other_follows(admin: Admin, cluster: Cluster, namespace: str) -> None:
    config = await kubeconfig_for(admin, cluster, namespace, RULES)
    async with standing(config, namespace, "a") as first:
        await until(lambda: first.lock.leading, 10)
        async with standing(config, namespace, "b") as second:
            await until(lambda: second.lock.holder == "a", 10)
            seen = (await admin.get(path(namespace)))["spec"]
            assert (seen["holderIdentity"], seen["leaseDurationSeconds"]) == ("a", DURATION)
            await first.stop()
            first.task = None
            await until(lambda: second.lock.leading, 3 * RETRY + 2)
            assert (await admin.get(path(namespace)))["spec"]["leaseTransitions"] == 1
    assert (await admin.get(path(namespace)))["spec"]["holderIdentity"] == ""


async def test_a_lease_taken_by_another_is_lost(admin: Admin, cluster: Cluster, namespace: str) -> None:
    config = await kubeconfig_for(admin, cluster, namespace, RULES)
    async with standing(config, namespace, "a") as one:
        await until(lambda: one.lock.leading, 10)
        await admin.patch(path(namespace), {"spec": {"holderIdentity": "thief"}})
        await until(lambda: one.lock.holder == "thief", 3 * RETRY)
        assert not one.lock.leading


async def test_without_rights_it_says_which_are_missing(admin: Admin, cluster: Cluster, namespace: str) -> None:
    config = await kubeconfig_for(admin, cluster, namespace, RULES[1:])
    async with standing(config, namespace, "a") as one:
        await until(lambda: one.named("leader.failed"), 10)
        rule = '{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"]}'
        assert rule in one.named("leader.failed")[0].data["error"]


async def test_while_the_api_server_is_down_nobody_leads_for_longer_than_the_deadline(
    admin: Admin, cluster: Cluster, namespace: str, api_server: ApiServer
) -> None:
    config = await kubeconfig_for(admin, cluster, namespace, RULES)
    async with standing(config, namespace, "a") as one:
        await until(lambda: one.lock.leading, 10)
        async with api_server.down():
            await until(lambda: not one.lock.leading, RENEW_DEADLINE + 2)
        await until(lambda: one.lock.leading, DURATION + 15)
