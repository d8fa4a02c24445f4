"""What an answer means: clocks, tokens, versions, places."""

import base64
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.doctor import judging
from discovery.doctor.judging import Claims
from discovery.model import Backend

NOW = 1_800_000_000.0
DELAYS = st.floats(0, 5)


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"Bearer e30.{payload}.c2lnbmF0dXJl"


def date(at: float) -> str:
    """As a server writes it: cut to a second."""
    return format_datetime(datetime.fromtimestamp(int(at), UTC), usegmt=True)


# Clocks


@given(there=DELAYS, back=DELAYS, ahead=st.floats(-1e6, 1e6))
def test_a_skew_is_never_more_than_there_is_and_the_answers_delay_counts_as_none(
    there: float, back: float, ahead: float
) -> None:
    found = judging.skew(date(NOW + there + ahead), NOW, NOW + there + back)
    assert found is not None
    assert abs(found) <= abs(ahead) + 0.001
    assert abs(found) >= abs(ahead) - (there + back) - 1.001
    assert found * ahead >= 0 or found == 0


@pytest.mark.parametrize("text", ["", "soon", "Thu, 99 Nov 2026 06:25:20 GMT", "-", "0"])
def test_a_date_that_is_none_says_nothing(text: str) -> None:
    assert judging.skew(text, NOW, NOW) is None
    assert judging.clock(None).state == "skipped"


@pytest.mark.parametrize(
    ("ahead", "state", "says"),
    [
        (0.0, "ok", "within 1 s"),
        (-4.6, "ok", "within 5 s"),
        (5.1, "warning", "5 s behind"),
        (-7200.0, "warning", "2 h ahead of"),
    ],
)
def test_a_clock_beyond_five_seconds_is_a_warning_in_its_direction(ahead: float, state: str, says: str) -> None:
    found = judging.clock(ahead)
    assert (found.state, says in found.seen) == (state, True), found
    assert bool(found.next_step) is (state == "warning")


# Tokens


def test_a_token_says_who_it_is_and_until_when() -> None:
    said = judging.claims(jwt(sub="system:serviceaccount:shop:web", exp=NOW + 3000, aud=["x"]))
    assert said == Claims("system:serviceaccount:shop:web", NOW + 3000)
    found = judging.token(said, NOW)
    assert (found.state, found.seen) == ("ok", "accepted as 'system:serviceaccount:shop:web', until 50 min from now")


@pytest.mark.parametrize("left", [59.0, 0.0, -3600.0])
def test_a_token_that_ought_to_have_been_renewed_is_a_warning(left: float) -> None:
    found = judging.token(judging.claims(jwt(exp=NOW + left)), NOW)
    assert found.state == "warning"
    assert ("has expired" in found.seen) is (left <= 0)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer opaque", "Bearer a.b.c", "Bearer a.!!.c", "Basic eDp5", jwt(sub=5), jwt(exp="soon")]
)
def test_what_is_no_such_token_says_nothing(header: str | None) -> None:
    assert judging.claims(header) == Claims()
    assert judging.token(Claims(), NOW).seen == "accepted"


@given(st.text())
def test_no_token_is_ever_told_again(text: str) -> None:
    secret = f"{text}-secret"
    assert "-secret" not in judging.token(judging.claims(f"Bearer {secret}"), NOW).seen


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (7300, "2 h"), (-90000, "-1 days")]
)
def test_a_duration_is_told_in_the_largest_unit(seconds: float, text: str) -> None:
    assert judging.duration(seconds) == text


# Versions


@pytest.mark.parametrize(
    ("text", "state"),
    [("v1.31.2", "ok"), ("v1.21.0", "ok"), ("v1.20.15", "warning"), ("v1.30.1+k3s1", "ok"), ("\x1b[2J", "ok")],
)
def test_kubernetes_is_recent_enough_from_1_21_on(text: str, state: str) -> None:
    found = judging.version(text)
    assert found.state == state
    assert found.seen.isprintable()


@pytest.mark.parametrize(
    ("version", "state"), [((1, 14, 0), "ok"), ((1, 22), "ok"), ((1, 13, 9), "warning"), ((2,), "ok")]
)
def test_consul_is_recent_enough_from_1_14_on(version: tuple[int, ...], state: str) -> None:
    assert judging.consul_version(version).state == state


# Places


@pytest.mark.parametrize(
    ("environ", "state", "says"),
    [
        ({}, "warning", "no backend counts as near"),
        ({"NODE_ZONE": "a"}, "warning", "NODE_NAME is not set"),
        ({"NODE_NAME": "n"}, "ok", "the zone is that of any endpoint on it"),
        ({"NODE_NAME": "n", "NODE_ZONE": "a"}, "ok", "the node 'n' in the zone 'a'"),
        ({"NODE_NAME": ""}, "warning", "are not set"),
    ],
)
def test_a_client_in_a_pod_had_better_know_its_node(environ: dict[str, str], state: str, says: str) -> None:
    found = judging.place(environ, inside=True)
    assert (found.state, says in found.seen) == (state, True), found
    assert judging.place(environ, inside=False).state == "skipped"


NODES = st.sampled_from(["", "a", "b", "c", "d"])
BACKENDS = st.lists(st.builds(Backend, address=st.just("10.0.0.1"), port=st.integers(1, 65535), node=NODES))


@given(BACKENDS)
def test_a_few_are_tried_on_as_many_nodes_as_there_are(backends: list[Backend]) -> None:
    few = judging.spread(backends)
    assert len(few) == min(len(backends), judging.MOST_TRIED)
    nodes = {one.node for one in backends} - {""}
    assert len({one.node for one in few} - {""}) >= min(len(nodes), judging.MOST_TRIED)
    assert all(one in backends for one in few)


# Watches


@pytest.mark.parametrize(
    ("opened", "first", "ended", "held_back"),
    [
        (0.01, 0.02, 1.0, False),
        (0.01, None, 1.0, False),  # there is nothing to tell
        (0.01, 0.99, 1.0, True),
        (1.0, None, 1.0, True),
        (1.0, 1.0, 1.0, True),
        (0.01, 0.01, 0.01, False),  # it was cut short
        (0.9, 0.95, 2.0, False),  # far away
    ],
)
def test_a_watch_that_says_nothing_before_its_end_was_held_back(
    opened: float, first: float | None, ended: float, held_back: bool
) -> None:
    assert judging.buffered(opened, first, ended) is held_back
