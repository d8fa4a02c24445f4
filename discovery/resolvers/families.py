"""Pods with an IPv4 and an IPv6 address count once.

A dual-stack Service has slices of each family, so its pods come twice. Only one address of each is shown: that of the
preferred family, or the only one there is. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from ..model import Backend, BackendId
from ..targets import Family
from .addresses import families, family_of

Shift = tuple[Backend | None, Backend | None]
"""What was there, and what is there now."""


class Families:
    """Lets changes through so that each pod is shown by one family."""

    def __init__(self, family: Family) -> None:
        self._wanted, *others = families(family)
        self._only = not others
        self._first: Counter[str] = Counter()
        self._second: defaultdict[str, dict[BackendId, Backend]] = defaultdict(dict)

    def shift(self, old: Backend | None, new: Backend | None) -> Iterator[Shift]:
        """What is to be shown of a change at one address."""
        some = new or old
        assert some is not None
        preferred = family_of(some.address) == self._wanted
        if preferred:
            yield old, new
            yield from self._count(old, new)
        elif not self._only:
            yield from self._behind(old, new)

    def _count(self, old: Backend | None, new: Backend | None) -> Iterator[Shift]:
        """The pods that came or went by their preferred address hide or show the other."""
        before, after = _pod(old), _pod(new)
        if before == after:
            return
        if after:
            self._first[after] += 1
            if self._first[after] == 1:
                yield from ((backend, None) for backend in self._second.get(after, {}).values())
        if before:
            self._first[before] -= 1
            if not self._first[before]:
                del self._first[before]
                yield from ((None, backend) for backend in self._second.get(before, {}).values())

    def _behind(self, old: Backend | None, new: Backend | None) -> Iterator[Shift]:
        if old:
            held = self._second[_pod(old)]
            held.pop(old.id, None)
            if not held:
                del self._second[_pod(old)]
        if new:
            self._second[_pod(new)][new.id] = new
        hidden_old = old is None or self._hidden(old)
        hidden_new = new is None or self._hidden(new)
        if not (hidden_old and hidden_new):
            yield None if hidden_old else old, None if hidden_new else new

    def _hidden(self, backend: Backend) -> bool:
        return bool(_pod(backend)) and _pod(backend) in self._first


def _pod(backend: Backend | None) -> str:
    return backend.pod.uid if backend is not None and backend.pod is not None else ""
