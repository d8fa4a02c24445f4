"""A new backend's weight: Envoy's formula and vectors, never nothing, and whole from the window's end on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import ConfigurationError
from discovery.balancing.slow_start import SlowStart


@pytest.mark.parametrize(
    ("window", "age", "aggression", "factor"),
    [
        (60, 12, 1.0, 0.2),
        (60, 20, 1.0, 1 / 3),
        (60, 65, 1.0, 1.0),
        (10, 6, 1.0, 0.6),
        (10, 5, 1.0, 0.5),
        (10, 9, 1.5, 0.932),
        (10, 0, 1.0, 0.1),
        (10, 0, 1.5, 0.1),
    ],
)
def test_envoys_vectors(window: float, age: float, aggression: float, factor: float) -> None:
    assert SlowStart(window=window, aggression=aggression).factor(age) == pytest.approx(factor, abs=0.0005)


def test_at_its_very_beginning_the_age_counts_as_a_millisecond() -> None:
    """As in Envoy's code: with the 1 s of its documentation this would be 0.215."""
    assert SlowStart(window=10, aggression=1.5, minimum=1e-9).factor(0) == pytest.approx(0.00215, abs=1e-5)


POLICIES = st.builds(
    SlowStart, window=st.floats(0.001, 1e6), aggression=st.floats(1e-3, 1e3), minimum=st.floats(1e-6, 1)
)


@given(POLICIES, st.floats(-1e6, 1e7))
def test_it_is_never_below_the_minimum_nor_above_the_whole(policy: SlowStart, age: float) -> None:
    assert policy.minimum <= policy.factor(age) <= 1


@given(POLICIES, st.floats(0, 1e7), st.floats(0, 1e7))
def test_the_older_never_weighs_less(policy: SlowStart, one: float, other: float) -> None:
    assert policy.factor(min(one, other)) <= policy.factor(max(one, other))


@given(POLICIES)
def test_it_is_whole_exactly_from_the_windows_end_on(policy: SlowStart) -> None:
    assert policy.factor(policy.window) == policy.factor(policy.window * 2) == 1.0
    assert SlowStart(window=10).factor(9.99) < 1.0


def test_a_clock_that_went_back_gives_the_minimum() -> None:
    assert SlowStart().factor(-5) == 0.1


@given(st.sampled_from([5e-324, 1e-300, 1e300, 10**300]))
def test_an_extreme_aggression_breaks_nothing(aggression: float) -> None:
    assert 0.1 <= SlowStart(aggression=aggression).factor(15) <= 1


def test_the_policy_is_a_frozen_value() -> None:
    assert SlowStart() == SlowStart(window=30.0, aggression=1.0, minimum=0.1)
    assert hash(SlowStart()) == hash(SlowStart(window=30))
    with pytest.raises(AttributeError):
        SlowStart().window = 3.0  # type: ignore[misc]


NO_NUMBER = [0, -1, float("nan"), float("inf"), True, "1", None]


@pytest.mark.parametrize("value", NO_NUMBER, ids=repr)
@pytest.mark.parametrize("option", ["window", "aggression", "minimum"])
def test_what_is_out_of_range_is_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{option}='.*' is not a "):
        SlowStart(**{option: value})  # type: ignore[arg-type]


def test_a_minimum_above_the_whole_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^minimum='1\.1' is not a finite number above 0 and at most 1$"):
        SlowStart(minimum=1.1)
