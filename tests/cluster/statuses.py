"""What a kubelet writes: the status of nodes and pods, as plain JSON. No I/O.

A merge patch replaces lists, so conditions and containers are always written whole.
"""

import datetime as dt
from typing import Any

from .admin import Object


def now() -> str:
    """Kubernetes' own form of a time: UTC, whole seconds."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str) -> Object:
    """A Node of this cluster: node-2 is at 172.31.2.1, in zone-2."""
    number = name.removeprefix("node-")
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "region-1",
        "topology.kubernetes.io/zone": f"zone-{number}",
    }
    spec = {"podCIDR": f"10.1.{number}.0/24", "podCIDRs": [f"10.1.{number}.0/24"]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}


def node_address(name: str) -> str:
    return f"172.31.{name.removeprefix('node-')}.1"


def node_status(name: str, *, ready: bool = True) -> Object:
    capacity = {"cpu": "2", "memory": "4Gi", "pods": "250"}
    return {
        "addresses": [
            {"type": "InternalIP", "address": node_address(name)},
            {"type": "Hostname", "address": name},
        ],
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [_condition("Ready", ready, now(), "KubeletReady" if ready else "KubeletNotReady")],
    }


def _condition(kind: str, true: bool, since: str, reason: str = "") -> Object:
    said = {"type": kind, "status": "True" if true else "False", "lastProbeTime": None, "lastTransitionTime": since}
    return {**said, "reason": reason} if reason else said


class PodStatus:
    """The status of one pod over its life; a condition keeps its time until it changes."""

    def __init__(self, pod: Object, *, node_name: str, address: str) -> None:
        self._containers = pod["spec"]["containers"]
        self._host, self._address = node_address(node_name), address
        self._started = now()
        self._since: dict[str, tuple[bool, str]] = {}

    def running(self, *, ready: bool) -> Object:
        """The containers run; the probe says whether they are ready."""
        return self._status("Running", ready=ready, state={"running": {"startedAt": self._started}}, started=True)

    def ended(self, code: int) -> Object:
        """The containers have exited, and nothing restarts them."""
        ended: Any = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": self._started,
            "finishedAt": now(),
        }
        phase = "Succeeded" if code == 0 else "Failed"
        return self._status(phase, ready=False, state={"terminated": ended}, started=False)

    def _status(self, phase: str, *, ready: bool, state: Object, started: bool) -> Object:
        over = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
        reason = "" if ready else over or "ContainersNotReady"
        return {
            "phase": phase,
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "hostIP": self._host,
            "hostIPs": [{"ip": self._host}],
            "startTime": self._started,
            "conditions": [
                self._held("PodReadyToStartContainers", phase == "Running"),
                self._held("Initialized", True),
                self._held("Ready", ready, reason),
                self._held("ContainersReady", ready, reason),
                self._held("PodScheduled", True),
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": container["image"],
                    "containerID": f"process://{self._address}/{container['name']}",
                    "ready": ready,
                    "started": started,
                    "restartCount": 0,
                    "state": state,
                }
                for container in self._containers
            ],
        }

    def _held(self, kind: str, true: bool, reason: str = "") -> Object:
        before = self._since.get(kind)
        if before is None or before[0] != true:
            self._since[kind] = (true, now())
        return _condition(kind, true, self._since[kind][1], reason)
