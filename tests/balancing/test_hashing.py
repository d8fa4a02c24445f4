"""The hash, and where keys go: the same in every process and whatever the order of the list."""

import os
import random
import subprocess
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Balancer, Maglev, RendezvousHash
from discovery.balancing.hashing import xxh64
from discovery.model import PodRef

from .members import Some, members, node

POLICIES: list[Balancer] = [RendezvousHash(), Maglev(table_size=1021), Maglev(table_size=10007)]
KEYS = [f"user-{number}".encode() for number in range(200)]
PROGRAM = """
from tests.balancing import test_hashing as here
for policy in here.POLICIES:
    print(*here.addresses(policy, here.some_backends()))
"""


def some_backends() -> Some:
    some = members(20)
    some.weigh(*[1.0, 2.0] * 10)
    return some


def addresses(policy: Balancer, some: Some) -> list[str]:
    """Where the keys go, once the table is built."""
    pick = policy.picker(some, random.Random())
    pick(KEYS[0])
    some.work_off()
    return [pick(key).backend.address for key in KEYS]


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        (b"foo", 3728699739546630719),
        (b"bar", 5234164152756840025),
        (b"foo\nbar", 8917841378505826757),
        (b"lyft", 4400747396090729504),
        (b"", 17241709254077376921),
    ],
)
def test_envoys_hashes(text: bytes, hashed: int) -> None:
    assert xxh64()(text) == hashed


def test_envoys_hash_of_a_list_is_seeded_by_the_hash_before() -> None:
    assert xxh64()(b"bar", xxh64()(b"foo")) == 17745830980996999794


def test_a_key_has_the_same_backend_in_another_process_with_another_seed() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert said[0].splitlines() == [" ".join(addresses(policy, some_backends())) for policy in POLICIES]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@given(st.randoms(use_true_random=False))
def test_a_key_has_the_same_backend_in_any_order_of_the_list(policy: Balancer, shuffled: random.Random) -> None:
    some, other = some_backends(), some_backends()
    nodes = list(other.nodes)
    shuffled.shuffle(nodes)
    other.become(nodes)
    assert addresses(policy, some) == addresses(policy, other)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_key_that_is_text_is_its_utf_8(policy: Balancer) -> None:
    pick = policy.picker(some_backends(), random.Random(7))
    for key in ("user-1", "Käufer", "\U0001f999"):
        assert pick(key) is pick(key.encode())


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_key_that_is_no_valid_text_has_its_backend_too(policy: Balancer) -> None:
    some = some_backends()
    pick = policy.picker(some, random.Random(7))
    assert len({pick("\ud800 in a header") for _ in range(10)}) == 1


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_request_without_key_goes_anywhere(policy: Balancer) -> None:
    some = some_backends()
    pick = policy.picker(some, random.Random(7))
    assert {pick(None) for _ in range(1000)} == set(some.nodes)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_an_empty_key_is_a_key(policy: Balancer) -> None:
    pick = policy.picker(some_backends(), random.Random(7))
    assert len({pick(b"") for _ in range(20)}) == 1
    assert pick("") is pick(b"")


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_slow_start_moves_no_key(policy: Balancer) -> None:
    """When a client has first seen a backend is its own affair; where a key goes is everybody's."""
    some, slow = some_backends(), some_backends()
    slow.slow = dict.fromkeys(slow.nodes[:5], 0.1)
    assert addresses(policy, some) == addresses(policy, slow)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_backends_of_the_same_address_and_port_are_two_records_and_one_of_them_is_always_the_same(
    policy: Balancer,
) -> None:
    def twins() -> Some:
        pods = [PodRef(namespace="a", name=uid, uid=uid) for uid in ("one", "two")]
        nodes = [node("10.0.0.1"), node("10.0.0.1"), node("10.0.0.2")]
        for one, pod in zip(nodes, pods, strict=False):
            one.backend = attrs.evolve(one.backend, pod=pod)
        return Some(nodes)

    some, other = twins(), twins()
    other.become(reversed(other.nodes[:]))
    for key in KEYS:
        picked, also = (policy.picker(each, random.Random(7))(key).backend for each in (some, other))
        assert picked.id == also.id
