"""The parts of the simulated Consul server that can be looked at alone."""

import string
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.testing.consul import durations
from discovery.testing.consul.acl import ANONYMOUS, Access, Rules
from discovery.testing.consul.filters import SERVICE, compiled
from discovery.testing.consul.refusals import Refused, quoted
from discovery.testing.consul.tables import Table

# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("0", 0), ("15s", 15), ("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25), (".5m", 30), ("1m1s1ms", 61.001)],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize("text", ["15", "s", "1 s", "1d", "-1s", "1s2", "x1s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert durations.seconds(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (15, "15s"), (90, "1m30s"), (86400, "24h0m0s"), (3601.5, "1h0m1.5s"), (0.25, "250ms"), (2e-6, "2µs")],
)
def test_a_duration_is_written_as_go_writes_it(seconds: float, text: str) -> None:
    assert durations.written(seconds) == text


@given(st.integers(0, 10**15))
def test_what_is_written_is_read_the_same(nanoseconds: int) -> None:
    nanoseconds = nanoseconds // 1000 * 1000
    assert durations.nanoseconds(durations.written(nanoseconds / 10**9)) == pytest.approx(nanoseconds, rel=1e-9)


# Words


@pytest.mark.parametrize(("text", "go"), [("a", '"a"'), ('"', r'"\""'), ("a\\b\n", r'"a\\b\n"'), ("é", '"é"')])
def test_text_is_quoted_as_go_quotes_it(text: str, go: str) -> None:
    assert quoted(text) == go


# Filters

ROW = {"ID": "web-1", "Service": "web", "Port": 80, "Tags": ["v1", "a b"], "Meta": {"k": "v", "x": "é"}, "Kind": ""}


@pytest.mark.parametrize(
    "expression",
    [
        'ID == "web-1"',
        "ID == `web-1`",
        "ID==web-1",
        'ID != "web-2"',
        "Meta.k == v and Port == 80",
        'Meta["x"] == "é"',
        '"a b" in Tags',
        "v1 in Tags",
        "v2 not in Tags",
        "k in Meta",
        'Meta contains "k"',
        "Tags is not empty",
        "Kind is empty",
        "Address is empty",
        "EnableTagOverride is empty or Port == 80",
        'ID matches "^web-[0-9]+$"',
        'ID not matches "^x"',
        "not ID == x and (ID == y or not Port == 81)",
        "Meta.none != v",
    ],
)
def test_an_expression_holds(expression: str) -> None:
    assert compiled(expression, SERVICE)(ROW)


@pytest.mark.parametrize(
    "expression",
    [
        "ID == x",
        "Meta.none == v",
        "v2 in Tags",
        "not (ID == web-1)",
        "Tags is empty",
        "Port != 80",
        "Tags not contains v1",
    ],
)
def test_an_expression_does_not_hold(expression: str) -> None:
    assert not compiled(expression, SERVICE)(ROW)


@pytest.mark.parametrize(
    "expression",
    [
        "ID",
        "ID =",
        "ID == ",
        "(ID == x",
        "ID == x)",
        "ID == x and",
        '"x"',
        "ID is nothing",
        '"x" in',
        "ID == [",
        "ID ; x",
    ],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(Refused, match="Failed to create boolean expression evaluator"):
        compiled(expression, SERVICE)


def test_a_selector_that_no_row_has_is_refused() -> None:
    with pytest.raises(Refused, match=r'Selector "Nope.x" is not valid'):
        compiled("Nope.x == 1", SERVICE)


# Rules


@given(
    st.dictionaries(st.text("ab", max_size=3), st.sampled_from(["read", "write", "deny"])),
    st.text("ab", max_size=4),
)
def test_the_longest_prefix_alone_decides(rules: dict[str, Any], name: str) -> None:
    fitting = sorted((prefix for prefix in rules if name.startswith(prefix)), key=len)
    level = rules[fitting[-1]] if fitting else "deny"
    access = Rules(service=rules)
    assert access.allow("service", name, "write") == (level == "write")
    assert access.allow("service", name, "read") == (level in ("read", "write"))


def test_a_service_that_is_denied_to_all_may_still_be_read() -> None:
    access = Access(ANONYMOUS, Rules(service={"": "write"}), frozenset({"web"}))
    assert [access.allows("service", "web", level) for level in ("read", "write")] == [True, False]
    with pytest.raises(Refused) as refused:
        access.demand("service", "web", "write")
    assert refused.value.code == 403


# Tables

Writes = Sequence[tuple[str, str | None]]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*"xy", None]))))
def test_an_index_has_the_keys_of_exactly_the_rows_with_its_value(writes: Writes) -> None:
    journal: list[Any] = []
    table: Table[str, str] = Table("t", journal, letter=lambda _, row: row)
    expected: dict[str, str] = {}
    for key, row in writes:
        if row is None:
            table.drop(key)
            expected.pop(key, None)
        else:
            table.put(key, row)
            expected[key] = row
    assert table.rows == expected
    assert table.all() == [expected[key] for key in sorted(expected)]
    for letter in string.ascii_lowercase:
        assert table.keys_by("letter", letter) == sorted(key for key, row in expected.items() if row == letter)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*"xy", None]))))
def test_a_journal_played_backwards_undoes_everything(writes: Writes) -> None:
    journal: list[Any] = []
    table: Table[str, str] = Table("t", journal, letter=lambda _, row: row)
    table.put("a", "x")
    journal.clear()
    for key, row in writes:
        if row is None:
            table.drop(key)
        else:
            table.put(key, row)
    for changed, key, before in reversed(journal):
        changed.set(key, before)
    assert table.rows == {"a": "x"}
    assert table.keys_by("letter", "x") == ["a"]
    assert table.keys_by("letter", "y") == []
