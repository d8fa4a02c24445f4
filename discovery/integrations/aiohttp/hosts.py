"""What the middleware keeps for each host."""

from operator import methodcaller
from typing import ClassVar

import attrs

from ...attempts import Rules
from ...balancing import Learner
from ...pool import Pool
from .. import directory
from .errors import judge
from .exchange import Limits
from .places import Places


@attrs.define(eq=False, kw_only=True)
class Host(directory.Host):
    """A host, with its limits of time, the rules of its attempts and its URLs at each backend.

    `simple`: a first attempt at it needs no more than a pick, since there is neither a deadline nor a hedge. `limited`:
    only so many may be in flight. `learner`: its policy, if that learns from the time to an answer's headers.
    """

    simple: bool = attrs.field(init=False)
    limited: bool = attrs.field(init=False)
    learner: Learner | None = attrs.field(init=False)
    limits: Limits = attrs.field(init=False)
    rules: Rules = attrs.field(init=False)
    places: Places = attrs.field(init=False)

    def use(self, pool: Pool) -> None:
        """Pick from this pool from now on."""
        super().use(pool)
        options = self.options
        self.simple = options.hedging is None and options.retry.deadline is None
        self.limited, self.learner = pool.limited, pool.learner
        self.limits = Limits(options.retry)
        self.rules = attrs.evolve(pool.rules(judge), discard=methodcaller("release"))
        self.places = Places(self.scheme)


class Directory(directory.Directory[Host]):
    """The hosts that a middleware has met."""

    kind: ClassVar[type[directory.Host]] = Host
