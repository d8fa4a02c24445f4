"""Whatever happens in whatever order: only candidates are out, never too many, no count is lost, all come back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from discovery.balancing.node import Node
from discovery.balancing.outlier import OutlierDetection

from .watched import Watched, succeed

PLACE = st.integers(0, 63)


class Detection(RuleBasedStateMachine):
    """Requests that begin, end and are given up, some of them probes; backends that come and go; time that passes."""

    @initialize(
        count=st.integers(1, 8),
        share=st.sampled_from([0.0, 0.1, 0.34, 0.5, 1.0]),
        row=st.sampled_from([1, 2, 5]),
        volume=st.integers(1, 5),
    )
    def begin(self, count: int, share: float, row: int, volume: int) -> None:
        spec = OutlierDetection(
            consecutive_failures=row, max_ejected=share, failure_percentage_volume=volume, success_rate_volume=volume
        )
        self.watched = Watched(count, spec)
        self.share = share
        self.gone: list[Node] = []
        self.open: list[Node] = []  # a record for each request under way

    # Requests

    @rule(place=PLACE)
    def send(self, place: int) -> None:
        if self.watched.nodes:
            self._begin(self.watched[place % len(self.watched.nodes)])

    @rule(place=PLACE)
    def send_to_one_that_left(self, place: int) -> None:
        if self.gone:
            self._begin(self.gone[place % len(self.gone)])

    @rule()
    def send_probe(self) -> None:
        wanted = self.watched.detector.wanted()
        probe = self.watched.detector.probe()
        assert (probe is not None) is wanted
        if probe is not None:
            assert probe.node in self.watched.detector.out
            self._begin(probe)

    def _begin(self, node: Node) -> None:
        node.in_flight += 1
        self.open.append(node)

    @precondition(lambda self: self.open)
    @rule(place=PLACE, outcome=st.sampled_from(["succeed", "fail", "throttled", "nothing"]), late=st.booleans())
    def end(self, place: int, outcome: str, late: bool) -> None:
        node = self.open.pop(place % len(self.open))
        if late:
            node.in_flight -= 1
        if outcome == "succeed":
            node.succeed()
        elif outcome != "nothing":
            node.fail(throttled=outcome == "throttled")
        if not late:
            node.in_flight -= 1

    @rule(place=PLACE, times=st.integers(1, 12), healthy=st.booleans())
    def many(self, place: int, times: int, healthy: bool) -> None:
        if self.watched.nodes:
            node = self.watched[place % len(self.watched.nodes)]
            for _ in range(times):
                node.succeed() if healthy else node.fail()

    # Time, and who is there

    @rule(seconds=st.sampled_from([0.01, 0.5, 1, 5, 10, 31, 400]))
    def rest(self, seconds: float) -> None:
        self.watched.rest(seconds)

    @rule()
    def come(self) -> None:
        if len(self.watched.nodes) < 12:
            self.watched.add()

    @rule(place=PLACE)
    def come_back(self, place: int) -> None:
        if self.gone:
            self.watched.nodes.append(self.gone.pop(place % len(self.gone)))

    @rule(places=st.sets(PLACE, max_size=4))
    def leave(self, places: set[int]) -> None:
        left = [node for place, node in enumerate(self.watched.nodes) if place in places]
        self.watched.remove(left)
        self.gone += left

    # What holds always

    @invariant()
    def only_candidates_are_out(self) -> None:
        assert self.watched.detector.out.keys() <= set(self.watched.nodes)

    @invariant()
    def never_too_many_are_ejected(self) -> None:
        ejected, size = self.watched.detector.ejected, len(self.watched.nodes)
        assert ejected <= max(bool(self.share), self.share * size)
        assert ejected < max(size, 1)
        assert size != 1 or not self.watched.detector.out

    @invariant()
    def load_is_what_is_under_way(self) -> None:
        total = sum(node.in_flight for node in {*self.watched.nodes, *self.gone})
        assert total == len(self.open)

    @invariant()
    def the_timer_is_set_for_whatever_is_to_come(self) -> None:
        due = self.watched.detector.due()
        assert due is None or (self.watched.armed is not None and self.watched.armed <= due)

    @invariant()
    def whoever_is_out_is_on_its_way_back(self) -> None:
        """A probe of it is wanted, or will be at a time that is known."""
        for ejection in self.watched.detector.out.values():
            assert ejection.asks_at is not None or self.watched.detector.wanted()

    def teardown(self) -> None:
        """Failures stop: whoever is out is back soon, as long as there are requests; then no timer runs."""
        if not hasattr(self, "watched"):
            return
        self.watched.rest(10)  # an interval that runs may still find somebody
        deadline = self.watched.now + 300 + 10
        while self.watched.detector.out and self.watched.now < deadline:
            self.watched.rest(1)
            while (probe := self.watched.detector.probe()) is not None:
                succeed(probe)
        assert not self.watched.detector.out
        assert self.watched.detector.due() is None


TestDetection = Detection.TestCase
TestDetection.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
