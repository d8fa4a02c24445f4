"""What answers of the DNS come to, as backends. Pure.

A target is one or two questions, and SRV records are as many more for each host whose addresses were not told along.
"""

from collections.abc import Iterator, Mapping

import attrs

from ..dns.answers import Answer, Kind, Srv
from ..errors import ResolutionError, quote
from ..model import Backend, BackendId
from ..targets import Dns, Family
from . import Remark
from .addresses import families, of_family
from .dns_refresh import Known

KIND: Mapping[str, Kind] = {"ipv4": "A", "ipv6": "AAAA"}

IN_CLUSTER = "svc"
"""The third label of the names that Kubernetes gives Services."""

LEAST_WEIGHT = 0.1
"""For an SRV record of weight 0: hardly any chance beside others (RFC 2782), and an equal one among its like."""


@attrs.frozen
class Question:
    """What a server is asked."""

    name: str
    kind: Kind


Knowledge = Mapping[Question, Known]


@attrs.frozen
class Stale:
    """What holds on though it could not be asked for again: why, and since when (None: nothing was ever heard)."""

    error: ResolutionError
    since: float | None


@attrs.frozen(kw_only=True)
class Found:
    """What is known of a target.

    Attributes:
        backends: by identity.
        questions: all that are to be asked, again and again.
        unknown: there are no backends, and no server has said so.
        nothing: the server's word that there are none.
        stale: the failure that hides what there is now, if one does.
        skipped: targets of SRV records that have no address, and why.
    """

    backends: Mapping[BackendId, Backend] = attrs.field(factory=dict)
    questions: tuple[Question, ...]
    unknown: bool = False
    nothing: ResolutionError | None = None
    stale: Stale | None = None
    skipped: Mapping[str, ResolutionError] = attrs.field(factory=dict)


def compose(target: Dns, known: Knowledge) -> Found:
    """All that these answers come to. Questions that nobody asks any more are not looked at."""
    if not target.srv:
        name = _Name(_questions(target.name, target.family), known)
        return _found([name], [Backend(address=one, port=target.port or 0) for one in name.addresses])
    root = _Name((Question(target.name, "SRV"),), known)
    return _found([root], []) if root.answer is None else _services(target, root, root.answer, known)


def fixed(target: Dns) -> tuple[tuple[Backend, ...], ResolutionError | None]:
    """An address in the place of a name: it stands for itself, unless it is of the family that is not wanted."""
    addresses = of_family((target.name,), target.family)
    if addresses:
        return tuple(Backend(address=one, port=target.port or 0) for one in addresses), None
    return (), ResolutionError(f"{target.name} is no address of the family {target.family}", reason="no-data")


def remarks(target: Dns, backends: Mapping[BackendId, Backend]) -> tuple[Remark, ...]:
    """One address of a name in a cluster is hardly a set to balance over."""
    labels = target.name.split(".")
    if target.srv or len(backends) != 1 or len(labels) < 3 or labels[2] != IN_CLUSTER:
        return ()
    text = (
        f"{target.name} has one address: where that is a cluster IP, each connection stays with a pod not chosen here"
    )
    return (Remark(f"{text}. endpoints://{labels[1]}/{labels[0]}:{target.port} balances over the pods"),)


class _Name:
    """One name, by all questions about it: the preferred kind of record comes first."""

    def __init__(self, questions: tuple[Question, ...], known: Knowledge) -> None:
        self.questions = questions
        self._asked = [known[question] for question in questions if question in known]
        self.pending = len(self._asked) < len(questions)
        self._shown = next((one for one in self._asked if one.answer is not None), None)

    @property
    def answer(self) -> Answer | None:
        """The records that are taken."""
        return self._shown.answer if self._shown is not None else None

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.answer.addresses if self.answer is not None else ()

    @property
    def unknown(self) -> bool:
        """No records are known, and it may have some."""
        return self._shown is None and (self.pending or not all(one.answered for one in self._asked))

    @property
    def nothing(self) -> ResolutionError | None:
        """The server's word that it has no records."""
        if self._shown is not None or self.unknown:
            return None
        return next(one.nothing for one in self._asked)

    @property
    def stale(self) -> Stale | None:
        """A failure that matters: of the records that are taken, or of any where none are."""
        looked_at = self._asked if self._shown is None else [self._shown]
        return next((Stale(one.error, one.heard) for one in looked_at if one.error is not None), None)


def _questions(name: str, family: Family) -> tuple[Question, ...]:
    return tuple(Question(name, KIND[one]) for one in families(family))


def _services(target: Dns, root: _Name, answer: Answer, known: Knowledge) -> Found:
    names: dict[str, _Name] = {}
    skipped: dict[str, ResolutionError] = {}
    backends: list[Backend] = []
    records = [record for record in answer.services if record.target]
    if not records:
        said = ResolutionError(
            f"{quote(target.name)} says that there is no such service", reason="no-data", ttl=answer.ttl
        )
        return attrs.evolve(_found([root], []), nothing=said)
    for record in records:
        if not record.port:
            skipped[record.target] = ResolutionError("port 0 cannot be connected to", reason="unusable")
            continue
        addresses = of_family(answer.additional.get(record.target, ()), target.family)
        if not addresses:
            # The name is whole: no search list applies to it.
            name = names.setdefault(record.target, _Name(_questions(f"{record.target}.", target.family), known))
            addresses = name.addresses
        backends.extend(_places(record, addresses))
    skipped.update((host, why) for host, name in names.items() if (why := _why(name)))
    return _found([root, *names.values()], backends, skipped)


def _places(record: Srv, addresses: tuple[str, ...]) -> Iterator[Backend]:
    """The weight is the target's: its addresses share it."""
    for address in addresses:
        weight = max(record.weight, LEAST_WEIGHT) / len(addresses)
        yield Backend(
            address=address, port=record.port, priority=record.priority, weight=weight, hostname=record.target
        )


def _why(name: _Name) -> ResolutionError | None:
    """Why a target of a record has no address, once that is known."""
    if name.answer is not None or name.pending:
        return None
    return name.stale.error if name.stale is not None else name.nothing


def _found(names: list[_Name], backends: list[Backend], skipped: Mapping[str, ResolutionError] | None = None) -> Found:
    unique: dict[BackendId, Backend] = {}
    for backend in sorted(backends, key=_best_first):
        unique.setdefault(backend.id, backend)
    # One host of several that was never known is passed over; of one that was, the addresses may have changed.
    stale = [one for name in names if (one := name.stale) and not (unique and name.unknown)]
    unknown = not unique and any(name.unknown for name in names)
    nothing = next((name.nothing for name in names if name.nothing), None)
    return Found(
        backends=unique,
        questions=tuple(question for name in names for question in name.questions),
        unknown=unknown,
        nothing=None if unique or unknown else nothing,
        stale=min(stale, key=_age, default=None),
        skipped=skipped or {},
    )


def _best_first(backend: Backend) -> tuple[int, float, str]:
    return backend.priority, -backend.weight, backend.hostname


def _age(stale: Stale) -> float:
    return float("-inf") if stale.since is None else stale.since
