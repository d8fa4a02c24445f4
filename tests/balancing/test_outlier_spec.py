"""What is said of outlier detection is checked where it is said."""

import math
from typing import Any

import pytest

from discovery.balancing.outlier import OutlierDetection
from discovery.errors import ConfigurationError

NO_NUMBERS = [math.nan, math.inf, -1, True, "5"]


@pytest.mark.parametrize(
    "name", ["failure_percentage", "success_rate_stdev", "interval", "ejection", "longest_ejection", "max_ejected"]
)
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_sensible_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        OutlierDetection(**{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "consecutive_failures",
        "failure_percentage_hosts",
        "failure_percentage_volume",
        "success_rate_hosts",
        "success_rate_volume",
    ],
)
@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 2.5])
def test_a_count_is_a_whole_number_from_one_on(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        OutlierDetection(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("max_ejected", 1.01), ("panic_threshold", 50), ("failure_percentage", 101)]
)
def test_a_share_of_more_than_all_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        OutlierDetection(**{name: value})


@pytest.mark.parametrize("name", ["interval", "ejection", "longest_ejection"])
def test_no_time_at_all_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        OutlierDetection(**{name: 0})


def test_detection_that_looks_at_nothing_is_refused_and_the_way_out_named() -> None:
    with pytest.raises(ConfigurationError, match="outlier=None"):
        OutlierDetection(consecutive_failures=None, failure_percentage=None, success_rate_stdev=None)


def test_it_is_a_frozen_value_that_pools_can_share() -> None:
    assert OutlierDetection() == OutlierDetection()
    assert hash(OutlierDetection(interval=5)) == hash(OutlierDetection(interval=5))
    assert OutlierDetection(interval=5) != OutlierDetection()
    with pytest.raises(AttributeError):
        OutlierDetection().interval = 5.0  # type: ignore[misc]


def test_the_nth_ejection_lasts_n_times_as_long_up_to_the_longest() -> None:
    spec = OutlierDetection()
    assert [spec.lasts(times) for times in (1, 2, 3, 10, 11, 10**9)] == [30, 60, 90, 300, 300, 300]


def test_a_base_above_the_longest_is_the_longest() -> None:
    """Envoy and gRPC: max(longest, base)."""
    assert OutlierDetection(ejection=600).lasts(3) == 600
