"""Replaces pods of many Services at random, in a process of its own: what it costs delays nobody else.

Started as `python -m tests.cluster.churn OPTIONS` in the network namespace of the control plane. It writes "made" when
all pods are ready, waits for a line, replaces pods for so many seconds, and lets each replacement end. Its log has a
JSON line for each pod that is gone: its namespace, Service and address, and the unix time at which it surely was.
"""

import argparse
import asyncio
import json
import random
import ssl
import sys
import time
from typing import Any, TextIO

from .admin import Admin
from .cluster import API, NODES, TOKEN
from .light import Addresses, LightPod

AT_ONCE = 48
"""Requests under way, at most: a slow API server slows the churn down and is not run over."""


class Service:
    """The pods of one Service, all ready at first."""

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        self.pods: list[LightPod] = []
        self.made = 0


class Churn:
    """All Services. Everything is chosen by `rng`."""

    def __init__(self, admin: Admin, services: list[Service], rng: random.Random, log: TextIO) -> None:
        self._admin, self._services, self._rng, self._log = admin, services, rng, log
        self._addresses = Addresses()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def fill(self, pods: int) -> None:
        """Give each Service its pods."""
        await asyncio.gather(*(self._add(service) for service in self._services for _ in range(pods)))

    async def replace(self, seconds: float, rate: float) -> None:
        """Begin `rate` replacements a second, each of one pod."""
        until, due = time.monotonic() + seconds, time.monotonic()
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until:
                async with self._turn:
                    group.create_task(self._one(self._rng.choice(self._services)))
                due = max(due + 1 / rate, time.monotonic() - 1)
                await asyncio.sleep(due - time.monotonic())

    async def _one(self, service: Service) -> None:
        """A new pod comes, an old one goes, in one of the ways that pods do."""
        rng = self._rng
        old = service.pods.pop(rng.randrange(len(service.pods)))
        how, lingers, starts = rng.choice(("delete", "delete", "evict", "fail", "at once")), rng.random(), rng.random()
        new = asyncio.create_task(self._add(service, after=starts))
        async with self._turn:
            if how == "fail":
                await old.end(1)
                self._gone(service, old)
            elif how == "evict":
                await old.evict()
            elif how == "delete":
                await old.delete()
        if how != "at once":
            await asyncio.sleep(lingers)
        async with self._turn:
            await old.finish()
            if how != "fail":
                self._gone(service, old)
        await new

    async def _add(self, service: Service, *, after: float = 0.0) -> None:
        service.made += 1
        name = f"{service.name}-{service.made}"
        place = {"node_name": self._rng.choice(NODES), "address": self._addresses.next()}
        pod = LightPod(self._admin, service.namespace, name, **place)
        async with self._turn:
            await pod.create({"app": service.name}, ports={"http": 8080})
        await asyncio.sleep(after)
        async with self._turn:
            await pod.report(ready=True)
        service.pods.append(pod)

    def _gone(self, service: Service, pod: LightPod) -> None:
        line = {"namespace": service.namespace, "service": service.name, "address": pod.address, "at": time.time()}
        self._log.write(json.dumps(line) + "\n")


async def main(chosen: Any) -> None:
    namespaces = chosen.namespaces.split(",")
    services = [Service(name, f"web-{number}") for name in namespaces for number in range(chosen.services)]
    tls = ssl.create_default_context(cafile=chosen.ca)
    with open(chosen.log, "w") as log:  # noqa: ASYNC230, PTH123 - at the beginning
        async with Admin(API, TOKEN, tls) as admin:
            churn = Churn(admin, services, random.Random(chosen.seed), log)
            await churn.fill(chosen.pods)
            print("made", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await churn.replace(chosen.seconds, chosen.rate)
    print("done", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ca", required=True)
    parser.add_argument("--namespaces", required=True, help="with commas between")
    parser.add_argument("--services", type=int, required=True, help="in each namespace")
    parser.add_argument("--pods", type=int, required=True, help="of each Service")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, required=True, help="replacements begun a second")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--log", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
