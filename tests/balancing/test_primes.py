"""Primes, beside the sieve of Eratosthenes."""

import pytest

from discovery.balancing.primes import is_prime, next_prime


def test_what_the_sieve_leaves_is_prime_and_nothing_else() -> None:
    sieve = set(range(2, 5000))
    for number in range(2, 71):
        sieve.difference_update(range(2 * number, 5000, number))
    assert {number for number in range(-5, 5000) if is_prime(number)} == sieve


@pytest.mark.parametrize(("number", "prime"), [(0, 2), (2, 2), (8, 11), (65536, 65537), (5_000_000, 5_000_011)])
def test_the_next_one(number: int, prime: int) -> None:
    assert next_prime(number) == prime
