"""From slices to picks, by chance: whatever happens in whatever order, the end is what the last state alone gives."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery import Backend, BackendId, Change, Endpoints, Lease, LeastRequest, NoBackends, Pool, RoundRobin
from discovery.balancing import Balancer
from discovery.balancing.selection import Surroundings
from discovery.candidates import Candidates
from discovery.kube.objects import Object, ServiceBody, SliceBody
from discovery.membership import Membership
from discovery.pool import Learnt
from discovery.pool_options import PoolOptions
from discovery.resolvers.endpoints import endpoints_resolver
from discovery.resolvers.following import Feed
from discovery.resolvers.readiness import EndpointSet
from discovery.resolvers.topology import Place

from .test_readiness import HTTP, endpoint, service_of, slice_of

# What there may be: few names and addresses, so that they meet often, and mostly what makes them count.

CONDITIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(("ready", "serving", "terminating"), st.booleans()))
PODS = st.sampled_from(
    [*[{"kind": "Pod", "uid": "1"}] * 3, {"kind": "Pod", "uid": "2"}, {"kind": "Node", "uid": "3"}, None]
)
V4, V6 = st.sampled_from(["10.0.0.1", "10.0.0.2", "010.0.0.1"]), st.sampled_from(["fd00::1", "FD00::1"])


def endpoints_at(addresses: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    made = st.builds(
        lambda address, conditions, pod, hostname: endpoint(
            address, **conditions, targetRef=pod, hostname=hostname, zone="a"
        ),
        addresses,
        CONDITIONS,
        PODS,
        st.sampled_from(["web-0", "web-0", "web-1", None]),
    )
    return st.lists(made, max_size=3)


GRPC, OTHER, DNS = (
    {"name": "grpc", "port": 50051},
    {"name": "http", "port": 9090},
    {"name": "http", "port": 53, "protocol": "UDP"},
)
PORTS = st.one_of(
    *[st.just([HTTP])] * 3, st.lists(st.sampled_from([HTTP, GRPC, OTHER, DNS, {"port": 8080}]), max_size=3)
)
IPV4 = st.builds(lambda found, ports: slice_of(*found, ports=ports), endpoints_at(V4), PORTS)
IPV6 = st.builds(lambda found, ports: slice_of(*found, ports=ports, kind="IPv6"), endpoints_at(V6), PORTS)
FQDN = st.builds(lambda found: slice_of(*found, kind="FQDN"), endpoints_at(V4))
BODIES = st.one_of(IPV4, IPV4, IPV4, IPV6, IPV6, st.none(), FQDN)
SERVICES = st.sampled_from(
    [
        service_of({"name": "http", "port": 80}),
        service_of({"name": "http", "port": 81}, {"name": "grpc", "port": 80}),
        service_of({"name": "http", "port": 80}, clusterIP="None"),
        service_of({"port": 80}),
        None,
    ]
)
STATES = st.fixed_dictionaries({}, optional={**dict.fromkeys("abc", BODIES), "service": SERVICES})
TARGETS = st.builds(
    Endpoints,
    st.just("web"),
    namespace=st.just("shop"),
    port=st.sampled_from(["http", "http", 80, 80, 8080, "grpc", None]),
    hostname=st.sampled_from([None, None, None, "web-0"]),
    family=st.sampled_from(["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]),
)
Body = SliceBody | ServiceBody | None
State = dict[str, Body]


def tell(endpoints: EndpointSet, name: str, body: Body) -> None:
    if name == "service":
        endpoints.serve(body if isinstance(body, ServiceBody) else None)
    else:
        endpoints.put(name, body if isinstance(body, SliceBody) else None)


def alone(target: Endpoints, state: State) -> dict[BackendId, Backend]:
    """What a set gives that was told this state and nothing before."""
    endpoints = EndpointSet(target)
    for name, body in state.items():
        tell(endpoints, name, body)
    delta = endpoints.take()
    return {backend.id: backend for backend in delta.changed}


class Told:
    """A reader of deltas, as strict as it can be."""

    def __init__(self, endpoints: EndpointSet) -> None:
        self.endpoints = endpoints
        self.backends: dict[BackendId, Backend] = {}

    def take(self) -> None:
        delta = self.endpoints.take()
        changed = [backend.id for backend in delta.changed]
        assert len(set(changed)) == len(changed)
        assert set(changed).isdisjoint(delta.removed), "one thing cannot have come and gone"
        for key in delta.removed:
            self.backends.pop(key, None)
        self.backends.update((backend.id, backend) for backend in delta.changed)


@settings(max_examples=400)
@given(TARGETS, st.lists(STATES, min_size=1, max_size=5), st.randoms(use_true_random=True))
def test_any_order_of_events_duplicates_and_relists_ends_in_what_the_last_state_alone_gives(
    target: Endpoints, states: list[State], chance: random.Random
) -> None:
    """Each state is told as its objects in any order, some of them twice, and taken at any moment."""
    told, now = Told(EndpointSet(target)), State()
    for state in states:
        now |= state
        events = list(state.items()) if chance.random() < 0.7 else list(now.items())  # or all of it: a list
        events += chance.choices(events, k=2) if events else []
        chance.shuffle(events)
        for name, body in events:
            tell(told.endpoints, name, body)
            if chance.random() < 0.3:
                told.take()
    told.take()
    assert told.backends == alone(target, now)
    told.take()
    assert told.backends == alone(target, now), "and nothing is told again"


@given(TARGETS, STATES, st.permutations("abcd"))
def test_the_order_of_slices_means_nothing(target: Endpoints, state: State, order: list[str]) -> None:
    other = {name: state[name] for name in ("service", *order) if name in state}
    assert alone(target, other) == alone(target, state)


@given(TARGETS, STATES)
def test_a_backend_is_of_the_target_and_of_a_slice_that_is_there(target: Endpoints, state: State) -> None:
    """By a reading of the slices that is short enough to be right."""
    found = alone(target, state)
    said = {
        (address.lower().replace("010", "10"), port.port)
        for body in state.values()
        if isinstance(body, SliceBody) and body.address_type != "FQDN"
        for one in body.endpoints or ()
        for address in (one.addresses or ())[:1]
        for port in body.ports or ()
        if (port.protocol or "TCP") == "TCP" and target.hostname in (None, one.hostname)
    }
    assert {(key.address, key.port) for key in found} <= said
    if isinstance(target.port, str):
        numbers = {8080, 9090} if target.port == "http" else {50051}
        assert {key.port for key in found} <= numbers
    if target.family in ("ipv4", "ipv6"):
        assert all((":" in key.address) is (target.family == "ipv6") for key in found)
    if isinstance(target.port, int) and state.get("service") is None:
        assert found == {}
    pods = [(backend.pod.uid, ":" in backend.address) for backend in found.values() if backend.pod]
    assert len(dict(pods)) == len(set(pods)), "a pod is shown by one family"


@pytest.mark.parametrize(("family", "first"), [("prefer-ipv4", "ab"), ("prefer-ipv6", "cd")])
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sets(st.sampled_from("12"))), max_size=12))
def test_the_other_addresses_of_a_pod_are_shown_just_while_it_has_none_of_the_preferred_family(
    family: Any, first: str, steps: list[tuple[str, set[str]]]
) -> None:
    """One pod, two slices of each family, two addresses in each."""
    pod = {"kind": "Pod", "uid": "1"}
    told, now = Told(EndpointSet(Endpoints("web", namespace="shop", port="http", family=family))), dict[str, set[str]]()
    for name, numbers in steps:
        prefix, kind = ("10.0.0.", "IPv4") if name in "ab" else ("fd00::", "IPv6")
        now[name] = {prefix + number for number in numbers}
        found = [endpoint(address, targetRef=pod) for address in sorted(now[name])]
        tell(told.endpoints, name, slice_of(*found, kind=kind))
        told.take()
        preferred = set[str]().union(*(there for slice_, there in now.items() if slice_ in first))
        assert {key.address for key in told.backends} == (preferred or set[str]().union(*now.values()))


# Through the resolver


class Wire:
    """The watches of one resolver, played by hand."""

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}

    def subscribe(self, kind: Any, _namespace: str, _group: str, reader: Feed, /) -> Callable[[], None]:
        self.feeds[kind.resource] = reader
        return lambda: None

    def tell(self, name: str, body: Body) -> None:
        feed = self.feeds.get("services" if name == "service" else "endpointslices")
        if feed is not None:
            feed.changed({name: None if body is None else held(name, body)})

    def synced(self, *resources: str) -> None:
        for resource in resources:
            self.feeds[resource].synced()


def held(name: str, body: Body) -> Object:
    return Object("shop", name, "", "1", "web", b"", lambda _: body)


@settings(max_examples=200)
@given(TARGETS, st.lists(STATES, min_size=1, max_size=4), st.randoms(use_true_random=True))
def test_a_resolver_offers_what_the_last_state_gives_however_its_events_fall_together(
    target: Endpoints, states: list[State], chance: random.Random
) -> None:
    async def scene() -> None:
        wire, now = Wire(), State()
        membership = Membership("test://web", emit=lambda _: None, clock=lambda: 0.0)
        running = asyncio.create_task(
            endpoints_resolver(target, Place(), wire.subscribe, lambda _: None).run(membership)
        )
        await asyncio.sleep(0)
        some = chance.sample(sorted(wire.feeds), chance.randint(0, len(wire.feeds)))
        wire.synced(*some)
        for state in states:
            now |= state
            events = list(state.items())
            chance.shuffle(events)
            for name, body in events:
                wire.tell(name, body)
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
        assert membership.synced_at is None or len(some) == len(wire.feeds), "what is half known is not known"
        wire.synced(*wire.feeds)
        await settled(wire)
        there = alone(target, now).values()
        expected = [one for one in there if one.ready] or [one for one in there if one.serving and one.terminating]
        assert set(membership.snapshot().backends) == set(expected)
        assert membership.synced_at is not None
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(scene())


async def settled(wire: Wire) -> None:
    """The resolver has taken up all there is."""
    await asyncio.sleep(0)
    while any(feed.pending for feed in wire.feeds.values()):  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


# Through a pool

BACKENDS = st.builds(
    lambda number, state, zone: Backend(
        address=f"10.0.0.{number}", port=80, ready=state[0], serving=state[1], terminating=state[2], zone=zone
    ),
    st.integers(1, 3),
    st.sampled_from([*[(True, True, False)] * 3, (False, True, True), (False, False, True), (False, False, False)]),
    st.sampled_from("ab"),
)
CHANGES = st.one_of(
    st.tuples(st.just("replace"), st.lists(BACKENDS, max_size=4)),
    st.tuples(st.just("put"), BACKENDS),
    st.tuples(st.just("remove"), BACKENDS),
)


def pool_of(membership: Membership, balancer: Balancer) -> Pool:
    candidates = Candidates(membership, None, None, emit=lambda _: None, rng=random.Random(1))
    around = Surroundings(zone=str, rng=random.Random(1), now=membership.clock, offload=lambda work: work())
    return Pool(
        candidates,
        PoolOptions(balancer=balancer),
        around=around,
        learnt=Learnt(None, None),
        emit=lambda _: None,
        give_back=Pool.close,
    )


def fresh() -> Membership:
    return Membership("test://web", emit=lambda _: None, clock=lambda: 0.0)


def change(membership: Membership, what: str, given_: Any) -> None:
    if what == "replace":
        membership.replace(given_)
    elif what == "put":
        membership.update([given_], [])
    else:
        membership.update([], [given_.id])


@settings(max_examples=300)
@given(st.lists(CHANGES, min_size=5, max_size=20), st.randoms(use_true_random=True))
def test_what_a_slow_reader_is_told_always_adds_up_to_the_snapshot(
    steps: list[tuple[str, Any]], chance: random.Random
) -> None:
    async def scene() -> None:
        membership = fresh()
        membership.replace([])
        changes = pool_of(membership, RoundRobin()).changes()
        there: dict[BackendId, Backend] = {}
        first = take(there, await anext(changes))
        assert first == 0
        version = membership.snapshot()
        for what, given_ in steps:
            change(membership, what, given_)
            if chance.random() < 0.25 and set(membership.snapshot().backends) != set(version.backends):
                told = await asyncio.wait_for(anext(changes), 5)
                assert told.snapshot == membership.snapshot()
                assert take(there, told), "nobody is told of nothing"
                version = membership.snapshot()
                assert set(there.values()) == set(version.backends)
        if set(membership.snapshot().backends) != set(version.backends):
            take(there, await asyncio.wait_for(anext(changes), 5))
        assert set(there.values()) == set(membership.snapshot().backends)
        await changes.aclose()  # type: ignore[attr-defined]

    asyncio.run(scene())


def take(there: dict[BackendId, Backend], told: Change) -> int:
    """Apply a change as a reader would that trusts every word of it; returns of how many it told."""
    for backend in told.removed:
        assert there.pop(backend.id) == backend
    for backend in told.added:
        assert backend.id not in there
        there[backend.id] = backend
    for backend in told.updated:
        assert there[backend.id] != backend
        there[backend.id] = backend
    return len(told.added) + len(told.removed) + len(told.updated)


USES = st.one_of(
    CHANGES,
    st.tuples(
        st.sampled_from(["pick", "pick other", "release", "fail", "ignore", "leave", "raise"]), st.integers(0, 9)
    ),
)


@pytest.mark.parametrize("balancer", [RoundRobin(), LeastRequest()], ids=["round robin", "least request"])
@given(st.lists(USES, max_size=30))
def test_any_interleaving_of_picks_ends_and_changes_leaves_the_load_of_each_backend_exactly_right(
    balancer: Balancer, steps: list[tuple[str, Any]]
) -> None:
    membership = fresh()
    pools = [pool_of(membership, balancer), pool_of(membership, RoundRobin())]
    membership.replace([Backend(address="10.0.0.1", port=80)])
    leases: list[Lease] = []
    turn = itertools.cycle(pools)
    for what, given_ in steps:
        if what in ("pick", "pick other"):
            pool = next(turn)
            try:
                lease = pool.pick() if what == "pick" else pool.pick_other([held.node for held in leases[:given_]])
            except NoBackends:
                assert pool.backends == ()
            else:
                assert lease.backend in pool.backends
                leases.append(lease)
        elif isinstance(given_, int):
            if leases:
                end(leases[given_ % len(leases)], what)
        else:
            change(membership, what, given_)
        assert_counted(membership, leases)
    for lease in leases:
        end(lease, "leave")
    assert_counted(membership, leases)
    assert all(one.in_flight == 0 for pool in pools for one in pool.explain())


def end(lease: Lease, how: str) -> None:
    if how == "raise":
        lease.__exit__(ConnectionResetError, ConnectionResetError(), None)
    elif how == "leave":
        lease.__exit__(None, None, None)
    else:
        getattr(lease, how)()


def assert_counted(membership: Membership, leases: list[Lease]) -> None:
    """Each record counts its own leases that are held, also where its backend has gone or come back as another."""
    nodes = {id(lease.node): lease.node for lease in leases}
    for key, node in nodes.items():
        assert node.in_flight == sum(lease.held for lease in leases if id(lease.node) == key)
    shown = {one.backend.id: one.in_flight for one in membership.candidates()}
    for node in membership.nodes:
        assert shown[node.backend.id] == sum(lease.held for lease in leases if lease.node is node)
