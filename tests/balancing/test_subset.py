"""A client's subset: the same for good, hardly moved by a change, and even over many clients."""

import subprocess
import sys
from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import ConfigurationError
from discovery.balancing import Node
from discovery.balancing.subset import Chosen, Subset, score, seed_of
from discovery.model import Backend, PodRef


def node(number: int, uid: str = "") -> Node:
    pod = PodRef(namespace="default", name=f"web-{number}", uid=uid) if uid else None
    return Node(Backend(address=f"10.0.{number >> 8}.{number & 255}", port=80, pod=pod))


def addresses(nodes: list[Node]) -> set[str]:
    return {node.backend.netloc for node in nodes}


def test_names_are_hashed_as_envoy_and_grpc_hash_them() -> None:
    """Vectors of Envoy's hash_test.cc."""
    assert score("foo", 0) == 3728699739546630719
    assert score("", 0) == 17241709254077376921
    assert score("bar", seed_of("foo")) == 17745830980996999794


def test_the_order_is_that_of_grfc_a68() -> None:
    """Of bare addresses, as the gRFC's text has it; grpc-go hashes a Go struct's text in their place."""
    names = [f"endpoint-{number}" for number in range(10)]
    assert sorted(names, key=lambda name: score(name, 0))[:5] == [f"endpoint-{number}" for number in (1, 3, 5, 2, 8)]


CHANGES = st.lists(st.tuples(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40))), max_size=30)


@given(st.integers(1, 12), st.integers(0, 2**64 - 1), CHANGES)
def test_any_order_of_changes_ends_in_what_one_look_at_all_finds(
    size: int, seed: int, changes: list[tuple[set[int], set[int]]]
) -> None:
    pods = [node(number) for number in range(41)]
    everybody: list[Node] = []
    live = Chosen(size, seed, everybody)
    members = live.nodes
    for coming, going in changes:
        entered = [pods[number] for number in coming if pods[number] not in everybody]
        left = [pods[number] for number in going - coming if pods[number] in everybody]
        everybody[:] = [one for one in everybody if one not in left] + entered
        before = set(members)
        came, went = live.update(entered, left)
        assert set(members) == set(Chosen(size, seed, everybody).nodes)
        assert members is live.nodes
        assert len(members) == len(set(members)) == min(size, len(everybody))
        assert set(came) == set(members) - before
        assert set(went) == before - set(members)


@given(st.integers(1, 12), st.integers(0, 30))
def test_the_order_in_which_backends_are_told_means_nothing(size: int, count: int) -> None:
    pods = [node(number) for number in range(count)]
    chosen = set(Chosen(size, 7, pods).nodes)
    for start in range(count):
        turned = pods[start:] + pods[:start]
        assert set(Chosen(size, 7, turned).nodes) == chosen


@given(st.integers(1, 20), st.integers(1, 60), st.text(min_size=1))
def test_one_backend_more_or_less_changes_at_most_one_member(size: int, count: int, client: str) -> None:
    pods = [node(number) for number in range(count)]
    everybody = pods[:-1]
    live = Chosen(size, seed_of(client), everybody)
    for step in (everybody.append, everybody.remove):
        step(pods[-1])
        came, went = live.update(*([pods[-1]], []) if step == everybody.append else ([], [pods[-1]]))
        assert len(came) <= 1
        assert len(went) <= 1


def test_at_or_below_the_size_all_are_members() -> None:
    pods = [node(number) for number in range(100)]
    assert set(Chosen(100, 1, pods).nodes) == set(pods)
    assert set(Chosen(1000, 1, pods).nodes) == set(pods)
    assert Chosen(100, 1, []).nodes == []


def test_a_new_pod_on_an_old_address_takes_the_old_ones_place() -> None:
    """Its rank is its address's, so a StatefulSet's pods that come back do not move others."""
    pods = [node(number, uid="old") for number in range(50)]
    live = Chosen(10, 3, pods)
    gone = live.nodes[0]
    heir = node(pods.index(gone), uid="new")
    pods[pods.index(gone)] = heir
    assert live.update([heir], [gone]) == ([heir], [gone])
    assert len(live.nodes) == 10


def test_two_pods_on_one_address_are_two_members() -> None:
    """For a moment, while one takes over from the other."""
    old, new = node(1, uid="old"), node(1, uid="new")
    everybody = [old]
    live = Chosen(5, 3, everybody)
    everybody.append(new)
    assert live.update([new], []) == ([new], [])
    everybody.remove(old)
    assert live.update([], [old]) == ([], [old])
    assert live.nodes == [new]


def test_what_is_known_or_unknown_already_changes_nothing() -> None:
    pods = [node(number) for number in range(30)]
    live = Chosen(10, 3, pods)
    assert live.update(pods, [node(99)]) == ([], [])
    assert len(live.nodes) == 10


def test_a_departure_costs_one_comparison_of_places_and_not_a_look_at_all() -> None:
    """Everybody is looked at once for each `size` departures from the reserve, not once for each change."""

    class Watched(list[Node]):
        looks = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            self.looks += 1
            return super().__iter__()

    pods = Watched(node(number) for number in range(1000))
    live = Chosen(50, 3, pods)
    for _ in range(900):
        gone = pods.pop()
        live.update([], [gone])
    assert 1 < pods.looks <= 1 + 1 + 100 * 10 // 50


def test_every_process_finds_the_same_subset() -> None:
    """Python's own hash() differs from one process to the next."""
    code = (
        "from tests.balancing.test_subset import *;"
        "print(*sorted(addresses(Chosen(5, seed_of('web-1'), [node(n) for n in range(50)]).nodes)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True
        ).stdout
        for salt in ("1", "2")
    }
    here = Chosen(5, seed_of("web-1"), [node(number) for number in range(50)])
    assert said == {" ".join(sorted(addresses(here.nodes))) + "\n"}


def test_a_client_without_a_name_is_its_host_and_process() -> None:
    code = "from discovery.balancing.subset import Subset; print(Subset().identity)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other != Subset().identity
    assert other.partition("/")[0] == Subset().identity.partition("/")[0]
    assert Subset(client="web-1").identity == "web-1"


@pytest.mark.parametrize(("size", "least", "most"), [(90, 58, 122), (30, 9, 51)])
def test_clients_load_backends_as_random_subsets_do(size: int, least: int, most: int) -> None:
    """SRE book, chapter 20: 300 clients of 300 backends; 57 to 109 (90 each) and 15 to 45 (30 each) in one draw.

    These bounds leave four standard deviations of the binomial.
    """
    pods = [node(number) for number in range(300)]
    uses = Counter(one for client in range(300) for one in Chosen(size, seed_of(f"client-{client}"), pods).nodes)
    assert mean(uses.values()) == size
    assert len(uses) == 300
    assert least <= min(uses.values()) < size < max(uses.values()) <= most


def test_the_policy_is_a_frozen_value() -> None:
    assert Subset() == Subset(size=100)
    assert hash(Subset(size=5, client="a")) == hash(Subset(size=5, client="a"))
    assert Subset(size=None).size is None
    with pytest.raises(AttributeError):
        Subset().size = 3  # type: ignore[misc]


@pytest.mark.parametrize("size", [0, -1, 1.5, float("nan"), True, "100"], ids=repr)
def test_a_size_that_is_no_number_of_backends_is_refused(size: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^size='.*' is not a whole number of at least 1, or None$"):
        Subset(size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize("client", ["", 7, b"web"], ids=repr)
def test_a_client_that_is_no_text_is_refused(client: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^client=.* is no text of at least one character, or None$"):
        Subset(client=client)  # type: ignore[arg-type]
