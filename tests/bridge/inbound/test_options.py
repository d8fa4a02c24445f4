"""An import that cannot work does not start, and says what to write."""

from typing import Any

import attrs
import pytest

from discovery import ConfigurationError
from discovery.bridge.inbound.options import ImportOptions

from .scene import OPTIONS


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": ""},
        {"owner": "Prod"},
        {"owner": "a--b"},
        {"namespace": "No_Such"},
        {"namespace": None},
        {"services": ()},
        {"services": ("",)},
        {"services": ("a\nb",)},
        {"tags": (" ",)},
        {"prefix": "-x"},
        {"prefix": "1x"},
        {"prefix": "Übel"},
        {"warning": "maybe"},
        {"debounce": 0},
        {"repair": -1.0},
        {"confirm_after": float("nan")},
        {"max_deletes": -1},
        {"max_delete_percent": 101},
    ],
)
def test_what_cannot_work_is_said_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        attrs.evolve(OPTIONS, **wrong)


def test_names_are_patterns_of_a_shell_and_case_counts() -> None:
    options = ImportOptions(owner="a", namespace="shop", services=["db-*", "web"])
    assert [name for name in ("db-1", "web", "web-2", "DB-1", "db") if options.wants(name)] == ["db-1", "web"]


def test_one_pattern_may_be_given_as_a_text() -> None:
    assert ImportOptions(owner="a", namespace="shop", services="db").services == ("db",)


def test_consuls_own_servers_are_imported_only_by_their_exact_name() -> None:
    assert not OPTIONS.wants("consul")
    assert not attrs.evolve(OPTIONS, services=("c*", "consu?")).wants("consul")
    assert attrs.evolve(OPTIONS, services=("consul",)).wants("consul")


def test_a_service_none_of_whose_instances_can_have_the_tags_is_not_wanted() -> None:
    options = attrs.evolve(OPTIONS, tags=("v2",))
    assert options.wants("db", ("v1", "v2"))
    assert not options.wants("db", ("v1",))


@pytest.mark.parametrize(("owned", "most"), [(0, 10), (50, 10), (100, 20), (150, 30)])
def test_a_pass_may_delete_ten_or_a_fifth_whichever_is_more(owned: int, most: int) -> None:
    assert OPTIONS.may_delete(owned) == most
