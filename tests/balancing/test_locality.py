"""The own zone first: as much of the load as it bears, never at the price of overload, never nothing at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import ConfigurationError
from discovery.balancing import Node
from discovery.balancing.locality import LocalityAware, local_share, spills
from discovery.model import Backend


def busy(in_flight: int, weight: float = 1.0) -> Node:
    node = Node(Backend(address="10.0.0.1", port=80, weight=weight))
    node.in_flight = in_flight
    return node


@pytest.mark.parametrize(
    ("zones", "share"),
    [
        ({"a": 3, "b": 3, "c": 3}, 1.0),
        ({"a": 4, "b": 2}, 1.0),
        ({"a": 1, "b": 9}, 0.2),
        ({"a": 1, "b": 4, "c": 5}, 0.3),
        ({"a": 5}, 1.0),
        ({"a": 5, "b": 0}, 1.0),
        ({"b": 5}, 0.0),
        ({"a": 0, "b": 5}, 0.0),
        ({}, 0.0),
    ],
    ids=str,
)
def test_a_zone_keeps_what_its_backends_bear(zones: dict[str, int], share: float) -> None:
    assert local_share(zones, "a") == pytest.approx(share)


def test_envoys_example_of_zone_aware_routing() -> None:
    """10 % of the backends where 20 % of the load comes from: half of it stays."""
    assert local_share({"a": 1, "b": 2, "c": 2, "d": 2, "e": 3}, "a") == pytest.approx(0.5)


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 50), min_size=1))
def test_no_backend_gets_more_than_if_zones_were_not_looked_at_where_its_zone_has_too_few(
    zones: dict[str, int],
) -> None:
    """Load of the clients of a zone that stays there, beside the zone's fair share of all load."""
    inhabited = {zone: count for zone, count in zones.items() if count}
    total = sum(inhabited.values())
    for zone, count in inhabited.items():
        stays = local_share(zones, zone) / len(inhabited)
        assert stays <= count / total + 1e-12 or local_share(zones, zone) == 1.0
        assert stays <= max(count / total, 1 / len(inhabited)) + 1e-12
        assert 0 < local_share(zones, zone) <= 1


def test_an_idle_backend_here_is_never_left() -> None:
    assert not any(spills(busy(0), busy(there), 1.0) for there in range(10))


def test_a_backend_here_is_left_once_it_is_so_many_times_as_busy() -> None:
    assert [spills(busy(here), busy(0), 4.0) for here in range(6)] == [False] * 4 + [True] * 2
    assert [spills(busy(here), busy(1), 4.0) for here in range(6, 10)] == [False, False, True, True]


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(1, 100))
def test_no_request_leaves_for_a_busier_one(here: int, there: int, spill: float) -> None:
    if there >= here:
        assert not spills(busy(here), busy(there), spill)


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(1, 100))
def test_a_request_that_would_leave_would_not_come_back(here: int, there: int, spill: float) -> None:
    if spills(busy(here), busy(there), spill):
        assert not spills(busy(there), busy(here), spill)


def test_how_busy_a_backend_is_goes_by_its_weight() -> None:
    assert not spills(busy(30, weight=10), busy(0), 4.0)
    assert spills(busy(7), busy(0, weight=1), 4.0)
    assert not spills(busy(7), busy(0, weight=0.5), 4.0)


def test_the_policy_is_a_frozen_value() -> None:
    assert LocalityAware() == LocalityAware(zone=None, spill=4.0)
    assert hash(LocalityAware(zone="a")) == hash(LocalityAware(zone="a"))
    with pytest.raises(AttributeError):
        LocalityAware().spill = 3.0  # type: ignore[misc]


@pytest.mark.parametrize("spill", [0.99, 0, -1, float("nan"), float("inf"), True, "4", None], ids=repr)
def test_a_spill_below_one_is_refused(spill: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^spill='.*' is not a finite number of at least 1$"):
        LocalityAware(spill=spill)  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", ["", 7, b"a"], ids=repr)
def test_a_zone_that_is_no_name_is_refused(zone: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^zone=.* is no text of at least one character, or None$"):
        LocalityAware(zone=zone)  # type: ignore[arg-type]


def test_where_no_backend_has_any_weight_a_busy_one_here_is_left_all_the_same() -> None:
    here, elsewhere = (Node(Backend(address=zone, port=80, weight=0)) for zone in "ab")
    here.in_flight = 4
    assert spills(here, elsewhere, 4)
    assert not spills(here, elsewhere, 5)
