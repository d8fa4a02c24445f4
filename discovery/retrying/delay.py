"""How long to wait before trying again."""

import random

BASE = 0.025
"""Seconds: Envoy's base interval for retries."""

CAP = 0.25
"""Seconds: ten times the base, as Envoy has it."""


def delay(retry: int, rng: random.Random) -> float:
    """Seconds before the `retry`-th retry, from 1: none before the first, then U(0, min(cap, base·2^(retry-1))).

    The first goes to another backend, which has done nothing to deserve a pause; those after it spread out with full
    jitter (AWS Architecture Blog, 2015), lest all who failed together come back together.
    """
    return 0.0 if retry <= 1 else rng.uniform(0, min(CAP, BASE * 2.0 ** min(retry - 1, 10)))
