"""A backend that has just come gets less at first: its caches are cold, its code is not compiled yet.

Only the weight's factor is here. When a backend's age begins (it came, or came back to health) is the membership's to
say; whether weights differ now is the pool's.
"""

import attrs

from ..checks import number, seconds

SHORTEST_AGE = 0.001
"""Seconds. Envoy's code has this floor, its documentation says 1 s: at age 0 the formula alone would give 0."""


@attrs.frozen(kw_only=True)
class SlowStart:
    """How a new backend's weight grows to its full one.

    It helps where old backends carry the load meanwhile: when all are new, all weigh the same. At a few requests a
    second it is too short to warm anything.

    Args:
        window: seconds from the beginning until the full weight. 30 is the shortest that AWS load balancers take, and
            what nginx's examples have; Envoy has no default.
        aggression: 1 grows evenly; above 1 most comes early, below 1 late. Above 0 (Envoy's `aggression`, default 1).
        minimum: the share of its weight that it has at least, above 0 and at most 1 (Envoy's `min_weight_percent`,
            default 10 %).

    Raises:
        ConfigurationError: a number out of its range.
    """

    window: float = attrs.field(default=30.0, validator=seconds())
    aggression: float = attrs.field(default=1.0, validator=number(above=0))
    minimum: float = attrs.field(default=0.1, validator=number(above=0, most=1))

    def factor(self, age: float) -> float:
        """What to multiply the weight of a backend of this age (seconds) by; exactly 1 from `window` on.

        Envoy's formula: `max(minimum, (max(age, 1 ms) / window) ^ (1 / aggression))`.
        """
        if age >= self.window:
            return 1.0
        grown: float = (max(age, SHORTEST_AGE) / self.window) ** (1.0 / self.aggression)
        return max(self.minimum, grown)
