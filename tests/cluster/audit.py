"""When the API server wrote something, by its own clock: its audit log has it to the microsecond."""

import datetime as dt
import json

from .cluster import Cluster


def slice_writes(cluster: Cluster, namespace: str, *, after: float) -> list[float]:
    """The times at which slices of a namespace were written since `after`, in order; all of them unix times."""
    times = []
    with cluster.audit.open() as lines:
        for line in lines:
            if not line.endswith("\n"):
                break  # being written now
            event = json.loads(line)
            there = event["objectRef"].get("namespace") == namespace
            written = dt.datetime.fromisoformat(event["stageTimestamp"]).timestamp()
            if there and written > after and event["responseStatus"]["code"] < 300:
                times.append(written)
    return sorted(times)
