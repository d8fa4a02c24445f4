"""When the API server wrote something, by its own clock: its audit log has it to the microsecond."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import NamedTuple

from .admin import Object
from .cluster import Cluster


class SliceWrite(NamedTuple):
    """A slice as it was written; `service` is "" and `addresses` are empty where it was deleted."""

    at: float
    namespace: str
    name: str
    service: str
    addresses: frozenset[str]


def slice_writes(cluster: Cluster, namespace: str, *, after: float) -> list[float]:
    """The times at which slices of a namespace were written since `after`, in order; all of them unix times."""
    written = (_at(event) for event in _events(cluster) if event["objectRef"].get("namespace") == namespace)
    return sorted(at for at in written if at > after)


def slices_written(cluster: Cluster, namespaces: set[str]) -> list[SliceWrite]:
    """Every write of a slice by a controller in these namespaces, in order. A patch is none: only tests do that."""
    written = (event for event in _events(cluster) if event["objectRef"].get("namespace") in namespaces)
    return sorted((_slice_write(event) for event in written if event["verb"] != "patch"), key=lambda one: one.at)


def _slice_write(event: Object) -> SliceWrite:
    where = event["objectRef"]
    body = event.get("responseObject") or event.get("requestObject") or {}
    meta = body.get("metadata") or {}
    if event["verb"] == "delete":
        return SliceWrite(_at(event), where["namespace"], where["name"], "", frozenset())
    addresses = frozenset(one for endpoint in body.get("endpoints") or () for one in endpoint["addresses"])
    return SliceWrite(
        _at(event), where["namespace"], meta["name"], meta["labels"]["kubernetes.io/service-name"], addresses
    )


def _at(event: Object) -> float:
    return dt.datetime.fromisoformat(event["stageTimestamp"]).timestamp()


def _events(cluster: Cluster) -> Iterator[Object]:
    """Those of writes that were done. The log is continued in another file every 100 MB."""
    for path in sorted(cluster.audit.parent.glob("audit*.log")):
        with path.open() as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # being written now
                event: Object = json.loads(line)
                if event["responseStatus"]["code"] < 300:
                    yield event
