"""How load is shared among priority levels: the first as long as it can carry it, then the next.

Only the sums are here: which backends are usable is the outlier detection's business, and to draw a level by its share
is the pool's.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

OVERPROVISIONING = 1.4
"""A level carries all its load until fewer than 1/1.4 = 71 % of its backends are usable (Envoy's default)."""

_FULL = 1 - 1e-9
"""From here on a sum of healths counts as 1: it may be a hair less after adding."""

Shares = tuple[float, ...]


def loads(
    usable: Sequence[int],
    total: Sequence[int],
    *,
    panic_threshold: float,
    overprovisioning: float = OVERPROVISIONING,
) -> tuple[Shares, tuple[bool, ...]]:
    """The share of load of each priority level, and whether the level is in panic: all its backends are used.

    Envoy's formulas (docs "Priority levels" and "Panic threshold"; `load_balancer_impl.cc`), without its rounding to
    whole percents. A level's health is `min(1, overprovisioning · usable / total)`, and its load is its health over
    the sum of healths, as far as the levels before leave something. Panic is only asked for where the healths together
    are below 1. Where all levels are in panic, load goes by their numbers of backends.

    Args:
        usable: of each level, backends that are not ejected.
        total: of each level, all its backends. A level without any has no share and no panic.
        panic_threshold: the share of usable backends, from 0 to 1, below which a level may be in panic; 0: never.
        overprovisioning: see `OVERPROVISIONING`.

    Returns:
        Shares that add up to 1, or are all 0 where there are no backends at all. With nothing usable and panic never,
        the first level that has backends has all the load, and nothing to carry it with.
    """
    healths = [_health(some, of, overprovisioning) for some, of in zip(usable, total, strict=True)]
    together = sum(healths)
    panics = tuple(
        together < _FULL and of > 0 and some < panic_threshold * of for some, of in zip(usable, total, strict=True)
    )
    if together <= 0 or all(panic or not of for panic, of in zip(panics, total, strict=True)):
        return (_by_number(total) if any(panics) else _all_to_the_first(total)), panics
    return _in_order(healths, min(1.0, together)), panics


def _health(usable: int, total: int, overprovisioning: float) -> float:
    """In whole percents of overprovisioning, so that 5 of 7 at 1.4 is 1 and not a hair less."""
    return min(1.0, round(overprovisioning * 100) * usable / (100 * total)) if total else 0.0


def _in_order(healths: Sequence[float], together: float) -> Shares:
    """Levels 0 to n carry `min(1, sum of their healths / together)`, so what is left over is exactly 0."""
    carried = [min(1.0, part / together) for part in accumulate(healths, initial=0.0)]
    return tuple(after - before for before, after in pairwise(carried))


def _by_number(total: Sequence[int]) -> Shares:
    everybody = sum(total)
    return tuple(of / everybody for of in total)


def _all_to_the_first(total: Sequence[int]) -> Shares:
    first = next((level for level, of in enumerate(total) if of), None)
    return tuple(float(level == first) for level in range(len(total)))
