"""One pass: what no waiting helps against ends it at once, and what ends it in the middle says what became of it."""

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

import discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.leading.session_lock import SessionLock
from discovery.bridge.syncing import Syncing
from discovery.consul.settings import Settings
from discovery.errors import ConsulError
from discovery.testing.consul.acl import Rules

from ..until import until
from .scene import Scene, scene

LONG = 300.0
ALL = Rules(node={"": "write"}, service={"": "write"}, key={"": "write"}, session={"": "write"})


async def refused(place: Scene, token: str) -> ConsulError:
    """Why one pass with this token ends, which must be soon."""
    await place.cluster.deploy("web", replicas=1, kind="NodePort")
    async with asyncio.timeout(20), place.bridge(token=token) as bridge:
        with pytest.raises(ConsulError) as caught:
            await bridge.once(timeout=LONG)
    assert caught.value.reason == "denied"
    assert not place.consul.dump()["sessions"]
    return caught.value


@pytest.mark.parametrize(
    ("lacks", "rule"),
    [
        ({"key": {"": "read"}}, 'key "discovery/prod/leader" { policy = "write" }'),
        ({"key": {}}, 'key "discovery/prod/leader" { policy = "write" }'),
        ({"session": {}}, 'policy = "write"'),
    ],
)
async def test_without_a_right_to_the_lock_it_ends_at_once_and_names_the_rule(lacks: dict[str, Any], rule: str) -> None:
    async with scene(acls=True) as place:
        error = await refused(place, place.consul.create_token(attrs.evolve(ALL, **lacks)))
        assert rule in error.next_step
        assert str(error).endswith(f". {error.next_step}")


async def test_with_a_token_that_consul_does_not_know_it_ends_at_once() -> None:
    async with scene(acls=True) as place:
        token = place.consul.create_token(ALL)
        place.consul.revoke_token(token)
        assert "does not know it" in (await refused(place, token)).next_step


async def test_without_its_time_for_the_lock_it_says_why_consul_could_not_be_asked() -> None:
    async with scene() as place, place.bridge() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        place.consul.faults.no_leader()
        with pytest.raises(ConsulError) as caught:
            await bridge.once(timeout=1)
        assert caught.value.reason == "no-leader"


async def test_a_lock_that_is_lost_in_the_middle_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as place, place.bridge() as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        apply = Syncing.apply

        async def deposed(syncing: Syncing, plan: Any) -> Any:
            place.consul.expire_session(*place.consul.dump()["sessions"])
            return await apply(syncing, plan)

        monkeypatch.setattr(Syncing, "apply", deposed)
        with pytest.raises(ConsulError, match="the lock of the owner id prod was lost in the middle") as caught:
            await bridge.once(timeout=20)
        assert caught.value.reason == "conflict"
        assert "stands by" not in str(caught.value)
        assert "What was written stays" in caught.value.next_step
        assert place.instances() == {}


async def test_a_read_that_consul_has_filtered_is_in_the_status_and_its_event_says_what_to_give() -> None:
    async with scene() as place, place.bridge(node_prefix="kube") as bridge:
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await bridge.once()
        assert bridge.status.filtered is False
        place.consul.faults.filtered()
        await bridge.once(dry_run=True)
        found = bridge.status
        assert found.filtered
        (event,) = place.told("bridge.filtered")
        assert event.data["next_step"] == (
            'give the token service:read for "" and node:read for "kube-prod" and "kube-prod--", both as prefixes'
        )


# What can never work


@pytest.mark.parametrize("missing", ["kubeconfig", "token", "ca"])
@pytest.mark.parametrize("mode", ["run", "once"])
async def test_a_file_that_is_missing_ends_it_at_once(missing: str, mode: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    async with scene() as place:
        config = nowhere if missing == "kubeconfig" else place.cluster.kubeconfig
        settings = attrs.evolve(
            Settings.read(place.consul.url if missing != "ca" else "https://127.0.0.1:9", {}),
            token_file=str(nowhere) if missing == "token" else None,
            ca_file=str(nowhere) if missing == "ca" else None,
        )
        async with discovery.Discovery(kubeconfig=config, consul=settings, on_event=place.events.append) as disco:
            bridge = ConsulBridge(disco, owner="prod")
            async with asyncio.timeout(20):
                with pytest.raises(discovery.ConfigurationError, match="nowhere"):
                    await (bridge.run() if mode == "run" else bridge.once(timeout=LONG))


async def test_a_file_that_goes_once_it_has_worked_ends_nothing() -> None:
    gone = discovery.ConfigurationError("the file is gone")
    async with scene() as place, place.running() as bridge:
        await until(lambda: bridge.leading and bridge.status.synced)
        running = bridge._running
        assert running is not None
        assert isinstance(running.leadership, SessionLock)
        running.leadership._term.failed("renewal", gone)
        running.sources._sources[0].failed(gone, running.now())
        await place.cluster.deploy("web", replicas=1, kind="NodePort")
        await until(lambda: bridge.status.owned == 1)
        assert running.leadership.error is gone
