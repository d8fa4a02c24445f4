"""What goes into a file is safe whatever a cluster said, and weights mean what they meant."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import Backend, PodRef
from discovery.rendering.filters import as_json, name_of, usable, weighted, word

SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")

weights = st.lists(st.one_of(st.just(0.0), st.floats(0.001, 1e6), st.integers(0, 300).map(float)), max_size=20)


def at(number: int, **more: Any) -> Backend:
    return Backend(address=f"10.0.0.{number}", port=80, **more)


def weights_of(*given: float, most: int = 256) -> list[int]:
    backends = [at(number, weight=weight) for number, weight in enumerate(given)]
    return [weight for _, weight in weighted(backends, most)]


@given(st.text())
def test_a_word_is_as_long_as_the_text_and_holds_nothing_that_ends_it(text: str) -> None:
    made = word(text)
    assert len(made) == len(text)
    assert set(made) <= SAFE


@given(st.text(alphabet=sorted(SAFE)))
def test_a_text_that_is_a_word_already_stays(text: str) -> None:
    assert word(text) == text


@given(st.text())
def test_json_is_one_line_of_ascii_that_reads_as_what_it_was(text: str) -> None:
    made = as_json({"label": text})
    assert made.isascii()
    assert made.isprintable()
    assert json.loads(made) == {"label": text}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("node-port://shop/web:http", "shop-web-http"),
        ("node-port://shop/web?family=ipv4", "shop-web"),
        ("static://[fd00::1]:80,b:81", "fd00-1-80-b-81"),
        ("dns://web.example:80", "web.example-80"),
        ("<my resolver>", "my-resolver"),
        ("\n", "backends"),
        ("", "backends"),
    ],
)
def test_a_target_is_called_by_its_place(target: str, name: str) -> None:
    assert name_of(target) == name


@given(st.text())
def test_whatever_a_target_is_its_name_is_a_word(target: str) -> None:
    assert name_of(target)
    assert set(name_of(target)) <= SAFE - {":"}


# Places


@pytest.mark.parametrize(
    "address",
    [
        "",
        "10.0.0.1\nevil",
        "a b",
        'a"b',
        "a'b",
        "a;b",
        "a}b",
        "a#b",
        "[::1]",
        "ä",
        ":",
        "1.2.3",
        "010.0.0.1",
        "fe80::1%eth0",
        "-a",
        "a..b",
        ".",
        "a" * 64,
        "lb.example\n",
    ],
)
def test_what_is_no_address_is_left_out(address: str) -> None:
    assert usable([Backend(address=address, port=80), at(1)]) == [at(1)]


@pytest.mark.parametrize(
    "address", ["10.0.0.2", "2001:db8::1", "::1", "localhost", "lb.example.com", "a_b-1.x.", "0.a"]
)
def test_what_is_an_address_or_a_host_name_stays(address: str) -> None:
    assert usable([Backend(address=address, port=80)]) == [Backend(address=address, port=80)]


def test_two_pods_at_one_place_are_one_server_and_the_ready_one_speaks_for_it() -> None:
    old = at(1, ready=False, node="old", pod=PodRef(namespace="shop", name="old", uid="a"))
    new = at(1, node="new", pod=PodRef(namespace="shop", name="new", uid="b"))
    assert usable([old, new]) == usable([new, old]) == [new]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), max_size=20), st.randoms())
def test_the_order_in_which_backends_come_means_nothing(places: list[tuple[int, int]], rng: random.Random) -> None:
    backends = [Backend(address=f"10.0.0.{number}", port=port) for number, port in places]
    before = usable(backends)
    rng.shuffle(backends)
    assert usable(backends) == before
    assert len({one.netloc for one in before}) == len(before) == len(set(places))


# Weights


def test_whole_weights_stay_so_that_one_more_changes_no_other_line() -> None:
    assert weights_of(1, 1, 1) == [1, 1, 1]
    assert weights_of(1, 5, 256, 0) == [1, 5, 256, 0]


def test_other_weights_are_parts_of_the_largest() -> None:
    assert weights_of(0.5, 1.0) == [128, 256]
    assert weights_of(1000.0, 250.0, 1.0, 0.0) == [256, 64, 1, 0]
    assert weights_of(0.5, 1.0, most=10) == [5, 10]


def test_where_all_are_0_all_are_served() -> None:
    assert weights_of(0, 0) == [1, 1]
    assert weights_of() == []


@given(weights)
def test_a_weight_is_in_range_and_is_0_only_where_it_was_and_keeps_its_rank(given: list[float]) -> None:
    made = weights_of(*given)
    assert all(0 <= weight <= 256 for weight in made)
    if any(given):
        assert [weight == 0 for weight in made] == [weight == 0 for weight in given]
        ranked = [weight for _, weight in sorted(zip(given, made, strict=True))]
        assert ranked == sorted(ranked)
