"""Endpoints stay in their slices: a change of one rewrites one, and slices never overflow or lie empty."""

from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.inbound.placement import MOST, place


def named(number: int) -> str:
    return f"new-{number}"


def many(count: int, start: int = 0) -> list[str]:
    return [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(start, start + count)]


def test_a_slice_takes_a_hundred_and_then_another_is_begun() -> None:
    placed = place(many(250), {}, named)
    assert {name: len(found) for name, found in placed.items()} == {"new-0": 100, "new-1": 100, "new-2": 50}


def test_one_endpoint_more_or_less_changes_one_slice() -> None:
    before = place(many(250), {}, named)
    more = place(many(251), before, named)
    assert [name for name in more if more[name] != before.get(name)] == ["new-2"]
    fewer = place([one for one in many(250) if one != before["new-0"][0]], before, named)
    assert [name for name in before if fewer[name] != before[name]] == ["new-0"]


def test_a_place_that_became_free_is_filled_before_a_slice_is_begun() -> None:
    before = place(many(200), {}, named)
    wanted = [*before["new-0"][1:], *before["new-1"], "10.9.9.9"]
    after = place(wanted, before, named)
    assert after.keys() == before.keys()
    assert "10.9.9.9" in after["new-0"]


def test_an_address_in_two_slices_stays_in_one() -> None:
    assert place(["10.0.0.1"], {"a": ["10.0.0.1"], "b": ["10.0.0.1", "10.0.0.2"]}, named) == {"a": ["10.0.0.1"]}


def test_slices_that_are_mostly_air_are_put_together() -> None:
    before = place(many(500), {}, named)
    left = [found[0] for found in before.values()]
    assert place(left, before, named) == {"new-0": sorted(left)}


def test_a_name_that_is_taken_is_not_used_again() -> None:
    placed = place(many(101), {"new-0": many(100)}, named)
    assert {name: len(found) for name, found in placed.items()} == {"new-0": 100, "new-1": 1}


def test_nothing_wanted_is_no_slice() -> None:
    assert place([], {"a": ["10.0.0.1"]}, named) == {}


HELD = st.dictionaries(st.sampled_from(["a", "b", "new-0"]), st.lists(st.integers(0, 400), max_size=130))


@given(st.sets(st.integers(0, 400)), HELD)
def test_whatever_there_was_every_address_is_in_exactly_one_slice_and_a_second_time_nothing_moves(
    numbers: set[int], before: dict[str, list[int]]
) -> None:
    wanted = {many(1, number)[0] for number in numbers}
    held = {name: [many(1, n)[0] for n in found] for name, found in before.items()}
    placed = place(wanted, held, named)
    everything = [address for found in placed.values() for address in found]
    assert sorted(everything) == sorted(wanted)
    assert all(0 < len(found) <= MOST for found in placed.values())
    assert place(wanted, placed, named) == placed
