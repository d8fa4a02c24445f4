"""Where requests go: the URLs of one host at its backends, in whatever class an HTTP library has for them."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ..balancing import Node

MOST_PLACES = 256
"""URLs that are kept for a host."""

P = TypeVar("P", bound=Hashable)
U = TypeVar("U")


class Places(dict[tuple[Node, P], U], Generic[P, U]):
    """By record and path with query; made when first asked for, as `make` does.

    A dict and no cache with an order: to find a URL again is one step.
    """

    def __init__(self, make: Callable[[Node, P], U]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, place: tuple[Node, P]) -> U:
        url = self._make(*place)
        if len(self) >= MOST_PLACES:
            self.clear()
        self[place] = url
        return url
