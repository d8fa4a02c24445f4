"""What a health check may look like, and what the results of one backend come to."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import ConfigurationError
from discovery.resolvers.health import NOT_CHECKED, UNCHECKED, Health, HealthCheck, step

WRONG: dict[str, list[object]] = {
    "path": ["healthz", "", "/with space", "/new\r\nline", "/fragment#x", "/ümlaut", b"/", 1, "http://web/healthz"],
    "interval": [0, -1, float("nan"), float("inf"), "5", None, True],
    "timeout": [0, -1, float("nan"), float("inf"), "1", None, True],
    "healthy": [0, -1, 1.5, "1", None, True],
    "unhealthy": [0, -1, 1.5, "3", None, True],
    "port": [0, -1, 65536, "80", 80.0, True],
    "host": ["", "web:80", "http://web", "a b", "web\r\nX: y", "-", 1],
    "tls": [True, "yes", ssl.SSLContext],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_an_option_that_cannot_be_used_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}=") as caught:
        HealthCheck(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value).isprintable()


def test_every_option_can_be_used_and_equal_checks_are_one_key() -> None:
    tls = ssl.create_default_context()
    one, other = (
        HealthCheck(
            path="/healthz?full=1&x=%20",
            interval=0.5,
            timeout=0.1,
            healthy=2,
            unhealthy=1,
            port=9000,
            host="web.example",
            tls=tls,
        )
        for _ in range(2)
    )
    assert len({one, other, HealthCheck()}) == 2


def after(*results: str | None, spec: HealthCheck | None = None) -> Health:
    health = UNCHECKED
    for error in results:
        health = step(health, error, spec or HealthCheck(healthy=2, unhealthy=3))
    return health


def test_of_a_new_backend_one_result_decides_either_way() -> None:
    assert (UNCHECKED.standing, UNCHECKED.reason) == ("unchecked", NOT_CHECKED)
    assert (after(None).standing, after(None).reason) == ("passing", None)
    assert (after("refused").standing, after("refused").reason) == ("failing", "health check failed: refused")


def test_as_many_failures_in_a_row_as_are_asked_for_take_a_backend_out() -> None:
    assert after(None, "a", "a").standing == "passing"
    assert after(None, "a", "a", None, "a", "a").standing == "passing"
    assert after(None, "a", "a", "b").reason == "health check failed: b (3 times)"


def test_as_many_passes_in_a_row_as_are_asked_for_bring_it_back() -> None:
    assert after("a", None).standing == "failing"
    assert after("a", None).reason == "health check failed: a"
    assert after("a", None, "a", None).standing == "failing"
    assert after(None, "a", "a", "a", None, "a").reason == "health check failed: a", "the row begins anew"
    assert after("a", None, None).standing == "passing"


def test_a_reason_is_another_only_where_the_error_is() -> None:
    down = after(None, "a", "a", "a", "a", "a")
    assert down.reason == "health check failed: a (3 times)"
    assert step(down, "b", HealthCheck()).reason == "health check failed: b (6 times)"


@given(st.lists(st.sampled_from([None, "a", "b"])), st.integers(1, 4), st.integers(1, 4))
def test_the_standing_is_that_of_the_last_long_enough_row(
    results: list[str | None], healthy: int, unhealthy: int
) -> None:
    passed = [error is None for error in results]
    expected: bool | None = None
    for end in range(1, len(passed) + 1):
        row = 1
        while row < end and passed[end - 1 - row] is passed[end - 1]:
            row += 1
        if expected is None or row >= (healthy if passed[end - 1] else unhealthy):
            expected = passed[end - 1]
    standing = {None: "unchecked", True: "passing", False: "failing"}[expected]
    found = after(*results, spec=HealthCheck(healthy=healthy, unhealthy=unhealthy))
    assert (found.standing, found.reason is None) == (standing, standing == "passing")
