"""The reflector's rules, as a table: in this state, after this, do that."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.kube.reflector import (
    ANY,
    CALM,
    LATEST,
    REFUSED,
    UNREACHABLE,
    WATCH_SECONDS,
    Ended,
    Failed,
    Failure,
    List,
    Listed,
    Outcome,
    State,
    Watch,
    start,
    step,
)

SYNCED = State(phase="watch", version="10", synced=True)
"""A watch from the version of the last list."""


def after(*outcomes: Outcome, state: State = SYNCED) -> tuple[State, List | Watch]:
    """Where a reflector stands, and what it does, after these."""
    effect = start(state, random.Random(1))
    for outcome in outcomes:
        state, effect = step(state, outcome, random.Random(1))
    return state, effect


def test_the_first_list_may_come_from_any_cache() -> None:
    assert start(State(), random.Random()) == List(ANY)


def test_the_watch_after_a_list_is_from_the_lists_own_version() -> None:
    state, effect = after(Listed("10"), state=State())
    assert isinstance(effect, Watch)
    assert (effect.version, effect.delay, state.synced) == ("10", 0.0, True)


def test_no_list_after_the_first_may_be_older_than_what_is_known() -> None:
    _, effect = after(Failed("error", "12"))
    assert isinstance(effect, List)
    assert effect.version == "12"


@given(st.integers())
def test_a_watch_is_as_long_as_client_go_has_it_and_lengths_differ(seed: int) -> None:
    effect = start(SYNCED, random.Random(seed))
    assert isinstance(effect, Watch)
    assert WATCH_SECONDS[0] <= effect.seconds <= WATCH_SECONDS[1]


# What follows a watch. The version is the newest that it told.

TABLE = [
    # outcome                                            asks for      version  backoff
    (Ended("12", lasted=300, heard=True), Watch, "12", None),
    (Ended("10", lasted=300, heard=False), Watch, "10", None),
    (Ended("12", lasted=0.5, heard=True), Watch, "12", UNREACHABLE),
    (Ended("10", lasted=0.5, heard=False), List, "10", REFUSED),
    (Ended("12", lasted=300, heard=True, due=True), List, "12", None),
    (Failed("unreachable", "12", lasted=5), Watch, "12", UNREACHABLE),
    (Failed("busy", "10"), Watch, "10", REFUSED),
    (Failed("error", "12", lasted=5), List, "12", REFUSED),
    (Failed("denied", "12", lasted=5), List, "12", REFUSED),
    (Failed("expired", "12"), List, LATEST, None),
]


@pytest.mark.parametrize(("outcome", "kind", "version", "backoff"), TABLE)
def test_what_follows_a_watch(outcome: Outcome, kind: type, version: str, backoff: object) -> None:
    _, effect = after(outcome)
    assert (type(effect), effect.version) == (kind, version)
    assert (effect.delay > 0) is (backoff is not None)
    assert effect.delay <= getattr(backoff, "base", 0.0)


@pytest.mark.parametrize("failure", ["unreachable", "busy", "error", "denied"])
def test_a_list_that_failed_is_tried_again_and_stays_a_first_list_until_one_is_whole(failure: Failure) -> None:
    state, effect = after(Failed(failure, ANY), state=State())
    assert isinstance(effect, List)
    assert (effect.version, effect.delay > 0, state.synced) == (ANY, True, False)


def test_an_expired_version_is_never_asked_for_again() -> None:
    """Case 4: "0", "10", "" are the versions of three lists, the second of which is expired."""
    state, effect = after(Failed("error", "10"), Failed("expired", "10"))
    assert effect == List(LATEST, 0.0)
    state, effect = after(Failed("error", "10"), state=state)
    assert isinstance(effect, List)
    assert effect.version == LATEST, "not before a list has been whole"
    state, effect = after(Listed("20"), state=state)
    assert effect.version == "20"


def test_a_server_that_calls_its_latest_expired_is_asked_with_pauses() -> None:
    _, effect = after(Failed("expired", "10"), Failed("expired", ""), Failed("expired", ""))
    assert isinstance(effect, List)
    assert effect.version == LATEST
    assert effect.delay > 0


def test_four_times_429_is_one_list_and_five_watches() -> None:
    """Case 7."""
    state, effect = after(Listed("10"), state=State())
    kinds: list[type] = [List, type(effect)]
    for _ in range(4):
        state, effect = after(Failed("busy", "10"), state=state)
        kinds.append(type(effect))
    assert kinds == [List, Watch, Watch, Watch, Watch, Watch]


def test_what_the_server_asks_for_comes_first_and_is_bounded() -> None:
    _, effect = after(Failed("busy", "10", retry_after=7.0))
    assert 7.0 <= effect.delay <= 7.0 + REFUSED.base
    _, effect = after(Failed("busy", "10", retry_after=86_400.0))
    assert effect.delay <= 2 * REFUSED.cap


@given(st.integers(1, 60), st.integers())
def test_pauses_double_up_to_a_cap_with_full_jitter(failures: int, seed: int) -> None:
    for backoff in (UNREACHABLE, REFUSED):
        most = min(backoff.cap, backoff.base * 2.0 ** (failures - 1))
        assert 0 <= backoff.delay(failures, random.Random(seed)) <= most


def test_five_refused_connections_pause_longer_each_time_and_an_outage_of_hours_no_longer_than_the_cap() -> None:
    """Case 11."""
    state, most = SYNCED, []
    for _ in range(40):
        state, _ = after(Failed("unreachable", "10"), state=state)
        most.append(min(UNREACHABLE.cap, UNREACHABLE.base * 2.0 ** (state.unreachable - 1)))
    assert most[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]
    assert set(most[5:]) == {5.0}


def test_a_server_whose_lists_are_well_and_whose_watches_expire_is_asked_with_growing_pauses() -> None:
    state, most = State(), []
    for _ in range(8):
        state, effect = after(Listed("10"), state=state)
        state, effect = after(Failed("expired", "10"), state=state)
        most.append(effect.delay)
    assert most[0] == 0.0
    assert all(0 < delay <= min(REFUSED.cap, REFUSED.base * 2.0**n) for n, delay in enumerate(most[1:]))


def test_the_first_refusal_after_an_outage_pauses_as_a_first_refusal() -> None:
    state, _ = after(*[Failed("unreachable", "10")] * 20)
    assert after(Failed("error", "10"), state=state)[1].delay <= REFUSED.base


def test_calm_makes_pauses_short_again() -> None:
    state, _ = after(*[Failed("error", "10")] * 6)
    assert state.failures == 6
    assert after(Failed("error", "10", lasted=CALM), state=state)[0].failures == 1
    assert after(Failed("error", "10", lasted=CALM - 1), state=state)[0].failures == 7


OUTCOMES = st.one_of(
    st.builds(Listed, st.just("20")),
    st.builds(Ended, st.just("20"), st.floats(0, 1000), st.booleans(), st.booleans()),
    st.builds(Failed, st.sampled_from(["unreachable", "busy", "error", "denied", "expired"]), st.just("20")),
)


@given(st.lists(OUTCOMES, max_size=30), st.integers())
def test_whatever_happens_there_is_a_next_step_and_never_a_spin(outcomes: list[Outcome], seed: int) -> None:
    """Three steps without a pause in between need a list that was whole, or a watch that lasted."""
    rng, state, free = random.Random(seed), State(), 0
    for outcome in outcomes:
        state, effect = step(state, outcome, rng)
        healthy = isinstance(outcome, Listed) or (isinstance(outcome, Ended) and outcome.lasted >= 1)
        free = 0 if healthy or effect.delay or state.failures or state.unreachable else free + 1
        assert free <= 1
        if isinstance(effect, List) and effect.version == ANY:
            assert not state.synced, "time travel"


@given(st.lists(OUTCOMES, max_size=30))
def test_it_is_synced_once_a_list_was_whole_and_stays_so(outcomes: list[Outcome]) -> None:
    state = State()
    for n, outcome in enumerate(outcomes):
        state, _ = step(state, outcome, random.Random(n))
        assert state.synced is any(isinstance(one, Listed) for one in outcomes[: n + 1])
