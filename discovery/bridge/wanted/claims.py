"""Whose a name in Consul is, where two Services come to the same: first come, first served. Pure.

Two Services under one name would be mixed up by whoever asks for it. So the first keeps it, and the other is told so
and tried again when it is free. Names that all of their Services ask for by annotation are shared: that is how one
Consul service is made of several.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ...errors import quote
from ..records import ServiceKey
from .annotations import NAME
from .names import Name


class Claims:
    """Who has which name, and who waits for one. Consul does not tell upper from lower case, nor does this."""

    def __init__(self) -> None:
        self._held: dict[ServiceKey, dict[str, bool]] = {}
        self._holders: defaultdict[str, dict[ServiceKey, bool]] = defaultdict(dict)
        self._waits: dict[ServiceKey, frozenset[str]] = {}
        self._waiters: defaultdict[str, set[ServiceKey]] = defaultdict(set)
        self._freed: set[ServiceKey] = set()

    def __repr__(self) -> str:
        return f"<Claims: {len(self._holders)} names of {len(self._held)} Services, {len(self._waits)} wait>"

    @property
    def keys(self) -> frozenset[ServiceKey]:
        """Services that have a name, or wait for one."""
        return frozenset((*self._held, *self._waits))

    def names(self, key: ServiceKey) -> frozenset[str]:
        """Those that a Service has, in lower case."""
        return frozenset(self._held.get(key, ()))

    def claim(self, key: ServiceKey, names: Iterable[Name]) -> str | None:
        """Take all of these names for a Service, in place of those it has; returns why it cannot.

        Where it cannot it keeps what it has, for its last good registration is kept too, and waits for the others.
        """
        wanted = {name.text.lower(): name.asked for name in names}
        self._stop_waiting(key)
        taken = {text: holder for text, asked in wanted.items() for holder in self._others(key, text, asked=asked)}
        if taken:
            self._waits[key] = frozenset(taken)
            for text in taken:
                self._waiters[text].add(key)
            return _why(taken, wanted)
        before = self._held.get(key, {})
        self._held[key] = wanted
        for text, asked in wanted.items():
            self._holders[text][key] = asked
        self._let_go(key, [text for text, asked in before.items() if wanted.get(text) is not asked])
        return None

    def release(self, key: ServiceKey) -> set[ServiceKey]:
        """Let go of all of a Service's names: it is no more. Returns who may claim again, as `take` does."""
        self._stop_waiting(key)
        self._let_go(key, self._held.pop(key, {}))
        return self.take()

    def take(self) -> set[ServiceKey]:
        """Who was refused a name that has become free since this was last asked; each is told once."""
        freed, self._freed = self._freed, set()
        return freed

    def _others(self, key: ServiceKey, text: str, *, asked: bool) -> Iterator[ServiceKey]:
        """Who has a name and does not share it with this Service."""
        holders = self._holders.get(text, {})
        return (other for other, also_asked in holders.items() if other != key and not (asked and also_asked))

    def _let_go(self, key: ServiceKey, texts: Iterable[str]) -> None:
        """Take note that a Service has no longer these names, or has them otherwise; those that wait may try again."""
        kept = self._held.get(key, {})
        for text in texts:
            if text not in kept:
                self._holders[text].pop(key)
                if not self._holders[text]:
                    del self._holders[text]
            self._freed |= self._waiters.get(text, set())

    def _stop_waiting(self, key: ServiceKey) -> None:
        self._freed.discard(key)
        for text in self._waits.pop(key, ()):
            self._waiters[text].discard(key)
            if not self._waiters[text]:
                del self._waiters[text]


def _why(taken: dict[str, ServiceKey], wanted: dict[str, bool]) -> str:
    text, (namespace, name) = min(taken.items())
    way_out = "let that one ask for it by annotation too, to share it" if wanted[text] else "ask for another"
    return f"the name {quote(text)} is that of {quote(f'{namespace}/{name}')}: {way_out} ({NAME})"
