"""What a resolver tells, and what may be picked of it: in place, by identity, with nothing lost."""

import random

from hypothesis import given
from hypothesis import strategies as st

from discovery import Backend, Event, PodRef
from discovery.membership import Membership

STATES = st.sampled_from([(True, True, False), (False, True, True), (False, False, True), (False, False, False)])


def backend(address: int, state: tuple[bool, bool, bool] = (True, True, False), uid: str = "") -> Backend:
    ready, serving, terminating = state
    pod = PodRef(namespace="shop", name="web", uid=uid) if uid else None
    return Backend(address=f"10.0.0.{address}", port=80, ready=ready, serving=serving, terminating=terminating, pod=pod)


def membership(events: list[Event] | None = None) -> Membership:
    return Membership("test://source", emit=(events if events is not None else []).append, clock=lambda: 5.0)


BACKENDS = st.builds(backend, st.integers(0, 4), STATES, st.sampled_from(["", "1"]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), st.lists(BACKENDS, max_size=6)),
        st.tuples(st.just("put"), BACKENDS),
        st.tuples(st.just("remove"), BACKENDS),
    ),
    max_size=20,
)


@given(STEPS)
def test_any_history_leaves_exactly_those_that_may_be_picked_in_one_list_that_stays_the_same(
    steps: list[tuple[str, object]],
) -> None:
    held = membership()
    nodes, model = held.nodes, dict[object, Backend]()
    for what, given_ in steps:
        if isinstance(given_, list):
            model = {one.id: one for one in given_}
            held.replace(given_)
        elif isinstance(given_, Backend) and what == "put":
            model[given_.id] = given_
            held.update([given_], [])
        elif isinstance(given_, Backend):
            model.pop(given_.id, None)
            held.update([], [given_.id])
        ready = [one for one in model.values() if one.ready]
        standing_in = [one for one in model.values() if one.serving and one.terminating]
        expected = ready or standing_in
        assert held.nodes is nodes
        assert sorted(map(str, (node.backend for node in nodes))) == sorted(map(str, expected))
        assert [node.index for node in nodes] == list(range(len(nodes)))
        assert held.standing_in is (not ready and bool(standing_in))
        assert held.not_ready == len(model) - len(ready)
        assert {one.backend.id for one in held.candidates()} == model.keys()
        assert {one.backend.id for one in held.candidates() if one.usable} == {one.id for one in expected}


def test_what_is_learnt_stays_with_a_backend_that_changes_and_ends_with_it() -> None:
    held = membership()
    held.replace([backend(1), backend(2)])
    node = next(node for node in held.nodes if node.backend.address == "10.0.0.1")
    node.in_flight = 3
    held.update([backend(1, (False, True, True))], [])
    held.update([backend(1)], [])
    assert next(one for one in held.nodes if one.backend.address == "10.0.0.1") is node
    held.update([], [backend(1).id])
    held.update([backend(1)], [])
    back = next(one for one in held.nodes if one.backend.address == "10.0.0.1")
    assert (back is node, back.in_flight, node.in_flight) == (False, 0, 3)


def test_the_same_told_again_is_no_change() -> None:
    events: list[Event] = []
    held = membership(events)
    held.replace([backend(1), backend(2)])
    version, snapshot = held.version, held.snapshot()
    held.replace([backend(2), backend(1)])
    held.update([backend(1)], [backend(9).id])
    assert (held.version, held.snapshot() is snapshot) == (version, True)
    assert [event.name for event in events] == ["pool.changed", "pool.synced"]


def test_a_snapshot_is_in_order_and_built_once_for_each_version() -> None:
    held = membership()
    numbers = list(range(9))
    random.Random(1).shuffle(numbers)
    held.replace([backend(number) for number in numbers])
    snapshot = held.snapshot()
    assert [one.address for one in snapshot.backends] == [f"10.0.0.{number}" for number in range(9)]
    assert held.snapshot() is snapshot
    held.update([], [backend(0).id])
    assert held.snapshot() is not snapshot
    assert len(snapshot.backends) == 9, "it is a value"


def test_a_source_that_cannot_be_read_takes_nothing_away_and_is_told_of() -> None:
    held = membership()
    held.replace([backend(1)])
    lost = OSError("lost")
    held.failed(lost, since=2.0)
    assert (len(held.nodes), held.last_error, held.stale_for()) == (1, lost, 3.0)
    held.failed(OSError("still"), since=4.0)
    assert held.stale_for() == 3.0, "since it was first lost"
    held.synced()
    assert (held.last_error, held.stale_for()) == (None, 0.0)


def test_what_is_wrong_with_what_the_source_says_is_kept_apart_from_the_source_being_lost() -> None:
    held = membership()
    wrong: Exception = LookupError("no such port")
    lost: Exception = OSError("lost")
    held.note(wrong)
    held.failed(lost)
    assert held.last_error is lost
    held.synced()
    assert held.last_error is wrong
    held.note(None)
    assert held.last_error is None


def test_why_a_candidate_is_out_is_said_in_words() -> None:
    held = membership()
    states = [(True, True, False), (False, True, True), (False, False, True), (False, False, False)]
    held.replace([backend(n, state) for n, state in enumerate(states)])
    reasons = [one.reason for one in held.candidates()]
    assert reasons == ["ready", "terminating", "terminating, and no longer serving", "not ready"]
    held.update([], [backend(0).id])
    assert next(held.candidates()).reason.startswith("standing in: nothing is ready")
    assert "3 known, none ready" in str(held.why_empty())
