"""Consul: reached, led, recent enough, and with a token that it knows."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from discovery.consul.api import Consul
from discovery.consul.settings import Settings
from discovery.doctor import consul as doctor
from discovery.errors import ConsulError
from discovery.testing.consul import FakeConsul
from discovery.testing.consul.acl import Rules


@asynccontextmanager
async def client(fake: FakeConsul, token: str | None = None) -> AsyncIterator[Consul]:
    settings = attrs.evolve(Settings.read(fake.url, {}), token=token)
    made = Consul(settings, emit=lambda _: None, rng=random.Random(1))
    try:
        yield made
    finally:
        await made.aclose()


async def test_one_that_is_led_says_by_whom() -> None:
    async with FakeConsul() as fake, client(fake) as consul:
        found = await doctor.leads(consul)
    assert (found.state, "the leader is '" in found.seen) == ("ok", True)


async def test_one_without_a_leader_is_an_error() -> None:
    async with FakeConsul() as fake, client(fake) as consul:
        fake.faults.no_leader()
        with pytest.raises(ConsulError) as caught:
            await doctor.leads(consul)
    assert caught.value.reason == "no-leader"


async def test_one_that_is_gone_is_an_error() -> None:
    async with FakeConsul() as fake:
        pass
    async with client(fake) as consul:
        with pytest.raises(ConsulError) as caught:
            await doctor.leads(consul)
    assert caught.value.reason == "unreachable"


async def test_an_old_one_is_a_warning() -> None:
    async with FakeConsul(version="1.13.2") as fake, client(fake) as consul:
        found = await doctor.version(consul)
    assert (found.state, found.seen) == ("warning", "Consul 1.13.2 takes 64 operations in a transaction")


async def test_a_version_that_may_not_be_read_is_a_warning_with_the_rule() -> None:
    async with FakeConsul(acls=True) as fake, client(fake, fake.create_token(Rules(service={"": "read"}))) as consul:
        found = await doctor.version(consul)
        assert (await doctor.token(consul)).state == "ok"
    assert (found.state, 'agent_prefix ""' in found.next_step) == ("warning", True)


async def test_a_token_is_told_by_its_accessor_never_by_its_secret() -> None:
    async with FakeConsul(acls=True) as fake, client(fake, fake.token) as consul:
        found = await doctor.token(consul)
    assert found.state == "ok"
    assert found.seen.startswith("the token '")
    assert fake.token not in found.seen


async def test_a_token_that_was_revoked_is_an_error() -> None:
    async with FakeConsul(acls=True) as fake:
        secret = fake.create_token(Rules())
        fake.revoke_token(secret)
        async with client(fake, secret) as consul:
            with pytest.raises(ConsulError) as caught:
                await doctor.token(consul)
    assert caught.value.reason == "denied"
