"""Checks of options: what cannot work is refused where it is written, and named."""

from fractions import Fraction

import attrs
import pytest

from discovery import ConfigurationError
from discovery.checks import number, seconds, text, whole


@attrs.frozen(kw_only=True)
class Options:
    limit: float = attrs.field(default=1.0, validator=seconds())
    pause: float | None = attrs.field(default=None, validator=seconds(optional=True))
    times: int = attrs.field(default=3, validator=whole(least=2))


@pytest.mark.parametrize("value", [1, 0.001, 1e300, 10**300])
def test_any_finite_number_above_0_is_a_number_of_seconds(value: float) -> None:
    assert Options(limit=value, pause=value) == Options(pause=value, limit=value)


NO_SECONDS = [0, 0.0, -1, float("nan"), float("inf"), 10**400, True, "1", None, (), Fraction(1, 2), 1j]


@pytest.mark.parametrize("value", NO_SECONDS, ids=repr)
def test_nothing_else_is_a_number_of_seconds(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^limit='.*' is not a number of seconds above 0$"):
        Options(limit=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [value for value in NO_SECONDS if value is not None], ids=repr)
def test_where_it_may_be_left_out_none_is_the_only_other_value(value: object) -> None:
    assert Options(pause=None).pause is None
    with pytest.raises(ConfigurationError, match=r"^pause='.*' is not a number of seconds above 0, or None$"):
        Options(pause=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [2, 3, 10**30])
def test_a_whole_number_of_at_least_so_many_is_taken(value: int) -> None:
    assert Options(times=value).times == value


@pytest.mark.parametrize("value", [1, 0, -5, 2.0, 2.5, True, "2", None, float("nan")], ids=repr)
def test_no_other_number_is_taken_for_a_whole_one(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^times='.*' is not a whole number of at least 2$"):
        Options(times=value)  # type: ignore[arg-type]


def test_what_is_quoted_of_a_wrong_value_is_short_and_printable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Options(limit="\x1b[31m" + "x" * 9999)  # type: ignore[arg-type]
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@attrs.frozen(kw_only=True)
class Shares:
    part: float = attrs.field(default=0.5, validator=number(above=0, most=1))
    times: float = attrs.field(default=4.0, validator=number(least=1))
    some: int | None = attrs.field(default=None, validator=whole(least=1, optional=True))
    name: str | None = attrs.field(default=None, validator=text(optional=True))


@pytest.mark.parametrize(("part", "times"), [(1, 1), (5e-324, 1e308), (0.5, 10**300)])
def test_a_finite_number_within_its_bounds_is_taken(part: float, times: float) -> None:
    assert Shares(part=part, times=times) == Shares(times=times, part=part)


@pytest.mark.parametrize("value", [0, -1, 1.01, float("nan"), float("inf"), True, "1", None, 1j], ids=repr)
def test_a_number_out_of_its_bounds_is_refused_with_the_bounds(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^part=.* is not a finite number above 0 and at most 1$"):
        Shares(part=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.99, -(10**400), float("nan"), float("inf"), 10**400, None], ids=repr)
def test_a_number_below_its_least_is_refused_with_the_least(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^times=.* is not a finite number of at least 1$"):
        Shares(times=value)  # type: ignore[arg-type]


def test_what_may_be_left_out_may_be_none_and_nothing_else_besides() -> None:
    assert (Shares(some=3, name="a").some, Shares().some, Shares().name) == (3, None, None)
    with pytest.raises(ConfigurationError, match=r"^some='0' is not a whole number of at least 1, or None$"):
        Shares(some=0)
    with pytest.raises(ConfigurationError, match=r"^name='' is no text of at least one character, or None$"):
        Shares(name="")
