"""What Consul does, as far as discovery leans on it.

Import all of it where there are the fixtures `consul`, and `guarded` for one that denies what no token allows.
Sessions may live as shortly as a quarter of a second there.
"""

import asyncio
from typing import Any

import pytest

from ..until import until
from .consul import Consul, check, key, node, service

STALE = "index is stale"


async def placed(consul: Consul) -> tuple[str, str, int]:
    """A node with one passing instance: the node, the service, and the index that all of it has. The id is `a`."""
    on, name = consul.name("node"), consul.name("web")
    passing = check(on, "ready", ServiceID="a", ServiceName=name, Status="passing")
    made = await consul.txn(node(on), service(on, "a", name, Port=80), passing)
    return on, name, made.results[0]["Node"]["ModifyIndex"]


# Transactions


async def test_a_transaction_gives_what_it_wrote_in_order_under_one_index(consul: Consul) -> None:
    on, name = consul.name("node"), consul.name("web")
    made = await consul.txn(node(on), service(on, "a", name, Port=80), check(on, "c", ServiceID="a"))
    kinds = [kind for result in made.results for kind in result]
    assert kinds == ["Node", "Service", "Check"]
    assert len({row["ModifyIndex"] for result in made.results for row in result.values()}) == 1
    assert made.results[2]["Check"]["Status"] == "critical", "of a check that does not say"
    assert made.results[2]["Check"]["ServiceName"] == name


async def test_a_transaction_that_changes_nothing_moves_no_index(consul: Consul) -> None:
    on, name, index = await placed(consul)
    same = check(on, "ready", ServiceID="a", ServiceName=name, Status="passing")
    again = await consul.txn(node(on), service(on, "a", name, Port=80), same)
    assert [row["ModifyIndex"] for result in again.results for row in result.values()] == [index] * 3
    assert (await consul.get(f"/v1/catalog/node-services/{on}")).index == index
    assert (await consul.get(f"/v1/health/service/{name}")).index == index


async def test_a_transaction_with_one_bad_operation_does_nothing_and_tells_all_that_are_bad(consul: Consul) -> None:
    on, name, index = await placed(consul)
    gone = consul.name("nowhere")
    refused = await consul.txn(
        service(on, "b", name),
        service(on, "a", name, "cas", ModifyIndex=index + 1),
        service(gone, "a", name),
        check(on, "c", ServiceID="none"),
        check(on, "ready", "delete-cas", ModifyIndex=1),
        service(on, "a", name, "cas"),
    )
    assert refused.errors == [
        (1, f'failed to set service "a" on node "{on}", {STALE}'),
        (2, "Missing node registration"),
        (3, "Missing service registration"),
        (4, f'failed to delete check "ready" on node "{on}", {STALE}'),
        (5, f'failed to set service "a" on node "{on}", {STALE}'),
    ]
    listed = await consul.get(f"/v1/catalog/node-services/{on}")
    assert [row["ID"] for row in listed.body["Services"]] == ["a"]
    assert listed.index == index


async def test_an_operation_may_fail_only_because_one_before_it_did(consul: Consul) -> None:
    on, name = consul.name("node"), consul.name("web")
    refused = await consul.txn(node(on, "cas", ModifyIndex=7), service(on, "a", name), check(on, "c", ServiceID="a"))
    assert refused.errors == [
        (0, f'failed to set node "{on}", {STALE}'),
        (1, "Missing node registration"),
        (2, "Missing node registration"),
    ]


async def test_what_is_not_yet_there_is_made_with_index_0_and_only_once(consul: Consul) -> None:
    on, name = consul.name("node"), consul.name("web")
    new = (node(on, "cas"), service(on, "a", name, "cas"), check(on, "c", "cas", ServiceID="a"))
    assert len((await consul.txn(*new)).results) == 3
    assert [index for index, _ in (await consul.txn(*new)).errors] == [0, 1, 2]


async def test_compare_and_set_gives_the_new_index_and_none_where_nothing_changed(consul: Consul) -> None:
    on, name, index = await placed(consul)
    changed = await consul.txn(service(on, "a", name, "cas", Port=81, ModifyIndex=index))
    after = changed.results[0]["Service"]["ModifyIndex"]
    assert after > index
    assert (await consul.txn(service(on, "a", name, "cas", Port=82, ModifyIndex=index))).errors[0][0] == 0
    same = await consul.txn(service(on, "a", name, "cas", Port=81, ModifyIndex=after))
    assert same.results[0]["Service"]["ModifyIndex"] == after


async def test_a_deletion_gives_no_result_and_takes_the_checks_along(consul: Consul) -> None:
    on, name, index = await placed(consul)
    deleted = await consul.txn(service(on, "a", name, "delete-cas", ModifyIndex=index), node(on))
    assert [kind for result in deleted.results for kind in result] == ["Node"]
    assert (await consul.get(f"/v1/health/node/{on}")).body == []
    assert (await consul.get(f"/v1/health/service/{name}")).body == []


async def test_deleting_what_is_not_there_is_nothing_but_by_its_index_it_is_an_error(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    gone = consul.name("nowhere")
    nothing = (service(on, "none", name, "delete"), check(on, "none", "delete"), node(gone, "delete"))
    assert (await consul.txn(*nothing)).results == []
    refused = await consul.txn(
        service(on, "none", name, "delete-cas", ModifyIndex=1),
        check(on, "none", "delete-cas", ModifyIndex=1),
        node(gone, "delete-cas", ModifyIndex=1),
    )
    assert [index for index, _ in refused.errors] == [0, 1, 2]


async def test_a_node_is_deleted_with_all_that_is_on_it_and_its_sessions(consul: Consul) -> None:
    on, name, index = await placed(consul)
    held = await consul.session(Node=on)
    lock = consul.name("lock")
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"me", acquire=held)).body is True
    assert (await consul.txn(node(on, "delete-cas", ModifyIndex=index))).results == []
    assert (await consul.get(f"/v1/health/node/{on}")).body == []
    assert (await consul.get(f"/v1/health/service/{name}")).body == []
    assert (await consul.get(f"/v1/session/info/{held}")).body == []
    assert "Session" not in (await consul.get(f"/v1/kv/{lock}")).body[0]


async def test_128_operations_are_taken_and_one_more_is_too_many(consul: Consul) -> None:
    on = consul.name("node")
    operations = [node(on), *(check(on, f"c{number}") for number in range(127))]
    assert len((await consul.txn(*operations)).results) == 128
    refused = await consul.txn(*operations, check(on, "more"))
    assert (refused.status, refused.body) == (413, "Transaction contains too many operations (129 > 128)")


async def test_a_body_of_more_than_512_kib_is_too_large(consul: Consul) -> None:
    refused = await consul.txn(key("set", consul.name("big"), Value="A" * 2**19))
    assert refused.status == 413
    assert "too large, max size: 524288 bytes" in refused.body


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (service("n", "a", ""), "Must provide service name (Service.Service) when service ID is provided"),
        (service("n", "a", "", "delete"), "Must provide service name (Service.Service) when service ID is provided"),
        (service("n", "a", "web", Address="0.0.0.0"), "Invalid service address"),
        (service("n", "a", "web", "bogus"), "unknown service operation: bogus"),
        (node(""), "Must provide node"),
        (node("n", "bogus"), "unknown node operation: bogus"),
        (check("n", "c", "bogus"), "unknown check operation: bogus"),
        (key("bogus", "k"), "unknown KV operation: bogus"),
        (key("set", ""), "Must provide key"),
    ],
)
async def test_what_can_never_be_applied_is_refused_before_anything_else(
    consul: Consul, operation: dict[str, Any], what: str
) -> None:
    late = service(consul.name("nowhere"), "a", "web")
    assert (await consul.txn(late, operation)).errors == [(1, what)]


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"a b": "x"}, "Couldn't load metadata pair ('a b', 'x'): Key contains invalid characters"),
        (
            {"consul-x": "y"},
            "Couldn't load metadata pair ('consul-x', 'y'): Key prefix 'consul-' is reserved for internal use",
        ),
        ({str(n): "" for n in range(65)}, "Node metadata cannot contain more than 64 key/value pairs"),
    ],
)
async def test_metadata_is_looked_at(consul: Consul, meta: dict[str, str], reason: str) -> None:
    on, name, _ = await placed(consul)
    refused = await consul.txn(service(on, "b", name, Meta=meta))
    assert refused.errors == [(0, f"Invalid Service Meta for node {on} and serviceID b: {reason}")]


async def test_a_body_with_a_field_that_nobody_knows_is_refused_as_a_whole(consul: Consul) -> None:
    refused = await consul.txn(service(consul.name("node"), "a", "web", Prot=80))
    assert refused.status == 400
    assert refused.body.startswith("Failed to parse body: json: ")


async def test_a_time_that_is_none_refuses_the_whole_body(consul: Consul) -> None:
    definition = {"TCP": "a:1", "Interval": "soon"}
    refused = await consul.txn(node(""), check("n", "c", Definition=definition))
    assert (refused.status, refused.body) == (400, 'Failed to parse body: time: invalid duration "soon"')
    body = {"Node": "n", "Address": "10.0.0.1", "Check": {"Name": "c", "Definition": definition}}
    refused = await consul.ask("PUT", "/v1/catalog/register", body)
    assert (refused.status, refused.body) == (400, 'Request decode failed: time: invalid duration "soon"')


async def test_an_operation_without_content_is_left_out_and_not_counted(consul: Consul) -> None:
    assert (await consul.txn({}, key("get", consul.name("none")))).errors[0][0] == 0


async def test_a_transaction_of_reads_is_a_read(consul: Consul) -> None:
    on, name, index = await placed(consul)
    read = await consul.txn(service(on, "a", name, "get"), node(on, "get"), check(on, "ready", "get"))
    assert [row["ModifyIndex"] for result in read.body["Results"] for row in result.values()] == [index] * 3
    missing = await consul.txn(service(on, "none", name, "get"))
    assert missing.body["Errors"] == [{"OpIndex": 0, "What": f'service "none" on node "{on}" doesn\'t exist'}]


# Normalisation


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, (1, 1)),
        ({"Passing": 0, "Warning": 0}, (1, 1)),
        ({"Passing": 3}, (3, 0)),
        ({"Passing": 3, "Warning": 2}, (3, 2)),
        ({"Passing": 65535, "Warning": 1}, (65535, 1)),
        ({"Passing": 65536, "Warning": 1}, (1, 1)),
    ],
)
async def test_weights_that_are_not_allowed_are_1_and_1(
    consul: Consul, given: dict[str, int] | None, stored: tuple[int, int]
) -> None:
    on, name, _ = await placed(consul)
    weights: dict[str, Any] = {} if given is None else {"Weights": given}
    made = await consul.txn(service(on, "b", name, **weights))
    assert tuple(made.results[0]["Service"]["Weights"].values()) == stored


async def test_no_tags_are_not_the_same_as_an_empty_list_but_are_read_so(consul: Consul) -> None:
    on, name, index = await placed(consul)
    empty = await consul.txn(service(on, "a", name, Port=80, Tags=[]))
    assert empty.results[0]["Service"]["ModifyIndex"] > index
    none = await consul.txn(service(on, "a", name, Port=80, Tags=None))
    assert none.results[0]["Service"]["Tags"] is None
    (row,) = (await consul.get(f"/v1/catalog/node-services/{on}")).body["Services"]
    assert row["Tags"] == []


async def test_a_port_of_0_is_not_there_and_tagged_addresses_are_lost_in_a_transaction(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    lan = {"lan": {"Address": "10.0.0.9", "Port": 1}}
    row = (await consul.txn(service(on, "b", name, Port=0, TaggedAddresses=lan))).results[0]["Service"]
    assert "Port" not in row
    assert "TaggedAddresses" not in row


async def test_a_check_keeps_its_definition_with_times_as_go_writes_them(consul: Consul) -> None:
    on, _, _ = await placed(consul)
    definition = {"TCP": "10.0.0.1:80", "Interval": "90s", "Timeout": "1500ms", "DeregisterCriticalServiceAfter": "72h"}
    made = await consul.txn(check(on, "c", ServiceID="a", Definition=definition))
    row = made.results[0]["Check"]
    times = {"Interval": "1m30s", "Timeout": "1.5s", "DeregisterCriticalServiceAfter": "72h0m0s"}
    assert row["Definition"] == {"TCP": "10.0.0.1:80", **times}
    assert row["Type"] == ""


async def test_names_of_nodes_and_services_are_the_same_in_any_case(consul: Consul) -> None:
    on, name, index = await placed(consul)
    again = await consul.txn(node(on.upper()))
    assert (again.results[0]["Node"]["Node"], again.results[0]["Node"]["ModifyIndex"]) == (on, index)
    assert len((await consul.get(f"/v1/health/service/{name.upper()}")).body) == 1


async def test_an_instance_may_change_its_service_and_those_who_watch_the_former_hear_nothing(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    assert (await consul.txn(service(on, "b", name))).status == 200
    before = (await consul.get(f"/v1/health/service/{name}")).index
    other = consul.name("renamed")
    moved = (await consul.txn(service(on, "a", other))).results[0]["Service"]["ModifyIndex"]
    former = await consul.get(f"/v1/health/service/{name}")
    assert [entry["Service"]["ID"] for entry in former.body] == ["b"]
    assert former.index == before
    assert (await consul.get(f"/v1/health/service/{other}")).index == moved


# Reads


async def test_an_unknown_node_is_null_and_an_unknown_service_is_nobody(consul: Consul) -> None:
    gone = consul.name("nowhere")
    listed = await consul.get(f"/v1/catalog/node-services/{gone}")
    assert (listed.status, listed.body) == (200, {"Node": None, "Services": None})
    assert (await consul.get(f"/v1/health/node/{gone}")).body == []
    assert (await consul.get(f"/v1/health/service/{gone}")).body == []
    assert (await consul.get(f"/v1/catalog/service/{gone}")).body == []


async def test_an_instance_passes_only_with_its_node(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    assert len((await consul.get(f"/v1/health/service/{name}", passing="")).body) == 1
    await consul.txn(check(on, "node", Status="critical"))
    assert (await consul.get(f"/v1/health/service/{name}", passing="1")).body == []
    (entry,) = (await consul.get(f"/v1/health/service/{name}", passing="false")).body
    assert [row["CheckID"] for row in entry["Checks"]] == ["node", "ready"]


async def test_instances_are_chosen_by_all_of_the_tags_and_the_nodes_metadata(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    await consul.txn(node(on, Meta={"zone": "a", "rack": "1"}), service(on, "b", name, Tags=["v1", "fast"]))

    async def ids(*query: tuple[str, str]) -> list[str]:
        path = f"/v1/health/service/{name}?" + "&".join(f"{key}={value}" for key, value in query)
        return [entry["Service"]["ID"] for entry in (await consul.get(path)).body]

    assert await ids(("tag", "v1"), ("tag", "FAST")) == ["b"]
    assert await ids(("tag", "v1"), ("tag", "slow")) == []
    assert await ids(("node-meta", "zone:a"), ("node-meta", "rack:1")) == ["a", "b"]
    assert await ids(("node-meta", "zone:a"), ("node-meta", "rack:2")) == []


@pytest.mark.parametrize(
    ("expression", "ids"),
    [
        ('Meta["own-er"] == "me"', ["a"]),
        ("Meta.owner == me", ["c"]),
        ('Meta["own-er"] != "me"', ["b", "c"]),
        ('"v1" in Tags', ["b"]),
        ('Tags contains "v1" or Meta.owner == "me"', ["b", "c"]),
        ('"v1" not in Tags and Service != "x"', ["a", "c"]),
        ("Tags is empty", ["a", "c"]),
        ('not (ID == "a" or ID == "b")', ["c"]),
        ('ID matches "^[ab]$"', ["a", "b"]),
        ("Port == 80", ["a"]),
        ("", ["a", "b", "c"]),
    ],
)
async def test_filter_expressions_choose_rows(consul: Consul, expression: str, ids: list[str]) -> None:
    on, name = consul.name("node"), consul.name("web")
    await consul.txn(
        node(on),
        service(on, "a", name, Port=80, Meta={"own-er": "me"}),
        service(on, "b", name, Tags=["v1"]),
        service(on, "c", name, Meta={"owner": "me"}),
    )
    found = await consul.get(f"/v1/catalog/node-services/{on}", filter=expression)
    assert [row["ID"] for row in found.body["Services"]] == ids


async def test_nodes_are_found_by_their_metadata(consul: Consul) -> None:
    on, other, owner = consul.name("node"), consul.name("node"), consul.name("me")
    await consul.txn(node(on, Meta={"owner-id": owner}), node(other))
    found = await consul.get("/v1/catalog/nodes", filter=f'Meta["owner-id"] == "{owner}"')
    assert [row["Node"] for row in found.body] == [on]


@pytest.mark.parametrize("expression", ["Nope == 1", "((", "ID ==", "ID = 1"])
async def test_a_filter_that_cannot_be_is_refused(consul: Consul, expression: str) -> None:
    refused = await consul.get("/v1/catalog/nodes", filter=expression)
    assert refused.status == 500
    assert refused.body.startswith("Failed to create boolean expression evaluator: ")


async def test_services_are_listed_with_the_tags_of_all_their_instances(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    await consul.txn(service(on, "b", name, Tags=["x", "y"]), service(on, "c", name, Tags=["y"]))
    assert sorted((await consul.get("/v1/catalog/services")).body[name]) == ["x", "y"]
    found = (await consul.get(f"/v1/catalog/service/{name}")).body
    assert {(row["ServiceID"], row["Node"], row["Address"]) for row in found} == {
        (instance, on, "10.0.0.1") for instance in ("a", "b", "c")
    }


async def test_checks_are_listed_by_state_and_by_service(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    await consul.txn(check(on, "bad", ServiceID="a", Status="critical"))

    async def ids(path: str) -> list[str]:
        return [row["CheckID"] for row in (await consul.get(path)).body if row["Node"] == on]

    assert await ids("/v1/health/state/critical") == ["bad"]
    assert await ids("/v1/health/state/any") == ["bad", "ready"]
    assert await ids(f"/v1/health/checks/{name}") == ["bad", "ready"]


async def test_a_read_says_that_there_is_a_leader_and_how_old_it_is(consul: Consul) -> None:
    for mode in ("stale", "consistent"):
        read = await consul.get("/v1/catalog/nodes", **{mode: ""})
        assert read.headers["X-Consul-KnownLeader"] == "true"
        assert int(read.headers["X-Consul-LastContact"]) < 1000
        assert read.headers["X-Consul-Effective-Consistency"] == mode
    both = await consul.get("/v1/catalog/nodes", stale="", consistent="")
    assert (both.status, both.body) == (
        400,
        "Cannot specify ?stale with ?consistent, conflicting semantics.",
    )


@pytest.mark.parametrize(("wrong", "says"), [({"wait": "x"}, "Invalid wait time"), ({"index": "x"}, "Invalid index")])
async def test_a_parameter_that_cannot_be_is_refused(consul: Consul, wrong: dict[str, str], says: str) -> None:
    refused = await consul.get("/v1/catalog/nodes", **wrong)
    assert (refused.status, refused.body) == (400, says)


async def test_a_prepared_query_finds_what_is_not_critical_by_name_and_by_id(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    await consul.txn(
        service(on, "b", name),
        check(on, "b", ServiceID="b", Status="warning"),
        service(on, "c", name),
        check(on, "c", ServiceID="c", Status="critical"),
    )
    query, strict = consul.name("query"), consul.name("query")
    made = await consul.ask("POST", "/v1/query", {"Name": query, "Service": {"Service": name}})
    await consul.ask("POST", "/v1/query", {"Name": strict, "Service": {"Service": name, "OnlyPassing": True}})

    async def ids(which: str, **parameters: str) -> set[str]:
        found = await consul.get(f"/v1/query/{which}/execute", **parameters)
        assert (found.body["Service"], found.body["Failovers"]) == (name, 0)
        return {entry["Service"]["ID"] for entry in found.body["Nodes"]}

    assert await ids(query) == await ids(made.body["ID"]) == {"a", "b"}
    assert await ids(strict) == {"a"}
    assert len(await ids(query, limit="1")) == 1
    missing = await consul.get(f"/v1/query/{consul.name('query')}/execute")
    assert (missing.status, missing.body) == (404, "Query not found")


# Registering one by one


async def test_register_writes_a_node_an_instance_and_its_checks_in_one_call(consul: Consul) -> None:
    on, name = consul.name("node"), consul.name("web")
    body = {
        "Node": on,
        "Address": "10.0.0.1",
        "Service": {"Service": name, "Port": 80},
        "Check": {"Name": "up", "ServiceID": name, "Status": "passing", "Definition": {"TCP": "a:1", "Interval": "5s"}},
    }
    assert (await consul.ask("PUT", "/v1/catalog/register", body)).body is True
    (entry,) = (await consul.get(f"/v1/health/service/{name}", passing="")).body
    assert (entry["Service"]["ID"], entry["Checks"][0]["CheckID"], entry["Checks"][0]["Type"]) == (name, "up", "tcp")
    index = entry["Service"]["ModifyIndex"]
    await consul.ask("PUT", "/v1/catalog/register", body)
    assert (await consul.get(f"/v1/catalog/node-services/{on}")).index == index


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"Address": "10.0.0.1"}, "Must provide node"),
        ({"Node": "n"}, "Must provide address if SkipNodeUpdate is not set"),
    ],
)
async def test_register_needs_a_node_and_its_address(consul: Consul, body: dict[str, str], says: str) -> None:
    refused = await consul.ask("PUT", "/v1/catalog/register", body)
    assert (refused.status, refused.body) == (500, says)


async def test_deregister_takes_an_instance_or_a_check_or_the_whole_node(consul: Consul) -> None:
    on, name, _ = await placed(consul)
    await consul.txn(service(on, "b", name), check(on, "node", Status="passing"))
    for what in ({"ServiceID": "a"}, {"CheckID": "node"}, {"ServiceID": "none"}):
        assert (await consul.ask("PUT", "/v1/catalog/deregister", {"Node": on, **what})).body is True
    listed = await consul.get(f"/v1/catalog/node-services/{on}")
    assert [row["ID"] for row in listed.body["Services"]] == ["b"]
    assert (await consul.get(f"/v1/health/node/{on}")).body == []
    await consul.ask("PUT", "/v1/catalog/deregister", {"Node": on})
    assert (await consul.get(f"/v1/catalog/node-services/{on}")).body["Node"] is None


# Blocking


async def test_a_blocking_query_answers_at_once_what_is_new_already(consul: Consul) -> None:
    _, name, index = await placed(consul)
    async with asyncio.timeout(5):
        read = await consul.get(f"/v1/health/service/{name}", index=index - 1, wait="60s")
    assert read.index == index


async def test_a_blocking_query_that_sees_nothing_new_answers_the_same_index(consul: Consul) -> None:
    on, name, index = await placed(consul)
    for path in (f"/v1/health/service/{name}", f"/v1/catalog/node-services/{on}"):
        assert (await consul.get(path, index=index, wait="50ms")).index == index


@pytest.mark.parametrize("kind", ["service", "check", "node check", "node", "deletion"])
async def test_a_query_for_a_service_wakes_for_all_that_concerns_its_health(consul: Consul, kind: str) -> None:
    on, name, index = await placed(consul)
    waiting = asyncio.ensure_future(consul.get(f"/v1/health/service/{name}", index=index, wait="60s"))
    changes = {
        "service": service(on, "a", name, Port=81),
        "check": check(on, "ready", ServiceID="a", Status="critical"),
        "node check": check(on, "node", Status="critical"),
        "node": node(on, Address="10.0.0.2"),
        "deletion": service(on, "a", name, "delete"),
    }
    await asyncio.sleep(0.02)  # so that it may be waiting; the law holds in either order
    assert (await consul.txn(changes[kind])).status == 200
    async with asyncio.timeout(5):
        assert (await waiting).index > index


async def test_the_index_of_a_service_stays_where_others_change_even_on_its_node(consul: Consul) -> None:
    on, name, index = await placed(consul)
    other = consul.name("other")
    await consul.txn(service(on, "z", other), check(on, "z", ServiceID="z", Status="passing"))
    await consul.txn(check(on, "z", ServiceID="z", Status="critical"))
    assert (await consul.get(f"/v1/health/service/{name}")).index == index
    await consul.txn(service(on, "z", other, "delete"))
    assert (await consul.get(f"/v1/health/service/{name}")).index == index


async def test_the_index_of_a_node_moves_with_its_instances_only(consul: Consul) -> None:
    on, name, index = await placed(consul)
    path = f"/v1/catalog/node-services/{on}"
    await consul.txn(check(on, "ready", ServiceID="a", Status="critical"), node(consul.name("node")))
    assert (await consul.get(path)).index == index
    made = await consul.txn(service(on, "b", name))
    assert (await consul.get(path)).index == made.results[0]["Service"]["ModifyIndex"]
    waiting = asyncio.ensure_future(consul.get(path, index=(await consul.get(path)).index, wait="60s"))
    await asyncio.sleep(0.02)
    await consul.txn(service(on, "b", name, "delete"))
    async with asyncio.timeout(5):
        assert [row["ID"] for row in (await waiting).body["Services"]] == ["a"]


async def test_the_index_of_checks_moves_with_any_check(consul: Consul) -> None:
    on, _, _ = await placed(consul)
    before = (await consul.get(f"/v1/health/node/{on}")).index
    elsewhere = consul.name("node")
    await consul.txn(node(elsewhere), check(elsewhere, "c"))
    assert (await consul.get(f"/v1/health/node/{on}")).index > before


async def test_who_waits_for_a_service_that_is_not_there_hears_of_its_first_instance(consul: Consul) -> None:
    on, _, _ = await placed(consul)
    name = consul.name("late")
    index = (await consul.get(f"/v1/health/service/{name}")).index
    waiting = asyncio.ensure_future(consul.get(f"/v1/health/service/{name}", index=index, wait="60s"))
    await asyncio.sleep(0.02)
    await consul.txn(service(on, "late", name))
    async with asyncio.timeout(5):
        while not (read := await waiting).body:  # others' deletions wake it too
            waiting = asyncio.ensure_future(consul.get(f"/v1/health/service/{name}", index=read.index, wait="60s"))
    assert read.body[0]["Service"]["ID"] == "late"


async def test_who_waits_for_a_key_hears_of_that_key_only(consul: Consul) -> None:
    name = consul.name("key")
    absent = await consul.get(f"/v1/kv/{name}")
    assert absent.status == 404
    waiting = asyncio.ensure_future(consul.get(f"/v1/kv/{name}", index=absent.index, wait="60s"))
    await asyncio.sleep(0.02)
    await consul.ask("PUT", f"/v1/kv/{consul.name('key')}", b"x")
    await consul.ask("PUT", f"/v1/kv/{name}", b"x")
    async with asyncio.timeout(5):
        made = await waiting
    if made.status == 404:  # it began to wait after the other key was written
        made = await consul.get(f"/v1/kv/{name}", index=made.index, wait="60s")
    assert (made.status, made.index) == (200, made.body[0]["ModifyIndex"])
    await consul.ask("PUT", f"/v1/kv/{consul.name('key')}", b"x")
    assert (await consul.get(f"/v1/kv/{name}", index=made.index, wait="50ms")).index == made.index


async def test_who_waits_for_a_key_hears_that_it_was_deleted(consul: Consul) -> None:
    name = consul.name("key")
    await consul.ask("PUT", f"/v1/kv/{name}", b"x")
    index = (await consul.get(f"/v1/kv/{name}")).index
    waiting = asyncio.ensure_future(consul.get(f"/v1/kv/{name}", index=index, wait="60s"))
    await asyncio.sleep(0.02)
    await consul.ask("DELETE", f"/v1/kv/{name}")
    async with asyncio.timeout(5):
        gone = await waiting
    assert gone.status == 404
    assert gone.index > index


# Keys


async def test_a_key_is_written_read_and_deleted(consul: Consul) -> None:
    name = consul.name("key")
    assert (await consul.ask("PUT", f"/v1/kv/{name}", b"hello", flags=42)).body is True
    row = (await consul.get(f"/v1/kv/{name}")).body[0]
    assert (row["Value"], row["Flags"], row["LockIndex"]) == ("aGVsbG8=", 42, 0)
    assert "Session" not in row
    assert (await consul.get(f"/v1/kv/{name}", raw="")).body == "hello"
    await consul.ask("PUT", f"/v1/kv/{name}", b"hello", flags=42)
    assert (await consul.get(f"/v1/kv/{name}")).body[0] == row, "the same again is no change"
    assert (await consul.ask("DELETE", f"/v1/kv/{name}")).body is True
    assert (await consul.get(f"/v1/kv/{name}")).status == 404


async def test_an_empty_value_is_null(consul: Consul) -> None:
    name = consul.name("key")
    await consul.ask("PUT", f"/v1/kv/{name}", b"")
    assert (await consul.get(f"/v1/kv/{name}")).body[0]["Value"] is None


async def test_a_key_is_compared_before_it_is_set_or_deleted(consul: Consul) -> None:
    name = consul.name("key")
    assert (await consul.ask("PUT", f"/v1/kv/{name}", b"1", cas=7)).body is False
    assert (await consul.ask("PUT", f"/v1/kv/{name}", b"1", cas=0)).body is True
    assert (await consul.ask("PUT", f"/v1/kv/{name}", b"2", cas=0)).body is False
    index = (await consul.get(f"/v1/kv/{name}")).index
    assert (await consul.ask("PUT", f"/v1/kv/{name}", b"2", cas=index)).body is True
    assert (await consul.ask("DELETE", f"/v1/kv/{name}", cas=index)).body is False
    now = (await consul.get(f"/v1/kv/{name}")).index
    assert (await consul.ask("DELETE", f"/v1/kv/{name}", cas=now)).body is True
    assert (await consul.ask("DELETE", f"/v1/kv/{name}", cas=now)).body is True, "what is gone is as wanted"


async def test_keys_are_listed_by_their_prefix(consul: Consul) -> None:
    prefix = consul.name("tree")
    for name in ("b", "a"):
        await consul.ask("PUT", f"/v1/kv/{prefix}/{name}", b"x")
    assert (await consul.get(f"/v1/kv/{prefix}/", keys="")).body == [f"{prefix}/a", f"{prefix}/b"]
    assert [row["Key"] for row in (await consul.get(f"/v1/kv/{prefix}/", recurse="")).body] == [
        f"{prefix}/a",
        f"{prefix}/b",
    ]
    await consul.ask("DELETE", f"/v1/kv/{prefix}/", recurse="")
    assert (await consul.get(f"/v1/kv/{prefix}/", recurse="")).status == 404


async def test_two_of_cas_acquire_and_release_are_refused(consul: Consul) -> None:
    assert (await consul.ask("PUT", "/v1/kv/k", b"", cas=1, acquire="x")).status == 400


async def test_every_verb_for_keys_fails_in_its_own_words(consul: Consul) -> None:
    name, gone = consul.name("key"), consul.name("none")
    made = (await consul.txn(key("set", name, Value="eA=="))).results[0]["KV"]
    assert made["Value"] is None, "only a get tells the value"
    index = made["ModifyIndex"]
    refused = await consul.txn(
        key("get", gone),
        key("check-index", name, Index=1),
        key("check-index", gone, Index=1),
        key("check-session", name, Session="s"),
        key("check-session", gone, Session="s"),
        key("check-not-exists", name),
        key("cas", name, Index=1),
        key("delete-cas", name, Index=1),
        key("lock", name, Session="s"),
        key("lock", name),
        key("unlock", name, Session="s"),
    )
    assert refused.errors == [
        (0, f'key "{gone}" doesn\'t exist'),
        (1, f'failed index check for key "{name}", current modify index {index} != 1'),
        (2, f'failed to check index, key "{gone}" doesn\'t exist'),
        (3, f'failed session check for key "{name}", current session "" != "s"'),
        (4, f'failed to check session, key "{gone}" doesn\'t exist'),
        (5, f'key "{name}" exists'),
        (6, f'failed to set key "{name}", {STALE}'),
        (7, f'failed to delete key "{name}", {STALE}'),
        (8, 'invalid session "s"'),
        (9, "missing session"),
        (10, f'failed to unlock key "{name}", lock isn\'t held, or is held by another session'),
    ]


# Sessions and locks


async def test_one_session_holds_a_lock_and_no_other_gets_it(consul: Consul) -> None:
    lock, one, two = consul.name("lock"), await consul.session(), await consul.session()
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)).body is True
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"two", acquire=two)).body is False
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"two", release=two)).body is False
    row = (await consul.get(f"/v1/kv/{lock}")).body[0]
    assert (row["Session"], row["LockIndex"], row["Value"]) == (one, 1, "b25l")
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"bye", release=one)).body is True
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"two", acquire=two)).body is True
    assert (await consul.get(f"/v1/kv/{lock}")).body[0]["LockIndex"] == 2


async def test_who_holds_a_lock_may_take_it_again_which_is_no_change(consul: Consul) -> None:
    lock, one = consul.name("lock"), await consul.session()
    await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)
    before = (await consul.get(f"/v1/kv/{lock}")).body
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)).body is True
    assert (await consul.get(f"/v1/kv/{lock}")).body == before


async def test_a_lock_is_advice_and_a_plain_write_leaves_the_holder(consul: Consul) -> None:
    lock, one = consul.name("lock"), await consul.session()
    await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"plain")).body is True
    assert (await consul.get(f"/v1/kv/{lock}")).body[0]["Session"] == one


async def test_a_transaction_is_fenced_by_the_session_that_holds_a_lock(consul: Consul) -> None:
    lock, one, two = consul.name("lock"), await consul.session(), await consul.session()
    await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)
    on = consul.name("node")
    made = await consul.txn(key("check-session", lock, Session=one), node(on))
    assert [kind for result in made.results for kind in result] == ["KV", "Node"]
    refused = await consul.txn(key("check-session", lock, Session=two), node(on, "delete"))
    assert refused.errors == [(0, f'failed session check for key "{lock}", current session "{one}" != "{two}"')]
    await consul.ask("PUT", f"/v1/session/destroy/{one}")
    refused = await consul.txn(key("check-session", lock, Session=one), node(on, "delete"))
    assert refused.errors == [(0, f'failed session check for key "{lock}", current session "" != "{one}"')]
    assert (await consul.get(f"/v1/catalog/node-services/{on}")).body["Node"]["Node"] == on


async def test_a_lock_in_a_transaction_is_taken_and_given_back(consul: Consul) -> None:
    lock, one, two = consul.name("lock"), await consul.session(), await consul.session()
    taken = (await consul.txn(key("lock", lock, Session=one, Value="eA=="))).results[0]["KV"]
    assert (taken["Session"], taken["LockIndex"]) == (one, 1)
    held = await consul.txn(key("lock", lock, Session=two))
    assert held.errors == [(0, f'failed to lock key "{lock}", lock is already held')]
    given = (await consul.txn(key("unlock", lock, Session=one))).results[0]["KV"]
    assert "Session" not in given


async def test_the_end_of_a_session_frees_its_locks_or_deletes_their_keys(consul: Consul) -> None:
    kept, gone = consul.name("lock"), consul.name("lock")
    one, two = await consul.session(), await consul.session(Behavior="delete")
    await consul.ask("PUT", f"/v1/kv/{kept}", b"one", acquire=one)
    await consul.ask("PUT", f"/v1/kv/{gone}", b"two", acquire=two)
    for session in (one, two, one):
        assert (await consul.ask("PUT", f"/v1/session/destroy/{session}")).body is True
    row = (await consul.get(f"/v1/kv/{kept}")).body[0]
    assert "Session" not in row
    assert row["Value"] == "b25l"
    assert (await consul.get(f"/v1/kv/{gone}")).status == 404


async def test_after_the_end_of_a_session_its_lock_is_refused_for_its_lock_delay(consul: Consul) -> None:
    lock, one, two = consul.name("lock"), await consul.session(LockDelay="60s"), await consul.session()
    await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)
    await consul.ask("PUT", f"/v1/session/destroy/{one}")
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"two", acquire=two)).body is False
    refused = await consul.txn(key("lock", lock, Session=two))
    assert refused.errors == [(0, f'failed to lock key "{lock}" due to lock delay')]


async def test_a_lock_that_was_given_back_has_no_lock_delay(consul: Consul) -> None:
    lock, one, two = consul.name("lock"), await consul.session(LockDelay="60s"), await consul.session()
    await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)
    await consul.ask("PUT", f"/v1/kv/{lock}", b"", release=one)
    await consul.ask("PUT", f"/v1/session/destroy/{one}")
    assert (await consul.ask("PUT", f"/v1/kv/{lock}", b"two", acquire=two)).body is True


async def test_a_session_that_is_not_renewed_ends_and_who_waits_for_its_lock_hears_of_it(consul: Consul) -> None:
    lock, one = consul.name("lock"), await consul.session(TTL="250ms")
    await consul.ask("PUT", f"/v1/kv/{lock}", b"one", acquire=one)
    index = (await consul.get(f"/v1/kv/{lock}")).index
    async with asyncio.timeout(10):
        freed = await consul.get(f"/v1/kv/{lock}", index=index, wait="60s")
    assert "Session" not in freed.body[0]
    gone = await consul.ask("PUT", f"/v1/session/renew/{one}")
    assert (gone.status, gone.body) == (404, f"Session id '{one}' not found")


async def test_a_session_that_is_renewed_lives(consul: Consul) -> None:
    one = await consul.session(TTL="300ms", Name="ours")
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 1.0:
        (renewed,) = (await consul.ask("PUT", f"/v1/session/renew/{one}")).body
        assert (renewed["ID"], renewed["TTL"], renewed["Name"]) == (one, "300ms", "ours")
        await asyncio.sleep(0.05)
    (found,) = (await consul.get(f"/v1/session/info/{one}")).body
    assert (found["Behavior"], found["LockDelay"], found["NodeChecks"]) == ("release", 0, [])
    assert one in [row["ID"] for row in (await consul.get("/v1/session/list")).body]
    await consul.ask("PUT", f"/v1/session/destroy/{one}")


async def test_a_session_belongs_to_the_server_and_its_health_unless_it_says_otherwise(consul: Consul) -> None:
    made = await consul.ask("PUT", "/v1/session/create")
    (found,) = (await consul.get(f"/v1/session/info/{made.body['ID']}")).body
    assert (found["Node"], found["NodeChecks"], found["LockDelay"]) == (consul.node, ["serfHealth"], 15 * 10**9)


async def test_a_session_ends_with_a_check_that_it_depends_on(consul: Consul) -> None:
    on, _, _ = await placed(consul)
    await consul.txn(check(on, "alive", Status="passing"))
    one, two = await consul.session(Node=on, NodeChecks=["alive"]), await consul.session(Node=on)
    await consul.txn(check(on, "alive", Status="critical"))
    assert (await consul.get(f"/v1/session/info/{one}")).body == []
    assert len((await consul.get(f"/v1/session/info/{two}")).body) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"TTL": "100ms"}, "Invalid Session TTL '100000000', must be between [250ms=24h0m0s]"),
        ({"TTL": "90000s"}, "Invalid Session TTL '90000000000000', must be between [250ms=24h0m0s]"),
        ({"TTL": "x"}, "Session TTL 'x' invalid: time: invalid duration \"x\""),
        ({"Behavior": "x"}, "Invalid Behavior setting 'x'"),
        ({"Node": "nowhere"}, "apply failed: Missing node registration"),
        ({"NodeChecks": ["none"]}, "apply failed: Missing check 'none' registration"),
    ],
)
async def test_a_session_that_cannot_be_is_refused(consul: Consul, body: dict[str, Any], says: str) -> None:
    refused = await consul.ask("PUT", "/v1/session/create", body)
    assert (refused.status, refused.body) == (500, says)


async def test_a_lock_with_a_session_that_is_gone_is_an_error(consul: Consul) -> None:
    refused = await consul.ask("PUT", f"/v1/kv/{consul.name('lock')}", b"", acquire="gone")
    assert (refused.status, refused.body) == (500, 'raft apply failed: invalid session "gone"')


# The server itself


async def test_the_server_says_its_version_and_its_leader(consul: Consul) -> None:
    told = (await consul.get("/v1/agent/self")).body["Config"]
    assert (told["NodeName"], told["Server"], told["Datacenter"]) == (consul.node, True, "dc1")
    assert [part.isdecimal() for part in told["Version"].split(".")] == [True] * 3
    assert (await consul.get("/v1/status/leader")).body.endswith(":8300")


async def test_the_server_has_itself_in_its_catalog(consul: Consul) -> None:
    listed = await consul.get(f"/v1/catalog/node-services/{consul.node}")
    assert [row["ID"] for row in listed.body["Services"]] == ["consul"]
    checks = {row["CheckID"]: row["Status"] for row in (await consul.get(f"/v1/health/node/{consul.node}")).body}
    assert checks["serfHealth"] == "passing"


async def test_a_path_or_a_method_that_there_is_not_is_said_to_be_none(consul: Consul) -> None:
    unknown = await consul.get("/v1/bogus")
    assert (unknown.status, unknown.body) == (404, "Invalid URL path: not a recognized HTTP API endpoint\n")
    wrong = await consul.ask("POST", "/v1/txn", [])
    assert (wrong.status, wrong.body) == (405, "method POST not allowed")


async def test_without_acls_there_are_no_tokens(consul: Consul) -> None:
    for method, path in (("GET", "/v1/acl/token/self"), ("POST", "/v1/acl/login"), ("POST", "/v1/acl/logout")):
        refused = await consul.ask(method, path, {})
        assert (refused.status, refused.body) == (401, "ACL support disabled")


async def test_there_is_one_datacenter(consul: Consul) -> None:
    assert (await consul.get("/v1/catalog/nodes", dc="dc1")).status == 200
    elsewhere = await consul.get("/v1/catalog/nodes", dc="nowhere")
    assert (elsewhere.status, elsewhere.body) == (500, "No path to datacenter")


# Tokens


async def test_a_token_that_there_is_not_is_refused_whatever_it_asks(guarded: Consul) -> None:
    for refused in (
        await guarded.ask("GET", "/v1/catalog/nodes", token="00000000-1111-2222-3333-444444444444"),
        await guarded.txn(node("n"), token="00000000-1111-2222-3333-444444444444"),
    ):
        assert (refused.status, "ACL not found" in refused.body) == (403, True)


async def test_what_a_token_may_not_write_is_told_of_each_operation(guarded: Consul) -> None:
    ours, theirs, on = guarded.name("ours"), guarded.name("theirs"), guarded.name("node")
    token = await guarded.make_token({"service": {ours: "write"}, "node": {"": "read"}})
    accessor = (await guarded.ask("GET", "/v1/acl/token/self", token=token)).body["AccessorID"]
    lacks = f"Permission denied: token with AccessorID '{accessor}' lacks permission"
    refused = await guarded.txn(
        service(on, "a", ours),
        node(on),
        service(on, "b", theirs),
        check(on, "c", ServiceID="b", ServiceName=theirs),
        check(on, "n"),
        token=token,
    )
    assert refused.errors == [
        (1, f"{lacks} 'node:write' on \"{on}\""),
        (2, f"{lacks} 'service:write' on \"{theirs}\""),
        (3, f"{lacks} 'service:write' on \"{theirs}\""),
        (4, f"{lacks} 'node:write' on \"{on}\""),
    ]
    await guarded.txn(node(on))
    assert len((await guarded.txn(service(on, "a", ours), token=token)).results) == 1


async def test_a_read_leaves_out_what_may_not_be_seen_and_says_so(guarded: Consul) -> None:
    on, ours, theirs = guarded.name("node"), guarded.name("ours"), guarded.name("theirs")
    await guarded.txn(node(on), service(on, "a", ours), service(on, "b", theirs))
    token = await guarded.make_token({"service": {ours: "read"}, "node": {"node": "read"}})
    partial = await guarded.ask("GET", f"/v1/catalog/node-services/{on}", token=token)
    assert [row["ID"] for row in partial.body["Services"]] == ["a"]
    assert partial.headers["X-Consul-Results-Filtered-By-ACLs"] == "true"
    whole = await guarded.ask("GET", f"/v1/health/service/{ours}", token=token)
    assert [entry["Service"]["ID"] for entry in whole.body] == ["a"]
    assert "X-Consul-Results-Filtered-By-ACLs" not in whole.headers
    hidden = await guarded.ask("GET", f"/v1/health/service/{theirs}", token=token)
    assert (hidden.body, hidden.headers["X-Consul-Results-Filtered-By-ACLs"]) == ([], "true")
    listed = await guarded.ask("GET", "/v1/catalog/services", token=token)
    assert ours in listed.body
    assert theirs not in listed.body


async def test_who_may_not_read_a_node_finds_it_as_if_it_were_not_there(guarded: Consul) -> None:
    on = guarded.name("node")
    await guarded.txn(node(on))
    token = await guarded.make_token({"service": {"": "read"}})
    hidden = await guarded.ask("GET", f"/v1/catalog/node-services/{on}", token=token)
    assert (hidden.status, hidden.body) == (200, {"Node": None, "Services": None})
    assert hidden.headers["X-Consul-Results-Filtered-By-ACLs"] == "true"


async def test_who_has_no_token_is_not_even_told_that_something_was_left_out(guarded: Consul) -> None:
    on = guarded.name("node")
    await guarded.txn(node(on))
    for path, empty in (
        ("/v1/catalog/nodes", []),
        (f"/v1/catalog/node-services/{on}", {"Node": None, "Services": None}),
        ("/v1/health/service/consul", []),
    ):
        hidden = await guarded.ask("GET", path, token="")
        assert (hidden.status, hidden.body) == (200, empty)
        assert "X-Consul-Results-Filtered-By-ACLs" not in hidden.headers
        assert hidden.headers["X-Consul-Default-ACL-Policy"] == "deny"


async def test_keys_and_sessions_have_rules_of_their_own(guarded: Consul) -> None:
    mine, other = guarded.name("mine"), guarded.name("other")
    token = await guarded.make_token({"key": {mine: "write"}, "session": {guarded.node: "write"}})
    made = await guarded.ask("PUT", "/v1/session/create", {"NodeChecks": []}, token=token)
    session = made.body["ID"]
    assert (await guarded.ask("PUT", f"/v1/kv/{mine}", b"", token=token, acquire=session)).body is True
    for refused in (
        await guarded.ask("PUT", f"/v1/kv/{other}", b"", token=token, acquire=session),
        await guarded.ask("GET", f"/v1/kv/{other}", token=token),
        await guarded.ask("PUT", "/v1/session/create", {"NodeChecks": []}, token=""),
        await guarded.ask("PUT", f"/v1/session/destroy/{session}", token=""),
        await guarded.ask("PUT", f"/v1/session/renew/{session}", token=""),
    ):
        assert refused.status == 403
        assert refused.body.startswith("Permission denied: ")
    fenced = await guarded.txn(key("check-session", other, Session=session), token=token)
    assert "lacks permission 'key:read'" in fenced.errors[0][1]


async def test_without_a_token_one_is_anonymous_and_told_so(guarded: Consul) -> None:
    refused = await guarded.ask("GET", "/v1/kv/secret", token="")
    said, _, hint = refused.body.partition(". ")
    assert (refused.status, hint[:19]) == (403, "The anonymous token")
    assert said == "Permission denied: anonymous token lacks permission 'key:read' on \"secret\""


async def test_deregistering_needs_the_service_or_the_node(guarded: Consul) -> None:
    on, ours = guarded.name("node"), guarded.name("ours")
    await guarded.txn(node(on), service(on, "a", ours))
    token = await guarded.make_token({"service": {ours: "write"}})

    async def deregister(**what: str) -> tuple[int, Any]:
        answer = await guarded.ask("PUT", "/v1/catalog/deregister", {"Node": on, **what}, token=token)
        return answer.status, answer.body

    assert await deregister(ServiceID="none") == (500, "Unknown service ID 'none'")
    assert (await deregister())[0] == 403
    assert await deregister(ServiceID="a") == (200, True)


async def test_a_longer_prefix_has_the_last_word(guarded: Consul) -> None:
    stem = guarded.name("web")
    token = await guarded.make_token({"key": {"": "write", stem: "deny", f"{stem}-open": "read"}})
    statuses = [
        (await guarded.ask("PUT", f"/v1/kv/{name}", b"", token=token)).status
        for name in (guarded.name("key"), stem, f"{stem}-open")
    ]
    assert statuses == [200, 403, 403]
    assert (await guarded.ask("GET", f"/v1/kv/{stem}-open", token=token)).status == 404


async def test_the_agent_may_be_asked_only_by_who_may(guarded: Consul) -> None:
    token = await guarded.make_token({"agent": {guarded.node: "read"}})
    assert (await guarded.ask("GET", "/v1/agent/self", token=token)).status == 200
    assert (await guarded.ask("GET", "/v1/agent/self", token="")).status == 403
    assert (await guarded.ask("GET", "/v1/status/leader", token="")).status == 200


async def test_many_wait_and_all_hear(consul: Consul) -> None:
    on, name, index = await placed(consul)
    reads = [
        asyncio.ensure_future(consul.get(f"/v1/health/service/{name}", index=index, wait="60s")) for _ in range(20)
    ]
    await asyncio.sleep(0.02)
    await consul.txn(service(on, "a", name, Port=81))
    await until(lambda: all(read.done() for read in reads))
    assert {read.result().index for read in reads} == {(await consul.get(f"/v1/health/service/{name}")).index}
