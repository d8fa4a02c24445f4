"""The values a user reads: they compare by all they hold, change never, and travel."""

import copy
import pickle
from typing import Any

import attrs
import pytest

from discovery import Backend, BackendId, Candidate, Change, ConfigurationError, PodRef, PoolStatus, Snapshot

POD = PodRef(namespace="shop", name="web-1", uid="u")
BACKEND = Backend(address="10.0.0.1", port=80, pod=POD, zone="a", labels=(("app", "web"),))
SNAPSHOT = Snapshot(backends=(BACKEND,), version=3, synced_at=1.5)
VALUES = [
    POD,
    BACKEND.id,
    BACKEND,
    SNAPSHOT,
    Change(added=(BACKEND,), removed=(), updated=(), snapshot=SNAPSHOT),
    Candidate(backend=BACKEND, usable=True, reason="ready"),
    PoolStatus(synced=True, backends=1, not_ready=0, standing_in=False, stale_for=0.0, last_error=None),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_equals_its_copies_and_never_changes(value: Any) -> None:
    hash(value), getattr(value, "id", None), getattr(value, "netloc", None)  # what is remembered is no part of it
    for other in (copy.copy(value), pickle.loads(pickle.dumps(value)), attrs.evolve(value)):
        assert (other, hash(other)) == (value, hash(value))
    for field in attrs.fields(type(value)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, field.name, None)
        assert attrs.evolve(value, **{field.name: {"weight": 2.0, "priority": 1}.get(field.name, "another")}) != value


@pytest.mark.parametrize("priority", [-1, 1.5, True, "first", None])
def test_a_priority_that_is_none_is_refused_where_it_is_given(priority: Any) -> None:
    with pytest.raises(ConfigurationError, match="priority"):
        Backend(address="10.0.0.1", port=80, priority=priority)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "heavy", None])
def test_a_weight_that_is_none_is_refused_where_it_is_given(weight: Any) -> None:
    with pytest.raises(ConfigurationError, match="weight"):
        Backend(address="10.0.0.1", port=80, weight=weight)


def test_a_new_pod_on_an_old_address_is_another_backend_and_a_new_state_is_not() -> None:
    again = attrs.evolve(BACKEND, pod=attrs.evolve(POD, uid="v"))
    assert BACKEND.id == BackendId(address="10.0.0.1", port=80, uid="u")
    assert again.id != BACKEND.id
    assert attrs.evolve(BACKEND, ready=False, zone="b", weight=2.0).id == BACKEND.id


@pytest.mark.parametrize(
    ("address", "netloc"),
    [("10.0.0.1", "10.0.0.1:80"), ("fd00::1", "[fd00::1]:80"), ("web.example", "web.example:80")],
)
def test_the_netloc_is_what_a_url_has(address: str, netloc: str) -> None:
    assert Backend(address=address, port=80).netloc == netloc


def test_a_backend_of_which_nothing_is_known_is_ready_and_of_usual_weight() -> None:
    plain = Backend(address="10.0.0.1", port=80)
    assert (plain.ready, plain.serving, plain.terminating, plain.weight, plain.priority) == (True, True, False, 1.0, 0)
    assert (plain.zone, plain.node, plain.hostname, plain.app_protocol, plain.pod, plain.labels) == (
        *[""] * 4,
        None,
        (),
    )
