"""How much Consul takes at a time: learnt from what it refuses. Pure."""

from ..plan.batches import LONGEST_BODY, MOST_OPERATIONS

GOOD_FOR_MORE = 10
"""Transactions in a row that Consul must have taken before one more goes at the same time."""

LEAST_OPERATIONS = 8
"""A fence and two instances: below that no server's limit is."""

LEAST_BODY = 8 * 1024


class Limits:
    """The size of a transaction, and how many go at a time.

    A size that was too much is halved and remembered. The number at a time is additive increase, multiplicative
    decrease at its most careful: after a refusal for the rate it is one.

    Args:
        in_flight: how many may go at a time at most.
    """

    def __init__(self, in_flight: int) -> None:
        self.operations = MOST_OPERATIONS
        self.body = LONGEST_BODY
        self.in_flight = in_flight
        self._most = in_flight
        self._good = 0

    def __repr__(self) -> str:
        return f"<Limits {self.operations} operations, {self.body} bytes, {self.in_flight} at a time>"

    def taken(self) -> None:
        """Consul took a transaction."""
        self._good += 1
        if self._good >= GOOD_FOR_MORE and self.in_flight < self._most:
            self.in_flight += 1
            self._good = 0

    def too_many(self) -> None:
        """Consul says that there are too many requests."""
        self.in_flight = 1
        self._good = 0

    def too_large(self, operations: int, body: int, *, counted: bool) -> None:
        """Consul says that a transaction is too large.

        Args:
            operations: that it had.
            body: its bytes.
            counted: whether it is the number of its operations that was too much.
        """
        if counted:
            self.operations = max(min(self.operations, operations // 2), LEAST_OPERATIONS)
        else:
            self.body = max(min(self.body, body // 2), LEAST_BODY)
