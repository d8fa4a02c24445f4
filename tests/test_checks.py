"""Checks of options: what cannot work is refused where it is written, and named."""

from fractions import Fraction

import attrs
import pytest

from discovery import ConfigurationError
from discovery.checks import seconds, whole


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
