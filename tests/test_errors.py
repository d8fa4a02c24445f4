"""One tree of errors: as it is drawn, with the next step, and with nothing in it that a terminal would obey."""

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import errors
from discovery.cli.codes import code_of
from discovery.errors import (
    LONGEST_QUOTE,
    AccessDenied,
    ApiUnavailable,
    DeadlineExceeded,
    DiscoveryError,
    InvalidTarget,
    PortNotFound,
    RetriesExhausted,
    quote,
)

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DiscoveryError)]


def drawn() -> dict[str, str]:
    """Each error of the drawing, and the one above it."""
    above, parents = ["DiscoveryError"], dict[str, str]()
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"([│ ]*)[├└]── (\w+)", line)
        if branch:
            depth = len(branch[1]) // 4
            parents[branch[2]] = above[depth]
            above[depth + 1 :] = [branch[2]]
    return parents


def test_the_tree_is_as_it_is_drawn() -> None:
    assert drawn() == {kind.__name__: kind.__mro__[1].__name__ for kind in TREE if kind is not DiscoveryError}


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not AccessDenied])
def test_the_next_step_ends_the_message_and_can_be_read_apart(kind: type[DiscoveryError]) -> None:
    error = kind("it went wrong", next_step="Look there")
    assert (str(error), error.next_step) == ("it went wrong. Look there", "Look there")
    assert (str(kind("it went wrong")), kind("it went wrong").next_step) == ("it went wrong", "")


def test_an_error_can_be_caught_as_what_python_calls_it() -> None:
    assert issubclass(InvalidTarget, ValueError)
    assert issubclass(DeadlineExceeded, TimeoutError)


def test_a_denial_says_what_would_allow_it() -> None:
    error = AccessDenied("no", verb="list", resource="services", namespace="shop", rule="{verbs: [list]}")
    assert (error.verb, error.resource, error.namespace) == ("list", "services", "shop")
    assert str(error) == f"no. {error.next_step}"
    assert "Role that holds {verbs: [list]}" in str(error)


def test_what_an_error_is_about_can_be_read_apart() -> None:
    assert InvalidTarget("no", part="web").part == "web"
    assert PortNotFound("no", ports=["http", "grpc"]).ports == ("http", "grpc")
    busy = ApiUnavailable("no", status=429, retry_after=7.0, reason="TooManyRequests")
    assert (busy.status, busy.retry_after, busy.reason) == (429, 7.0, "TooManyRequests")
    assert RetriesExhausted("no", attempts=3).attempts == 3


def test_every_error_has_an_exit_code_and_only_an_empty_pool_is_1() -> None:
    codes = {kind: code_of(kind.__new__(kind)) for kind in TREE}
    assert set(codes.values()) == {1, 2, 3, 4, 5}
    assert [kind.__name__ for kind, code in codes.items() if code == 1] == ["NoBackends"]
    assert codes[errors.NoEndpoints] == codes[errors.ServiceNotFound] == 5


@given(st.text(max_size=3 * LONGEST_QUOTE))
def test_whatever_is_quoted_is_one_short_printable_line_that_begins_as_the_text_does(text: str) -> None:
    quoted = quote(text)
    assert quoted.isprintable()
    assert len(quoted) <= 10 * LONGEST_QUOTE + 2
    shown = quoted[1:-1].removesuffix("…")
    assert repr(text)[1:].startswith(shown) or repr(text[: LONGEST_QUOTE - 1])[1:-1] == shown


def test_a_quote_is_whole_up_to_its_limit_and_shows_where_it_was_cut() -> None:
    assert quote("x" * LONGEST_QUOTE) == repr("x" * LONGEST_QUOTE)
    assert quote("x" * (LONGEST_QUOTE + 1)) == repr("x" * (LONGEST_QUOTE - 1) + "…")
    assert quote("abcdef", 3) == "'ab…'"
    assert quote(5) == "'5'"


@pytest.mark.parametrize(
    ("reason", "code"), [("no-such-name", 5), ("no-data", 5), ("server-failure", 3), ("timeout", 3), ("unusable", 3)]
)
def test_a_name_that_is_not_there_ends_a_command_otherwise_than_a_server_that_is_not(reason: str, code: int) -> None:
    assert code_of(errors.ResolutionError("x", reason=reason)) == code
