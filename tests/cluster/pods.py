"""One pod: bound to a node, run as a process there, probed, ended in good order. A kubelet has one of these a pod."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import TYPE_CHECKING

from .admin import Object, path_of
from .statuses import PodStatus, node_address

if TYPE_CHECKING:
    from .kubelet import Kubelet

SERVER = Path(__file__).resolve().parent / "server.py"
PERIOD = "aiodiscovery.test/probe-period"
"""Annotation: seconds between readiness probes. The API has whole seconds only, which are long for a test."""

LINGER = "aiodiscovery.test/linger"
"""Annotation: seconds for which the server takes new connections after SIGTERM."""

BEGINS = "aiodiscovery.test/begins"
"""Annotation: what the server is told before it is asked anything, as its /control has it: a broken version."""


class Pod:
    """The life of one pod, from its binding until its object is gone."""

    def __init__(self, kubelet: "Kubelet", seen: Object) -> None:
        self.kubelet, self.spec = kubelet, seen["spec"]
        self.name, self.namespace = seen["metadata"]["name"], seen["metadata"]["namespace"]
        self.uid = seen["metadata"]["uid"]
        self.path = path_of({"apiVersion": "v1", "kind": "Pod", "metadata": seen["metadata"]})
        self.node = self.spec.get("nodeName") or kubelet.choose(self.spec.get("nodeSelector") or {})
        on_host = self.spec.get("hostNetwork")
        self.address = node_address(self.node) if on_host else kubelet.cluster.next_address(self.node)
        self.ports = [port["containerPort"] for port in self._ports()] or [80]
        self.process: Process | None = None
        self.ready = False
        self._notes = seen["metadata"].get("annotations") or {}
        self.begins = self._notes.get(BEGINS, "")
        self._status = PodStatus(seen, node_name=self.node, address=self.address)
        self._deleted = asyncio.Event()
        self._grace = 30.0
        self.life = asyncio.create_task(self._live(), name=f"pod {self.name}")
        self.seen(seen)

    def __repr__(self) -> str:
        return f"<Pod {self.name} on {self.node} at {self.address}{' ready' if self.ready else ''}>"

    def seen(self, pod: Object) -> None:
        """The object changed: all that matters here is whether it is to go."""
        if pod["metadata"].get("deletionTimestamp"):
            self._grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            self._deleted.set()

    def kill(self) -> None:
        """End the process as a crash does: nothing is finished, nobody is told."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def close(self) -> None:
        """Stop everything about this pod, whatever the API server has of it."""
        self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)
        self.kill()
        if self.process is not None:
            await self.process.wait()

    async def _live(self) -> None:
        if not self.spec.get("nodeName"):
            await self._bind()
        self.process = await self._spawn()
        tasks = [asyncio.create_task(self._probe()), asyncio.create_task(self._end())]
        try:
            code = await self.process.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.ready = False
        await self._tell("PATCH", f"{self.path}/status", {"status": self._status.ended(code)})
        await self._deleted.wait()
        await self._tell("DELETE", self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})

    async def _bind(self) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": self.node}
        meta = {"name": self.name, "namespace": self.namespace}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}
        await self._tell("POST", f"{self.path}/binding", binding)

    async def _spawn(self) -> Process:
        """`ip netns exec` becomes the server itself, so its pid is the server's."""
        listen = [word for port in self.ports for word in ("--listen", f"{self.address}:{port}")]
        who = ("--pod", self.name, "--node", self.node)
        how = ("--linger", self._notes.get(LINGER, "0.3"), "--begins", self.begins)
        inside = ("ip", "netns", "exec", self.kubelet.cluster.netns(self.node))
        server = (sys.executable, "-I", "-S", SERVER, *listen, *who, *how)
        log = self.kubelet.cluster.directory / "logs/pods.log"
        with log.open("ab") as errors:
            return await asyncio.create_subprocess_exec(*inside, *server, stdin=DEVNULL, stdout=DEVNULL, stderr=errors)

    async def _probe(self) -> None:
        """Report readiness whenever it changes, also while the pod is terminating: it may serve until its end."""
        probe = self.spec["containers"][0].get("readinessProbe")
        await self._report(ready=probe is None)
        if probe is None:
            return
        period = float(self._notes.get(PERIOD, self.kubelet.period))
        wanted = {True: probe.get("successThreshold", 1), False: probe.get("failureThreshold", 3)}
        in_a_row, last = 0, False
        while True:
            answered = await self._ask(probe)
            in_a_row = in_a_row + 1 if answered is last else 1
            last = answered
            if answered is not self.ready and in_a_row >= wanted[answered]:
                await self._report(ready=answered)
            await asyncio.sleep(period if self.ready else min(period, 0.05))

    async def _report(self, *, ready: bool) -> None:
        await self._tell("PATCH", f"{self.path}/status", {"status": self._status.running(ready=ready)})
        self.ready = ready

    async def _ask(self, probe: Object) -> bool:
        """One probe, from the node: while the node is lost, its kubelet is as well, and nothing is asked."""
        await self.kubelet.reached(self.node)
        wanted = probe["httpGet"]
        port = wanted["port"] if isinstance(wanted["port"], int) else self._named(wanted["port"])
        try:
            async with asyncio.timeout(probe.get("timeoutSeconds", 1)):
                status = await _get(self.address, port, wanted.get("path", "/"))
        except (OSError, ValueError, IndexError):
            status = 0
        if not self.kubelet.is_lost(self.node):
            return 200 <= status < 400
        return self.ready

    def _named(self, name: str) -> int:
        return int(next(port["containerPort"] for port in self._ports() if port.get("name") == name))

    def _ports(self) -> list[Object]:
        """Those of its containers, then of its sidecars: init containers that go on running."""
        inits = self.spec.get("initContainers") or ()
        boxes = (*self.spec["containers"], *(box for box in inits if box.get("restartPolicy") == "Always"))
        return [port for box in boxes for port in box.get("ports") or ()]

    async def _end(self) -> None:
        """What a kubelet does to a deleted pod: the preStop sleep, SIGTERM, and SIGKILL when its time is over."""
        await self._deleted.wait()
        await self.kubelet.reached(self.node)
        hook = (self.spec["containers"][0].get("lifecycle") or {}).get("preStop") or {}
        pause = min(float((hook.get("sleep") or {}).get("seconds", 0)), self._grace)
        await asyncio.sleep(pause)
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        await asyncio.sleep(self._grace - pause)
        self.kill()

    async def _tell(self, method: str, path: str, body: Object) -> None:
        await self.kubelet.reached(self.node)
        await self.kubelet.tell(method, path, body)


async def _get(address: str, port: int, path: str) -> int:
    """The status of one GET, on a connection of its own."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
