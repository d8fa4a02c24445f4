"""A second API server of the same cluster, as one that is too old to have EndpointSlices."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator

from .admin import UNREACHABLE, Admin, ApiError
from .cluster import TOKEN, Cluster
from .servers import Server

PORT = 6444
SLICES_OFF = "--runtime-config=discovery.k8s.io/v1=false"


def _words(command: list[str]) -> list[str]:
    """The first server's command line, on another port and without what writes files."""
    words, kept = iter(command), []
    for word in words:
        if word.startswith("--audit"):
            next(words)
        else:
            kept.append(word)
    kept[kept.index("--secure-port") + 1] = str(PORT)
    return [*kept, SLICES_OFF]


@contextlib.asynccontextmanager
async def server_without_slices(cluster: Cluster) -> AsyncIterator[str]:
    """Run it for as long as the block lasts; gives its URL."""
    (first,) = Server.named(cluster, "kube-apiserver")
    url = f"https://172.31.0.1:{PORT}"
    with (cluster.directory / "logs/old-server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond
            ["ip", "netns", "exec", first.netns, *_words(first.command)],
            cwd=cluster.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with Admin(url, TOKEN, cluster.tls()) as admin, asyncio.timeout(60):
            while process.poll() is None:
                with contextlib.suppress(ApiError, *UNREACHABLE):
                    await admin.get("/readyz", exclude="informer-sync")  # its aggregator asks for slices, in vain
                    break
                await asyncio.sleep(0.05)
        assert process.poll() is None, (cluster.directory / "logs/old-server.log").read_text()[-2000:]
        yield url
    finally:
        process.kill()
        process.wait()
