"""Clients that pick backends by the library's own code, and backends that serve requests in turn.

Each client has records of its own, so it knows only of its own requests, as in reality. Requests come at random times
(Poisson) to random clients. A backend takes them in the order they come, so many at a time as it has workers, and each
for an exponentially distributed time. So when a request will be answered is known as soon as it is sent, and the only
events are arrivals and answers.
"""

import random
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, heapreplace

import attrs

from discovery.balancing import Balancer, Learner, LeastRequest, Node
from discovery.balancing.locality import LocalityAware
from discovery.balancing.selection import Selection, Shape, Surroundings
from discovery.balancing.subset import Chosen, seed_of
from discovery.model import Backend

from ..figures import percentile

SERVICE = 0.01
"""Seconds of a mean service: times are told in these, but policies have seconds in them (`PeakEwma.decay`)."""


@attrs.frozen(kw_only=True)
class Setting:
    """One run.

    Args:
        utilisation: requests that come, of those that all backends together can serve.
        workers: requests that a backend serves at the same time.
        slow: share of the backends that are slow, by `slowness` times.
        zones: share of the clients in each zone; backends are spread evenly.
        warm_up: mean service times before anything is measured.
        length: mean service times that are measured.
    """

    balancer: Balancer = attrs.field(factory=LeastRequest)
    clients: int = 1000
    backends: int = 500
    workers: int = 1
    utilisation: float = 0.8
    subset: int | None = None
    slow: float = 0.0
    slowness: float = 1.0
    zones: tuple[float, ...] = (1.0,)
    locality: LocalityAware | None = None
    warm_up: float = 200.0
    length: float = 500.0
    seed: int = 1


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of it: times in mean services, spreads as the most loaded backend over the mean."""

    mean: float
    p50: float
    p99: float
    p999: float
    requests_spread: float
    in_flight_spread: float
    local: float
    answered: int


class Known(Node):
    """A client's record of a backend, and which it is."""

    __slots__ = ("number",)

    def __init__(self, backend: Backend, number: int) -> None:
        super().__init__(backend)
        self.number = number


class Client:
    """One process: its records and its way of picking."""

    __slots__ = ("pick", "zone")

    def __init__(self, nodes: list[Node], shape: Shape, around: Surroundings) -> None:
        selection = Selection(nodes, shape, around)
        selection.refresh(())
        self.pick = selection.picker
        self.zone = around.zone()


class Fleet:
    """The world of one run."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.now = 0.0
        self._rng = random.Random(setting.seed)
        self._speeds = [1 / SERVICE] * setting.backends
        for number in range(round(setting.slow * setting.backends)):
            self._speeds[number] /= setting.slowness
        self._rate = setting.utilisation * sum(self._speeds) * setting.workers
        self._free_at = [[0.0] * setting.workers for _ in range(setting.backends)]  # of each a heap
        self._queues = [0] * setting.backends
        self._answers: list[tuple[float, int, Known, float]] = []
        balancer = setting.balancer
        self._learn = balancer.observe if isinstance(balancer, Learner) else None
        self._backends = [
            Backend(address=f"10.0.{number >> 8}.{number & 255}", port=80, zone=zone_name(number % len(setting.zones)))
            for number in range(setting.backends)
        ]
        self._clients = [self._client(number) for number in range(setting.clients)]

    def _client(self, number: int) -> Client:
        setting = self.setting
        nodes: list[Node] = [Known(backend, at) for at, backend in enumerate(self._backends)]
        if setting.subset is not None:
            nodes = Chosen(setting.subset, seed_of(f"client-{setting.seed}-{number}"), nodes).nodes
        zone = zone_name(_at(setting.zones, (number + 0.5) / setting.clients))
        shape = Shape(balancer=setting.balancer, locality=setting.locality)
        around = Surroundings(zone=lambda: zone, rng=self._rng, now=lambda: self.now, offload=lambda work: work())
        return Client(nodes, shape, around)

    def run(self) -> Outcome:
        """Let it warm up, then measure."""
        for _ in self._requests(self.setting.warm_up * SERVICE):
            pass
        start, times, counts = self.now, [], [0] * self.setting.backends
        spreads, local, next_look = [], 0, 0.0
        for time, number, at_home in self._requests(start + self.setting.length * SERVICE):
            times.append(time)
            counts[number] += 1
            local += at_home
            if self.now >= next_look:
                next_look = self.now + SERVICE
                spreads.append(max(self._queues) * len(self._queues) / sum(self._queues))
        return _outcome(times, counts, spreads, local)

    def _requests(self, end: float) -> Iterator[tuple[float, int, bool]]:
        """Each as it is sent: the time that it will take, its backend, and whether that is in its client's zone."""
        random, exponential, clients = self._rng.random, self._rng.expovariate, self._clients
        free_at, queues, count, sent = self._free_at, self._queues, len(self._clients), 0
        while True:
            now = self.now + exponential(self._rate)
            if now >= end:
                break
            self._answer(now)
            self.now = now
            client = clients[int(random() * count)]
            node = client.pick(None)
            assert isinstance(node, Known)
            node.in_flight += 1
            number = node.number
            done = max(now, free_at[number][0]) + exponential(self._speeds[number])
            heapreplace(free_at[number], done)
            queues[number] += 1
            sent += 1
            heappush(self._answers, (done, sent, node, now))
            yield done - now, number, node.backend.zone == client.zone
        self._answer(end)
        self.now = end

    def _answer(self, until: float) -> None:
        """All that is answered by then."""
        answers, learn = self._answers, self._learn
        while answers and answers[0][0] <= until:
            self.now, _, node, sent = heappop(answers)
            self._queues[node.number] -= 1
            node.succeed()
            if learn is not None:
                learn(node, self.now - sent, self.now, failed=False, retry_after=None)
            node.in_flight -= 1


def simulate(setting: Setting) -> Outcome:
    """One run, from an empty fleet on."""
    return Fleet(setting).run()


def zone_name(number: int) -> str:
    """Of a zone."""
    return f"zone-{number}"


def _at(shares: Sequence[float], place: float) -> int:
    """In which share this place from 0 to 1 lies."""
    for number, share in enumerate(shares):
        place -= share
        if place < 0:
            return number
    return len(shares) - 1


def _outcome(times: list[float], counts: list[int], spreads: list[float], local: int) -> Outcome:
    times.sort()
    total = len(times)
    return Outcome(
        mean=sum(times) / total / SERVICE,
        p50=percentile(times, 50) / SERVICE,
        p99=percentile(times, 99) / SERVICE,
        p999=times[total * 999 // 1000] / SERVICE,
        requests_spread=max(counts) * len(counts) / total,
        in_flight_spread=sum(spreads) / len(spreads),
        local=local / total,
        answered=total,
    )
