"""Why a Service cannot be registered as it is: raised by what reads its wishes, names it, and finds its places."""

from typing import Literal

from ...errors import DiscoveryError

Reason = Literal["annotation", "name", "port", "address", "metadata"]


class Unusable(DiscoveryError):
    """A Service that cannot be registered as it is; its last good registration is kept.

    The message does not name the Service: whoever reports it does. `reason` is what is wrong: an `annotation`, a `name`
    that Consul's DNS cannot carry, a `port`, no `address` of the kind that is wanted, or too much `metadata`.
    """

    def __init__(self, message: str, *, reason: Reason, next_step: str = "") -> None:
        self.reason: Reason = reason
        super().__init__(message, next_step=next_step)
