"""Who may be picked under health checks: those that pass, and all where none does. What is told adds up to it."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from discovery.membership import Membership
from discovery.model import Backend, BackendId
from discovery.resolvers.checked_set import NOTHING_PASSES, CheckedSet
from discovery.resolvers.derived import Delta
from discovery.resolvers.health import NOT_CHECKED, HealthCheck

from ..sources import backend

SPEC = HealthCheck(unhealthy=2)
REFUSED = "connection refused"


class Known:
    """A set, and what a pool knows by what it tells."""

    def __init__(self) -> None:
        self.found = CheckedSet(SPEC)
        self.pool = Membership("test://checked", emit=lambda _: None, clock=lambda: 0.0)

    def hear(self, number: int, error: str | None = None) -> None:
        self.found.heard(backend(number).id, error)
        self.tell()

    def tell(self) -> None:
        delta = self.found.take()
        self.pool.update(delta.changed, delta.removed, delta.withheld)

    @property
    def offered(self) -> set[int]:
        return {int(node.backend.address.rpartition(".")[2]) for node in self.pool.nodes}

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.pool.candidates()]


def known(*numbers: int) -> Known:
    scene = Known()
    scene.found.replace([backend(number) for number in numbers])
    scene.tell()
    return scene


def test_what_is_new_is_withheld_until_it_has_passed() -> None:
    scene = known(1, 2)
    assert (scene.offered, scene.reasons, scene.found.settled) == (set(), [NOT_CHECKED] * 2, False)
    scene.hear(2)
    assert (scene.offered, scene.reasons, scene.found.settled) == ({2}, [NOT_CHECKED, "ready"], True)


def test_at_the_start_nothing_is_offered_for_want_of_better_before_all_are_checked() -> None:
    scene = known(1, 2)
    scene.hear(1, REFUSED)
    assert scene.offered == set()
    scene.hear(2, REFUSED)
    assert scene.offered == {1, 2}
    assert scene.found.remarks() == (NOTHING_PASSES,)


def test_when_the_last_one_fails_all_are_offered_and_when_one_passes_again_only_that_one() -> None:
    scene = known(1, 2)
    for number in (1, 2):
        scene.hear(number)
        scene.hear(number, REFUSED)
    scene.hear(1, REFUSED)
    assert (scene.offered, scene.reasons[0]) == ({2}, "health check failed: connection refused (2 times)")
    scene.hear(2, REFUSED)
    assert scene.offered == {1, 2}
    scene.hear(1)
    assert (scene.offered, scene.found.remarks()) == ({1}, ())


def test_a_set_that_is_replaced_at_once_is_offered_unchecked_rather_than_not_at_all() -> None:
    scene = known(1)
    scene.hear(1)
    scene.found.replace([backend(2)])
    scene.tell()
    assert (scene.offered, scene.found.remarks()) == ({2}, ())


def test_a_set_that_was_empty_is_checked_before_it_is_offered() -> None:
    scene = known(1)
    scene.hear(1)
    scene.found.replace([])
    scene.tell()
    assert scene.found.settled
    scene.found.update([backend(2)], [])
    scene.tell()
    assert (scene.offered, scene.reasons) == (set(), [NOT_CHECKED])


def test_who_is_withheld_by_the_source_keeps_its_reason_and_is_not_checked() -> None:
    scene = known(1)
    scene.found.replace([backend(1), backend(2)], {backend(2).id: "on another node"})
    scene.tell()
    scene.hear(1, REFUSED)
    assert (scene.offered, scene.reasons) == ({1}, ["ready", "on another node"])
    assert not scene.found.is_checked(backend(2).id)
    assert scene.found.heard(backend(2).id, None) is None


def test_a_backend_that_is_not_ready_is_not_checked_and_begins_anew_when_it_is() -> None:
    scene = known(1, 2)
    scene.hear(1)
    scene.hear(2)
    scene.found.update([backend(2, ready=False)], [])
    scene.tell()
    assert (scene.offered, scene.reasons) == ({1}, ["ready", "not ready"])
    assert not scene.found.is_checked(backend(2).id)
    scene.found.update([backend(2)], [])
    scene.tell()
    assert scene.reasons == ["ready", NOT_CHECKED]


def test_to_fail_on_is_no_change() -> None:
    scene = known(1, 2)
    scene.hear(1)
    scene.hear(2, REFUSED)
    version = scene.pool.version
    for _ in range(9):
        scene.found.heard(backend(2).id, REFUSED)
        assert scene.found.take() == Delta((), ())
    assert scene.pool.version == version


@attrs.define
class Model:
    """The same by the plainest means: every result ever heard, judged anew each time."""

    given: dict[BackendId, tuple[Backend, str | None]] = attrs.field(factory=dict)
    heard: dict[BackendId, list[bool]] = attrs.field(factory=dict)
    offering: bool = False

    def put(self, one: Backend, why_not: str | None) -> None:
        self.given[one.id] = one, why_not
        if one.ready and why_not is None:
            self.heard.setdefault(one.id, [])
        else:
            self.heard.pop(one.id, None)

    def remove(self, key: BackendId) -> None:
        self.given.pop(key, None)
        self.heard.pop(key, None)

    def offered(self) -> set[BackendId]:
        passing = {key for key, results in self.heard.items() if passes(results)}
        everything = bool(self.heard) and (self.offering or all(self.heard.values()))
        offered = passing or (set(self.heard) if everything else set())
        self.offering = bool(offered)
        return offered


def passes(results: list[bool]) -> bool:
    """It has passed at first or since it failed, and no two failures in a row have come after that."""
    standing = False
    for last, now in zip([None, *results], results, strict=False):
        standing = now or (standing and last is not False)
    return standing


BACKENDS = st.builds(backend, st.integers(0, 3), ready=st.sampled_from([True, True, False]))
GIVEN = st.tuples(BACKENDS, st.sampled_from([None, None, "kept back"]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), st.lists(GIVEN, max_size=4)),
        st.tuples(st.just("put"), GIVEN),
        st.tuples(st.just("remove"), st.integers(0, 3)),
        st.tuples(st.just("pass"), st.integers(0, 3)),
        st.tuples(st.just("fail"), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(STEPS)
def test_any_history_offers_those_that_pass_or_else_all_and_never_goes_from_some_to_none(
    steps: list[tuple[str, object]],
) -> None:
    scene, model = Known(), Model()
    for what, value in steps:
        play(scene, model, what, value)
        scene.tell()
        before, expected = model.offering, model.offered()
        assert {node.backend.id for node in scene.pool.nodes} == expected
        assert expected or not before or not model.heard
        assert scene.found.settled is bool(expected or not model.heard)
        assert {one.backend for one in scene.pool.candidates()} == {one for one, _ in model.given.values()}
        kept = {one.id for one, why_not in model.given.values() if why_not is not None}
        assert {one.backend.id for one in scene.pool.candidates() if one.reason == "kept back"} == kept


def play(scene: Known, model: Model, what: str, value: object) -> None:
    if isinstance(value, int) and what == "remove":
        scene.found.update([], [backend(value).id])
        model.remove(backend(value).id)
    elif isinstance(value, int):
        scene.found.heard(backend(value).id, None if what == "pass" else REFUSED)
        if backend(value).id in model.heard:
            model.heard[backend(value).id].append(what == "pass")
    elif isinstance(value, tuple):
        one, why_not = value
        scene.found.update([one], [], {one.id: why_not} if why_not else {})
        model.put(one, why_not)
    elif isinstance(value, list):
        given_ = {one.id: (one, why_not) for one, why_not in value}
        scene.found.replace(
            [one for one, _ in given_.values()], {key: why for key, (_, why) in given_.items() if why is not None}
        )
        for key in [key for key in model.given if key not in given_]:
            model.remove(key)
        for one, why_not in given_.values():
            model.put(one, why_not)
