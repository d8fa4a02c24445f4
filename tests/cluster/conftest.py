"""The fixtures: one cluster a session, one Kubernetes namespace a test."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from . import build
from .admin import Admin
from .cluster import API, TOKEN, Cluster, running
from .kubelet import Kubelet
from .manifests import fresh_name
from .servers import ApiServer


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The running cluster, with this process inside. Where it cannot run: a skip, but in CI a failure."""
    if reason := build.obstacle():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with running(build.build()) as started:
        yield started


@pytest.fixture
async def admin(cluster: Cluster) -> AsyncIterator[Admin]:
    async with Admin(API, TOKEN, cluster.tls()) as client:
        yield client


@pytest.fixture
async def namespace(admin: Admin) -> AsyncIterator[str]:
    """A Kubernetes namespace for one test. Its end is not waited for: no other test looks there."""
    name = fresh_name("test")
    await admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    path = f"/api/v1/namespaces/{name}"
    await admin.wait_for(f"{path}/serviceaccounts/default", bool)  # made by the controllers: so they work
    yield name
    await admin.delete(path)
    with contextlib.suppress(Exception):
        # No kubelet is left to end them in good order; nothing new is made in a namespace that goes.
        await admin.delete(f"{path}/pods", grace=0)


@pytest.fixture
async def kubelet(cluster: Cluster, admin: Admin, namespace: str) -> AsyncIterator[Kubelet]:
    """Runs the pods of the test's namespace."""
    async with Kubelet(cluster, admin, namespace=namespace) as started:
        yield started


@pytest.fixture
async def api_server(cluster: Cluster, admin: Admin) -> AsyncIterator[ApiServer]:
    """For tests that kill it: the test after finds a cluster that has got over it."""
    server = ApiServer(cluster, admin)
    yield server
    if server.was_down:
        await server.forgotten()
