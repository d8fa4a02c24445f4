"""Registration one by one, on one node, as consul-k8s does it: each call makes the server read all that node has."""

import http.client
import itertools
import json
import time
from urllib.parse import urlsplit

from .world import Json, World, name


def register(url: str, world: World, count: int) -> float:
    """The first so many instances; returns the seconds it took."""
    calls = [json.dumps(call) for call in itertools.islice(_calls(world), count)]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        start = time.perf_counter()
        for call in calls:
            connection.request("PUT", "/v1/catalog/register", call, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
            if response.status != 200:
                raise RuntimeError(f"PUT /v1/catalog/register: {response.status} {said[:500]!r}")
        return time.perf_counter() - start
    finally:
        connection.close()


def _calls(world: World) -> "itertools.chain[Json]":
    return itertools.chain.from_iterable(
        (_call(name(number), *place) for place in world.instances(number)) for number in sorted(world.services)
    )


def _call(service: str, address: str, port: int) -> Json:
    meta = {"external-source": "kubernetes", "external-k8s-ns": "bench", "port-http": "80"}
    instance = {"ID": f"{service}-{address}", "Service": service, "Address": address, "Port": port}
    return {
        "Node": "k8s-sync",
        "Address": "127.0.0.1",
        "SkipNodeUpdate": True,
        "NodeMeta": {"external-source": "kubernetes"},
        "Service": {**instance, "Tags": ["k8s"], "Meta": meta},
    }
