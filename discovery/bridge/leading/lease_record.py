"""A Lease of Kubernetes as a record of who leads: read and written. Pure; what we do not know of it stays as it is."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import attrs

KIND = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}


@attrs.frozen(kw_only=True)
class Record:
    """What a Lease says.

    Attributes:
        holder: who leads, "" where it is free.
        duration: seconds for which others keep off after each change of it; 0 where it does not say.
        transitions: how often another became its holder.
        spec: all it says: a renewal is any change of it, whatever its times are.
        body: the whole object, for the next write.
    """

    holder: str
    duration: float
    transitions: int
    spec: Mapping[str, Any] = attrs.field(repr=False)
    body: Mapping[str, Any] = attrs.field(repr=False, eq=False)


def read_record(body: Mapping[str, Any]) -> Record:
    """What a Lease says. A field of another type than it should be counts as none."""
    found = body.get("spec")
    spec: Mapping[str, Any] = found if isinstance(found, dict) else {}
    holder = spec.get("holderIdentity")
    return Record(
        holder=holder if isinstance(holder, str) else "",
        duration=float(_whole(spec.get("leaseDurationSeconds"))),
        transitions=_whole(spec.get("leaseTransitions")),
        spec=spec,
        body=body,
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def first(name: str, namespace: str, holder: str, duration: float, now: dt.datetime) -> dict[str, Any]:
    """A new Lease, ours."""
    return {**KIND, "metadata": {"name": name, "namespace": namespace}, "spec": _times(holder, duration, now, now, 0)}


def ours(record: Record, holder: str, duration: float, now: dt.datetime) -> dict[str, Any]:
    """The Lease renewed, or taken over. Of that very version: `metadata` has it."""
    same = record.holder == holder
    since = record.spec.get("acquireTime") if same else None
    times = _times(holder, duration, now, since or now, record.transitions + (not same))
    return {**record.body, "spec": {**record.spec, **times}}


def freed(record: Record, now: dt.datetime) -> dict[str, Any]:
    """The Lease without a holder. Its duration is a second, for candidates that look at nothing else (client-go)."""
    return {**record.body, "spec": {**record.spec, **_times("", 1.0, now, now, record.transitions)}}


def _times(
    holder: str, duration: float, now: dt.datetime, since: dt.datetime | str, transitions: int
) -> dict[str, Any]:
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": int(duration),
        "acquireTime": since if isinstance(since, str) else _micro(since),
        "renewTime": _micro(now),
        "leaseTransitions": transitions,
    }


def _micro(at: dt.datetime) -> str:
    """A MicroTime: RFC 3339 with exactly six digits, in UTC."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
