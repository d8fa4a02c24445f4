"""The fixture that most tests of the transport begin with."""

from collections.abc import AsyncIterator

import pytest

from discovery.testing import FakeCluster

from ..aiohttp.scene import Scene, opened


@pytest.fixture
async def scene(fake_cluster: FakeCluster) -> AsyncIterator[Scene]:
    async with opened(fake_cluster) as made:
        yield made
