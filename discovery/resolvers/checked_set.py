"""The backends of a target under health checks: who may be picked, by what checks have said. Pure.

    passing          offered
    failing          withheld, with the reason
    unchecked        withheld: what is new may not be up yet
    none passes      all are offered: nothing better is known (Envoy: panic threshold). What has offered backends never
                     goes on to offer none; at the start it waits until each has been checked once

Backends that are not ready, or are withheld by whom they come from, are not checked and change nothing here.
"""

from collections import Counter
from collections.abc import Iterable

from ..model import Backend, BackendId
from . import NONE_WITHHELD, Remark, Withheld
from .derived import Delta, Noted
from .health import UNCHECKED, Health, HealthCheck, Standing, step

NOTHING_PASSES = Remark("no backend passes its health checks, so all are offered", warning=True)


class CheckedSet:
    """What is known of a target's backends, and what of it has been told.

    Args:
        spec: how they are checked.
    """

    def __init__(self, spec: HealthCheck) -> None:
        self._spec = spec
        self._shown: dict[BackendId, Backend] = {}
        self._withheld: dict[BackendId, str] = {}  # by whom they come from
        self._health: dict[BackendId, Health] = {}  # of those that are checked
        self._standing: Counter[Standing] = Counter()
        self._noted = Noted()
        self._all = False  # are offered, whatever their checks say
        self._offers = False

    @property
    def settled(self) -> bool:
        """Whether something is offered, or nothing is there that checks could tell of."""
        return self._offers or not self._health

    def replace(self, backends: Iterable[Backend], withheld: Withheld = NONE_WITHHELD) -> None:
        """These are all there are."""
        given = {backend.id: backend for backend in backends}
        self.update(given.values(), [key for key in self._shown if key not in given], withheld)

    def update(
        self, changed: Iterable[Backend], removed: Iterable[BackendId], withheld: Withheld = NONE_WITHHELD
    ) -> None:
        """These are new or different, and those are gone."""
        for key in removed:
            backend = self._shown.pop(key, None)
            if backend is not None:
                self._withheld.pop(key, None)
                self._stand(key, None)
                self._noted.note(backend, None)
        for backend in changed:
            self._put(backend, withheld.get(backend.id))

    def heard(self, key: BackendId, error: str | None) -> tuple[Health, Health] | None:
        """Take the result of a check: what was known before, and what is now; None where it is not checked any more."""
        before = self._health.get(key)
        if before is None:
            return None
        after = step(before, error, self._spec)
        self._stand(key, after)
        if after.reason != before.reason:
            self._noted.note(None, self._shown[key])
        return before, after

    def is_checked(self, key: BackendId) -> bool:
        """Whether checks are to be made of it."""
        return key in self._health

    def take(self) -> Delta:
        """What is different since it was last asked, once."""
        everything = self._offer_all()
        if everything is not self._all:
            self._all = everything
            for key in self._health:
                self._noted.note(None, self._shown[key])
        self._offers = everything or bool(self._standing["passing"])
        return self._noted.take({key: why for key in self._noted.changed if (why := self._why_not(key)) is not None})

    def remarks(self) -> tuple[Remark, ...]:
        """What is worth knowing and is no error."""
        return (NOTHING_PASSES,) if self._all and self._standing["failing"] else ()

    def _put(self, backend: Backend, why_not: str | None) -> None:
        key = backend.id
        self._shown[key] = backend
        self._noted.note(None, backend)
        if why_not is not None:
            self._withheld[key] = why_not
        else:
            self._withheld.pop(key, None)
        checked = backend.ready and why_not is None
        self._stand(key, self._health.get(key, UNCHECKED) if checked else None)

    def _stand(self, key: BackendId, health: Health | None) -> None:
        before = self._health.pop(key, None)
        if before is not None:
            self._standing[before.standing] -= 1
        if health is not None:
            self._health[key] = health
            self._standing[health.standing] += 1

    def _offer_all(self) -> bool:
        if not self._health or self._standing["passing"]:
            return False
        return self._offers or not self._standing["unchecked"]

    def _why_not(self, key: BackendId) -> str | None:
        health = self._health.get(key)
        if health is None or self._all:
            return self._withheld.get(key)
        return health.reason
