"""A plan made so at a Consul that behaves, and at one that refuses, fails, is slow, or loses answers."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest

from discovery.bridge.leading.session_lock import NotLeading
from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.batches import batches
from discovery.bridge.plan.changes import NodeChange, Plan, compare
from discovery.bridge.plan.guard import guarded
from discovery.bridge.records import MANAGED_BY, OWNER, US, Instance, ServiceKey
from discovery.bridge.registry.apply import Applier, Outcome
from discovery.bridge.registry.catalog import Catalog, read_node
from discovery.bridge.registry.limits import Limits
from discovery.bridge.registry.sending import reason_of
from discovery.consul.api import Consul, Result, TxnRefused
from discovery.consul.objects import TxnError
from discovery.consul.settings import Settings
from discovery.errors import ConsulError
from discovery.testing.consul import FakeConsul, Rules

from ..until import until
from .entries import MINE, OPTIONS, PROBED, by_key, entry, instance

LOCK = "discovery/prod-eu/leader"


class Lead:
    """A leadership that a test decides about."""

    def __init__(self, fence: bytes | None = None) -> None:
        self.fence = fence
        self.leads = True

    def check(self) -> None:
        if not self.leads:
            raise NotLeading("another bridge acts")


class Scene:
    """A bridge's way to write, and the Consul it writes to."""

    def __init__(self, fake: FakeConsul, consul: Consul, options: BridgeOptions) -> None:
        self.fake = fake
        self.consul = consul
        self.options = options
        self.catalog = Catalog()
        self.lead = Lead()
        self.applier = Applier(consul, self.catalog, options, self.lead)
        self._known: set[ServiceKey] = set()

    async def read(self, catalog: Catalog) -> None:
        """Everything that Consul has, into a catalog."""
        names = {one.name for one in (await self.consul.nodes()).value}
        for name in [one for one in catalog.nodes if one not in names]:
            catalog.drop_node(name)
        for name in names:
            services, checks = await self.consul.node_services(name), await self.consul.node_checks(name)
            catalog.put_node(*read_node(services.value, checks.value, MINE))

    def plan(self, wanted: Iterable[Instance]) -> Plan:
        """What has to be done; every removal is sure."""
        of: dict[ServiceKey, list[Instance]] = {key: [] for key in self.catalog.services}
        for one in wanted:
            of.setdefault(one.of, []).append(one)
        changes = [
            change for key, ones in of.items() for change in compare(key, by_key(ones), self.catalog, self.options)
        ]
        nodes = {one.node: entry(int(one.node[1:])) for ones in of.values() for one in ones}
        return guarded(changes, self.catalog, self.options, nodes=nodes, sure=lambda _: True, confirmed=lambda _: False)

    async def want(self, *wanted: Instance) -> Outcome:
        return await self.applier.apply(self.plan(wanted))

    async def fence(self) -> str:
        """Lead by a session of Consul."""
        session = await self.consul.create_session(name="bridge", ttl=15.0)
        assert await self.consul.acquire(LOCK, b"{}", session)
        self.lead.fence = json.dumps({"KV": {"Verb": "check-session", "Key": LOCK, "Session": session}}).encode()
        return session

    async def agrees(self) -> bool:
        """Whether the catalog is what Consul has."""
        fresh = Catalog()
        await self.read(fresh)
        known = {name: node for name, node in self.catalog.nodes.items() if node.owned}
        return dict(fresh.owned) == dict(self.catalog.owned) and known == {
            name: node for name, node in fresh.nodes.items() if node.owned
        }

    def ids(self) -> set[str]:
        """Of every instance that is ours."""
        return {one for ids in self.fake.services().values() for one in ids if one.startswith(MINE)}

    def answer(self, status: int, text: str = "", times: int | None = None) -> None:
        """Have transactions answered so."""
        self.fake.faults.answer(status, text, times=times, path="/v1/txn")


@asynccontextmanager
async def scene(options: BridgeOptions = OPTIONS, **more: Any) -> AsyncIterator[Scene]:
    async with FakeConsul(**more) as fake:
        environ = {"CONSUL_HTTP_TOKEN": fake.token} if fake.token else {}
        consul = Consul(Settings.read(fake.url, environ), emit=lambda _: None, rng=random.Random(1))
        try:
            yield Scene(fake, consul, options)
        finally:
            await consul.aclose()


def fleet(count: int, nodes: int = 3) -> list[Instance]:
    return [instance(f"s{number // nodes}", number % nodes) for number in range(count)]


WEB, API = instance(), instance("api")


# A Consul that behaves


@pytest.mark.parametrize("options", [OPTIONS, PROBED])
async def test_what_is_wanted_is_there_and_need_not_be_read_again(options: BridgeOptions) -> None:
    async with scene(options) as it:
        outcome = await it.want(*fleet(300))

        assert len(outcome.done) == 300
        assert (outcome.failed, outcome.lost, outcome.error) == ((), frozenset(), None)
        assert it.ids() == {one.id for one in fleet(300)}
        assert await it.agrees()


async def test_a_second_pass_writes_nothing() -> None:
    async with scene() as it:
        await it.want(*fleet(100))
        before = it.fake.writes

        outcome = await it.want(*fleet(100))

        assert outcome == Outcome()
        assert it.fake.writes == before


async def test_every_kind_of_change_is_made_and_known() -> None:
    async with scene() as it:
        await it.want(WEB, API, instance("old"), instance(node=2))

        await it.want(attrs.evolve(WEB, port=1), attrs.evolve(API, status="critical", service="rest"), instance(node=3))

        assert await it.agrees()
        assert [row["Checks"][-1]["Status"] for row in it.fake.instances("rest")] == ["critical"]
        assert [row["Checks"][-1]["ServiceName"] for row in it.fake.instances("rest")] == ["rest"]
        assert {row["Node"]["Node"] for row in it.fake.instances("web")} == {"n1", "n3"}


async def test_a_change_of_readiness_is_one_operation() -> None:
    async with scene() as it:
        await it.want(WEB)
        asked: list[int] = []
        it.fake.on_request(lambda one: asked.append(1) if one.path == "/v1/txn" else None)

        await it.want(attrs.evolve(WEB, status="critical"))

        assert len(asked) == 1
        assert await it.agrees()


async def test_as_many_transactions_go_at_once_as_the_option_says() -> None:
    async with scene(BridgeOptions(owner=MINE, in_flight=3)) as it:
        await it.want(*fleet(3))  # so that the nodes are there
        it.fake.faults.hang()
        seen: list[str] = []
        it.fake.on_request(lambda one: seen.append(one.path))
        task = asyncio.create_task(it.want(*fleet(900)))
        await until(lambda: len(seen) == 3)
        await asyncio.sleep(0.02)

        assert len(seen) == 3
        it.fake.faults.resume()
        assert len((await task).done) == 897


async def test_a_node_that_is_left_goes_with_its_last_instance() -> None:
    async with scene() as it:
        await it.want(WEB, instance(node=2))
        await it.want(WEB)

        assert set(it.fake.dump()["nodes"]) == {"consul-server", "n1"}
        assert await it.agrees()


async def test_a_node_on_which_somebody_registered_meanwhile_is_not_deleted() -> None:
    async with scene() as it:
        await it.want(WEB, instance(node=2))
        plan = it.plan([WEB])
        it.fake.register(node="n2", address="10.0.0.2", service="theirs", node_meta={OWNER: MINE, MANAGED_BY: US})

        await it.applier.apply(plan)

        assert list(it.fake.dump()["nodes"]["n2"]["Services"]) == ["theirs"]
        assert it.catalog.nodes["n2"].foreign == {"theirs"}


async def test_a_node_on_which_something_of_ours_appeared_meanwhile_is_read_again_and_not_deleted() -> None:
    """As another replica with our owner id registers it, where a Lease does not fence."""
    async with scene() as it:
        await it.want(WEB, instance(node=2))
        plan = it.plan([WEB])
        api = instance("api", 2)
        it.fake.register(
            node="n2", address="10.0.0.2", node_meta=dict(entry(2).meta), service="api", id=api.id, meta=dict(api.meta)
        )

        outcome = await it.applier.apply(plan)

        assert list(it.fake.dump()["nodes"]["n2"]["Services"]) == [api.id]
        assert outcome.lost == {"n2"}


async def test_a_node_is_not_deleted_by_what_acls_let_us_see() -> None:
    async with scene() as it:
        await it.want(WEB, instance(node=2))
        it.fake.faults.filtered()
        await it.want(WEB)

        assert "n2" in it.fake.dump()["nodes"]


async def test_a_node_that_is_gone_already_is_forgotten() -> None:
    async with scene() as it:
        await it.want(WEB)
        it.catalog.drop(WEB.key)
        it.fake.deregister(node="n1")

        outcome = await it.want()

        assert outcome.error is None
        assert "n1" not in it.catalog.nodes


# One that refuses something


async def test_one_service_that_acls_forbid_blocks_no_other() -> None:
    async with scene(acls=True) as it:
        it.fake.faults.deny_service("s7")
        outcome = await it.want(*fleet(300))

        assert {(change.instance.service, reason) for change, reason in outcome.failed} == {("s7", "denied")}
        assert len(outcome.done) == 297
        assert not outcome.lost
        assert await it.agrees()


async def test_a_node_that_acls_forbid_takes_what_stands_on_it_along_and_nothing_else() -> None:
    async with scene(acls=True) as it:
        rules = Rules(node={"": "write", "n1": "read"}, service={"": "write"}, key={"": "write"})
        token = it.fake.create_token(rules)
        consul = Consul(
            Settings.read(it.fake.url, {"CONSUL_HTTP_TOKEN": token}), emit=lambda _: None, rng=random.Random(1)
        )
        applier = Applier(consul, it.catalog, OPTIONS, it.lead)
        outcome = await applier.apply(it.plan(fleet(30)))
        await consul.aclose()

        assert {change.instance.node for change, _ in outcome.failed} == {"n1"}
        assert {reason for _, reason in outcome.failed} == {"denied"}
        assert [(change.entry.name, reason) for change, reason in outcome.failed_nodes] == [("n1", "denied")]
        assert len(outcome.done) == 20
        assert "n1" not in it.fake.dump()["nodes"]


async def test_what_somebody_else_changed_is_left_alone_and_the_rest_is_written_at_once() -> None:
    async with scene() as it:
        await it.want(WEB, API)
        plan = it.plan([attrs.evolve(WEB, port=1), attrs.evolve(API, port=1)])
        it.fake.register(node="n1", address="10.0.0.1", service="theirs", id=WEB.id, node_meta=dict(entry().meta))
        before = it.fake.dump()["nodes"]["n1"]["Services"][WEB.id]

        outcome = await it.applier.apply(plan)

        assert [(change.instance, reason) for change, reason in outcome.failed] == [
            (attrs.evolve(WEB, port=1), "conflict")
        ]
        assert [change.instance.service for change in outcome.done] == ["api"]
        assert outcome.lost == {"n1"}
        assert it.fake.dump()["nodes"]["n1"]["Services"][WEB.id] == before


async def test_an_instance_of_our_id_that_appeared_meanwhile_is_not_overwritten() -> None:
    async with scene() as it:
        await it.want(API)
        plan = it.plan([API, WEB])
        it.fake.register(node="n1", address="10.0.0.1", service="theirs", id=WEB.id, node_meta=dict(entry().meta))

        outcome = await it.applier.apply(plan)

        assert [reason for _, reason in outcome.failed] == ["conflict"]
        assert it.fake.services()["theirs"] == (WEB.id,)


async def test_an_instance_that_somebody_took_over_is_not_removed() -> None:
    async with scene() as it:
        await it.want(WEB, API)
        plan = it.plan([API])
        it.fake.register(node="n1", address="10.0.0.1", service="theirs", id=WEB.id, node_meta=dict(entry().meta))

        outcome = await it.applier.apply(plan)

        assert [reason for _, reason in outcome.failed] == ["conflict"]
        assert it.fake.services()["theirs"] == (WEB.id,)


async def test_a_service_keeps_what_it_has_where_all_that_is_new_is_refused() -> None:
    """Its name was changed by an annotation to one that our token may not write."""
    async with scene(acls=True) as it:
        await it.want(WEB)
        it.fake.faults.deny_service("secret")

        outcome = await it.want(instance(node=2, service="secret"))

        assert sorted(reason for _, reason in outcome.failed) == ["denied", "last"]
        assert it.ids() == {WEB.id}


async def test_a_service_that_has_another_instance_gives_up_the_old_one_though_something_is_refused() -> None:
    async with scene(acls=True) as it:
        await it.want(WEB, instance(node=2))
        it.fake.faults.deny_service("secret")

        await it.want(WEB, instance(node=3, service="secret"))

        assert it.ids() == {WEB.id}


async def test_a_body_that_is_too_large_is_halved_until_it_fits_and_that_is_remembered() -> None:
    async with scene() as it:
        it.fake.faults.body_limit(20_000)
        outcome = await it.want(*fleet(150))
        before = it.fake.writes

        assert len(outcome.done) == 150
        assert it.applier.limits.body <= 20_000
        assert it.applier.limits.operations == 128

        changed = [attrs.evolve(one, port=1) for one in fleet(150)]
        assert len((await it.want(*changed)).done) == 150
        assert 4 <= it.fake.writes - before <= 8  # none of them was refused


async def test_a_server_of_64_operations_is_learnt_from_its_refusal() -> None:
    async with scene() as it:
        await it.want(*fleet(3))
        it.answer(413, "Transaction contains too many operations (128 > 64)", times=1)
        outcome = await it.want(*fleet(153))

        assert len(outcome.done) == 150
        assert it.applier.limits.operations == 64


async def test_what_is_too_large_all_by_itself_is_invalid_and_blocks_nothing() -> None:
    async with scene() as it:
        it.fake.faults.body_limit(8 * 1024)
        huge = instance("huge", meta={"text": "x" * 10_000})

        outcome = await it.want(WEB, huge, API)

        assert [(change.instance.service, reason) for change, reason in outcome.failed] == [("huge", "invalid")]
        assert it.ids() == {WEB.id, API.id}


async def test_a_request_that_consul_cannot_read_is_searched_for_its_culprit() -> None:
    async with scene() as it:
        await it.want(WEB)
        it.answer(400, "Failed to parse body", times=1)

        outcome = await it.want(*fleet(10))

        assert outcome.error is None
        assert len(outcome.done) >= 10


# One that fails


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (429, "rate limit exceeded, try again later or against a different server", "rate-limited"),
        (503, "rate limit exceeded for operation that can only be performed by the leader", "rate-limited"),
        (500, "No cluster leader", "no-leader"),
        (403, "Permission denied", "denied"),
    ],
)
async def test_a_failure_of_consul_as_a_whole_ends_the_pass_and_the_next_one_goes_on(
    status: int, text: str, reason: str
) -> None:
    async with scene() as it:
        await it.want(*fleet(3))
        it.answer(status, text)
        outcome = await it.want(*fleet(900))

        assert isinstance(outcome.error, ConsulError)
        assert outcome.error.reason == reason
        assert outcome.transactions <= OPTIONS.in_flight
        assert not outcome.failed

        it.fake.faults.heal()
        await it.read(it.catalog)
        assert (await it.want(*fleet(900))).error is None
        assert len(it.ids()) == 900


async def test_after_a_refusal_for_the_rate_one_goes_at_a_time_and_then_more_again() -> None:
    async with scene() as it:
        it.answer(429, "rate limit exceeded, try again later or against a different server", times=1)
        assert (await it.want(*fleet(900))).error is not None
        assert it.applier.limits.in_flight == 1

        await it.want(*fleet(2400))

        assert it.applier.limits.in_flight == OPTIONS.in_flight


async def test_where_nothing_was_written_nothing_has_to_be_read_again() -> None:
    async with scene() as it:
        it.answer(429, "rate limit exceeded, try again later or against a different server")

        assert not (await it.want(*fleet(30))).lost


async def test_a_transaction_whose_answer_is_lost_is_not_assumed_and_its_nodes_are_read_again() -> None:
    async with scene() as it:
        it.fake.faults.lose_answer(path="/v1/txn", times=None)

        outcome = await it.want(WEB, API)
        it.fake.faults.heal()

        assert outcome.error is not None
        assert outcome.done == ()
        assert outcome.lost == {"n1"}
        assert not it.catalog.owned
        assert it.ids() == {WEB.id, API.id}  # it was written all the same

        await it.read(it.catalog)
        assert not it.catalog.doubtful
        assert await it.want(WEB, API) == Outcome()


async def test_a_transaction_that_is_sent_twice_is_found_out_and_does_no_harm() -> None:
    """As a transport does that sends a PUT again over a new connection: the second one finds the first."""
    async with scene() as it:
        await it.consul.transact([one for batch in batches(it.plan([WEB, API]), OPTIONS) for one in batch.operations])

        outcome = await it.want(WEB, API)

        assert {reason for _, reason in outcome.failed} == {"conflict"}
        assert outcome.lost == {"n1"}
        await it.read(it.catalog)
        assert await it.want(WEB, API) == Outcome()


async def test_a_consul_that_is_gone_is_an_error_and_not_an_exception() -> None:
    async with scene() as it:
        await it.want(WEB)
        await it.fake.stop()

        outcome = await it.want(WEB, API)

        assert isinstance(outcome.error, ConsulError)
        assert outcome.error.reason == "unreachable"
        assert outcome.lost == {"n1"}


async def test_removals_do_not_happen_after_a_failure() -> None:
    async with scene() as it:
        await it.want(*fleet(150))
        it.answer(500, "No cluster leader", times=1)

        await it.want(*(attrs.evolve(one, port=1, service="new") for one in fleet(130)))

        assert len(it.ids()) == 150


@pytest.mark.parametrize("after", range(0, 36, 5))
async def test_cancelled_anywhere_it_leaves_no_task_and_the_next_pass_makes_it_whole(after: int) -> None:
    async with scene() as it:
        await it.want(*fleet(6))
        applying = asyncio.create_task(it.want(*fleet(600)))
        for _ in range(after):
            await asyncio.sleep(0)
        applying.cancel()
        with suppress(asyncio.CancelledError):
            await applying
        assert not [one for one in asyncio.all_tasks() if "Sender" in repr(one)]

        for name in list(it.catalog.doubtful):
            services, checks = await it.consul.node_services(name), await it.consul.node_checks(name)
            it.catalog.put_node(*read_node(services.value, checks.value, MINE))
        outcome = await it.want(*fleet(600))

        assert outcome.error is None
        assert not outcome.failed
        assert await it.agrees()
        assert len(it.ids()) == 600


async def test_a_transaction_that_is_cancelled_leaves_its_nodes_in_doubt() -> None:
    async with scene() as it:
        it.fake.faults.hang()
        seen: list[str] = []
        it.fake.on_request(lambda one: seen.append(one.path))
        applying = asyncio.create_task(it.want(WEB))
        await until(lambda: seen)
        applying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await applying

        assert set(it.catalog.doubtful) == {"n1"}
        it.fake.faults.resume()


# Who leads


async def test_the_fence_begins_every_transaction() -> None:
    async with scene() as it:
        await it.fence()
        outcome = await it.want(*fleet(300))

        assert len(outcome.done) == 300
        assert outcome.transactions == 5
        assert await it.agrees()


async def test_a_bridge_that_was_deposed_writes_nothing_more() -> None:
    async with scene() as it:
        session = await it.fence()
        await it.want(WEB)
        it.fake.expire_session(session)
        before = it.fake.dump(volatile=False)["nodes"]

        outcome = await it.want(API)

        assert outcome.deposed
        assert outcome.error is not None
        assert (outcome.done, outcome.failed) == ((), ())
        assert it.fake.dump(volatile=False)["nodes"] == before


async def test_a_bridge_that_is_deposed_in_the_middle_of_a_pass_stops_there() -> None:
    async with scene(BridgeOptions(owner=MINE, in_flight=1)) as it:
        session = await it.fence()
        count = 0

        def depose(one: Any) -> None:
            nonlocal count
            count += one.path == "/v1/txn"
            if count == 3:
                count += 1
                it.fake.expire_session(session)

        it.fake.on_request(depose)
        outcome = await it.want(*fleet(900))

        assert outcome.deposed
        assert outcome.transactions == 3
        assert len(it.ids()) == len(outcome.done) < 900
        assert not outcome.lost


async def test_a_fence_that_acls_forbid_is_an_error_and_no_deposition() -> None:
    async with scene(acls=True) as it:
        await it.fence()
        rules = Rules(node={"": "write"}, service={"": "write"})
        settings = Settings.read(it.fake.url, {"CONSUL_HTTP_TOKEN": it.fake.create_token(rules)})
        consul = Consul(settings, emit=lambda _: None, rng=random.Random(1))
        outcome = await Applier(consul, it.catalog, OPTIONS, it.lead).apply(it.plan([WEB]))
        await consul.aclose()

        assert isinstance(outcome.error, ConsulError)
        assert outcome.error.reason == "denied"
        assert not outcome.deposed


async def test_nothing_is_begun_by_a_bridge_that_knows_it_does_not_lead() -> None:
    async with scene() as it:
        it.lead.leads = False
        outcome = await it.want(WEB)

        assert outcome.deposed
        assert isinstance(outcome.error, NotLeading)
        assert it.fake.writes == 0


# What a real Consul cannot be made to say


class Scripted:
    """Answers each transaction by the next of these."""

    def __init__(self, *answers: Callable[[Sequence[bytes]], tuple[Result, ...]]) -> None:
        self._answers = list(answers)

    async def transact(self, operations: Sequence[bytes]) -> tuple[Result, ...]:
        return self._answers.pop(0)(operations)

    async def node_services(self, node: str, read: Any = None) -> Any:
        raise ConsulError("unreachable", reason="unreachable")

    async def node_checks(self, node: str, read: Any = None) -> Any:
        raise AssertionError


async def test_an_answer_that_lacks_a_result_leaves_the_node_in_doubt() -> None:
    catalog = Catalog()
    applier = Applier(Scripted(lambda _: ()), catalog, OPTIONS, Lead())

    outcome = await applier.apply(_new(WEB))

    assert outcome.lost == {"n1"}


@pytest.mark.parametrize("wrong", [-1, 99])
async def test_a_refusal_that_names_no_operation_of_ours_is_searched_for_its_culprit(wrong: int) -> None:
    sent: list[int] = []

    def refuse(operations: Sequence[bytes]) -> tuple[Result, ...]:
        sent.append(len(operations))
        raise TxnRefused("no", errors=[TxnError(op_index=wrong, what="something")], reason="conflict")

    outcome = await Applier(Scripted(*[refuse] * 5), Catalog(), OPTIONS, Lead()).apply(_new(WEB))

    assert sent == [3, 1]  # the node fails, and what would stand on it is not sent any more
    assert [(change.instance, reason) for change, reason in outcome.failed] == [(WEB, "conflict")]


async def test_a_node_that_cannot_be_read_before_it_is_deleted_stays() -> None:
    catalog = Catalog()
    node = NodeChange("delete", entry())

    outcome = await Applier(Scripted(), catalog, OPTIONS, Lead()).apply(Plan(nodes=(node,)))

    assert isinstance(outcome.error, ConsulError)
    assert outcome.transactions == 0


def _new(*instances: Instance) -> Plan:
    catalog = Catalog()
    nodes = {one.node: entry(int(one.node[1:])) for one in instances}
    changes = [change for one in instances for change in compare(one.of, by_key([one]), catalog, OPTIONS)]
    return guarded(changes, catalog, OPTIONS, nodes=nodes, sure=lambda _: True, confirmed=lambda _: False)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (['failed to set service "a" on node "b", index is stale'], "conflict"),
        (["Missing node registration"], "conflict"),
        (["index is stale", "Missing service registration"], "conflict"),
        (["Permission denied: token lacks permission", "Missing service registration"], "denied"),
        (["ACL not found"], "denied"),
        (["Invalid service address"], "invalid"),
        (["Invalid service address", "Missing service registration"], "invalid"),
    ],
)
def test_what_consul_says_of_an_operation_is_told_apart(said: list[str], reason: str) -> None:
    assert reason_of(said) == reason


# How much at a time


def test_limits_are_halved_and_never_below_what_any_server_takes() -> None:
    limits = Limits(4)
    for _ in range(10):
        limits.too_large(limits.operations, limits.body, counted=True)
        limits.too_large(limits.operations, limits.body, counted=False)

    assert (limits.operations, limits.body) == (8, 8 * 1024)
    assert repr(limits) == "<Limits 8 operations, 8192 bytes, 4 at a time>"


def test_what_is_learnt_from_a_small_transaction_that_was_refused_late_does_not_raise_the_limit() -> None:
    limits = Limits(4)
    limits.too_large(64, 1000, counted=True)
    limits.too_large(128, 1000, counted=True)

    assert limits.operations == 32


def test_one_more_goes_after_ten_that_were_taken() -> None:
    limits = Limits(3)
    limits.too_many()
    seen = []
    for _ in range(30):
        limits.taken()
        seen.append(limits.in_flight)

    assert seen == [1] * 9 + [2] * 10 + [3] * 11
