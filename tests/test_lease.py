"""A lease and the record it counts on, whatever order things happen in."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import Backend, Lease
from discovery.balancing import Node


def lease(*failures: type[BaseException]) -> Lease:
    node = Node(Backend(address="10.0.0.1", port=80))
    node.in_flight += 1
    return Lease(node, failures) if failures else Lease(node)


def counts(held: Lease) -> tuple[int, int, int]:
    return held.node.in_flight, held.node.successes, held.node.failures


ACTS: dict[str, Callable[[Lease], None]] = {
    "release": Lease.release,
    "fail": Lease.fail,
    "fail in words": lambda held: held.fail(OSError("lost"), retry_after=3.0),
    "ignore": Lease.ignore,
    "leave": lambda held: held.__exit__(None, None, None),
    "leave by a fault of the backend": lambda held: held.__exit__(ConnectionResetError, ConnectionResetError(), None),
    "leave by another fault": lambda held: held.__exit__(ValueError, ValueError(), None),
}
ENDS = {"release", "leave", "leave by a fault of the backend", "leave by another fault"}


@given(st.lists(st.sampled_from(sorted(ACTS)), max_size=6))
def test_whatever_is_done_with_it_its_load_is_counted_down_once_and_its_first_verdict_stands(acts: list[str]) -> None:
    held = lease()
    for act in acts:
        ACTS[act](held)
        if act in ENDS:
            break
    ended = bool(acts) and any(act in ENDS for act in acts)
    first = next(iter(acts), "")
    failed = first.startswith("fail") or first == "leave by a fault of the backend"
    passed = first in ("release", "leave")
    assert counts(held) == (0 if ended else 1, passed, failed)


@pytest.mark.parametrize("act", sorted(ENDS))
def test_what_has_ended_ends_no_more(act: str) -> None:
    held = lease()
    ACTS[act](held)
    before = held.node.in_flight
    held.release()
    held.__exit__(None, None, None)
    assert (before, held.node.in_flight) == (0, 0)


def test_a_lease_lets_every_exception_through() -> None:
    for error in (OSError(), ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), lease():
            raise error


def test_a_subclass_of_a_failure_is_one_and_with_failures_of_your_own_the_usual_are_none() -> None:
    class Lost(EOFError):
        pass

    for error, failures, failed in [(Lost, (), 1), (Lost, (KeyError,), 0), (KeyError, (LookupError,), 1)]:
        held = lease(*failures)
        with pytest.raises(error), held:
            raise error
        assert held.node.failures == failed


def test_a_lease_says_where_to_go_even_when_the_backend_has_changed() -> None:
    held = lease()
    held.node.backend = Backend(address="10.0.0.1", port=80, ready=False)
    assert held.backend.ready is False


def test_leases_are_told_apart_by_what_they_are_not_by_what_they_hold() -> None:
    one = lease()
    assert one != Lease(one.node)
    assert len({one, Lease(one.node)}) == 2
