"""A load balancer outside the cluster: its file is kept as the node ports are, and it is told to read it."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import discovery
from discovery.rendering import Renderer, Template
from discovery.testing import FakeCluster

TARGET = "node-port:///alpaca-prod:http"
EXCLUDED = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}


async def main(cluster: FakeCluster, folder: Path) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    rendering = Renderer(
        Template.named("haproxy", variables={"name": "alpaca"}),
        to=folder / "alpaca.cfg",
        check=["grep", "-q", "^backend alpaca$", "{}"],  # haproxy -c -f /etc/haproxy/haproxy.cfg -f {}
        run=["true"],  # systemctl reload haproxy
        on_event=lambda event: told.put_nowait(event.name),
    )
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(TARGET) as pool:
        following = asyncio.create_task(rendering.follow(pool))
        for _ in range(2):
            print(await told.get(), await told.get())
            print(await asyncio.to_thread(shown, rendering.path))
            cluster.patch("nodes", "node-2", EXCLUDED)
        following.cancel()
        await asyncio.wait([following])


def shown(path: Path) -> str:
    """Its lines, with what every run chooses anew left out."""
    lines = path.read_text().splitlines()[1:]
    return "\n".join(line if "server 127" not in line else "    server ..." for line in lines)


async def in_a_simulated_cluster(folder: Path) -> None:
    async with FakeCluster() as cluster:
        await cluster.deploy("alpaca-prod", kind="NodePort")
        await main(cluster, folder)


with TemporaryDirectory() as place:
    asyncio.run(in_a_simulated_cluster(Path(place)))
