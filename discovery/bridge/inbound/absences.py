"""When a name that Consul no longer lists is gone, and when it may only seem so. Pure: time is a parameter.

A list that lacks a name proves little: Consul may have been restored from an old snapshot, or wiped, or may show a
token less than before. So it takes a second list, some seconds later. Only a name that leaves a list before our eyes,
while others stay, is gone at once: that is a deregistration as it should look.
"""


class Absences:
    """Judges the lists of names as they come.

    Args:
        confirm_after: seconds between two lists that lack a name, before it is gone.
    """

    def __init__(self, confirm_after: float) -> None:
        self._confirm_after = confirm_after
        self._names: frozenset[str] = frozenset()
        self._begun: float | None = None  # the first list of the unbroken row that ends with `_last`
        self._last = 0.0
        self._dropped: dict[str, float] = {}
        self._seen_to_go: set[str] = set()

    def __repr__(self) -> str:
        return f"<Absences {len(self._names)} listed, {len(self._dropped)} unconfirmed>"

    def listed(
        self, names: frozenset[str], now: float, *, whole: bool = True, went_back: bool = False, bare: bool = False
    ) -> None:
        """Take a list of names.

        Args:
            names: those of it that are imported.
            now: seconds, of a clock that does not jump.
            whole: nothing was hidden, and the server knew its leader; else only what it has counts.
            went_back: Consul's index is lower than it was: it is another one, or an older state of it.
            bare: Consul lists nothing at all, but itself: it may have been wiped.
        """
        if not whole:
            self._names |= names
            self._appeared(names)
            self._begun = None  # what it lacks may have been there
            return
        if went_back or self._begun is None:
            self._begun = now
            self._seen_to_go.clear()
            self._dropped.clear()
        elif not bare:
            self._seen_to_go |= self._names - names
        for name in self._names - names:
            self._dropped[name] = now
        self._names, self._last = names, now
        self._appeared(names)
        self._prune()

    def gone(self, name: str) -> bool:
        """Whether a service of this name is not in Consul any more, beyond doubt."""
        if self._begun is None or name in self._names:
            return False
        return name in self._seen_to_go or self._last - self._dropped.get(name, self._begun) >= self._confirm_after

    @property
    def open(self) -> bool:
        """Whether another list is needed to know what is gone."""
        if self._begun is None or self._last - self._begun < self._confirm_after:
            return True
        return any(name not in self._seen_to_go for name in self._dropped)

    def _appeared(self, names: frozenset[str]) -> None:
        self._seen_to_go -= names
        for name in names & self._dropped.keys():
            del self._dropped[name]

    def _prune(self) -> None:
        """Forget what is confirmed: it has then been gone since the row began, as far as it matters."""
        assert self._begun is not None
        if self._last - self._begun >= self._confirm_after:
            sure = [name for name, since in self._dropped.items() if self._last - since >= self._confirm_after]
            for name in sure:
                del self._dropped[name]
                self._seen_to_go.discard(name)
