"""What the API server does, as far as discovery leans on it. Import all of it where there is a fixture `api`."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from .endpoint import Endpoint, Json, service

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


async def first(events: AsyncIterator[Json], count: int) -> list[tuple[str, str]]:
    """Types and names of the first events that are no bookmarks."""
    found: list[tuple[str, str]] = []
    async with aclosing(events) as open_events:  # type: ignore[type-var]
        async for event in open_events:
            if event["type"] != "BOOKMARK":
                found.append((event["type"], event["object"]["metadata"]["name"]))
            if len(found) == count:
                break
    return found


# Lists


async def test_a_list_has_a_version_and_its_items_in_order_of_their_names(api: Endpoint) -> None:
    await api.put("b")
    await api.put("a")
    listed = await api.list()
    assert (listed.status, listed.body["kind"], listed.names) == (200, "ServiceList", ["a", "b"])
    assert int(listed.version) >= max(int(item["metadata"]["resourceVersion"]) for item in listed.body["items"])


async def test_the_items_of_a_list_do_not_say_of_what_kind_they_are(api: Endpoint) -> None:
    await api.put("a")
    (item,) = (await api.list()).body["items"]
    assert "kind" not in item
    assert "apiVersion" not in item


async def test_an_empty_list_is_a_list_with_no_items(api: Endpoint) -> None:
    listed = await api.list(resource="endpointslices")
    assert (listed.status, listed.body["items"]) == (200, [])
    assert int(listed.version) > 0


@pytest.mark.parametrize("version", ["", "0"])
async def test_a_list_of_any_version_is_answered_with_at_least_what_was_seen(api: Endpoint, version: str) -> None:
    await api.put("a")
    seen = await api.list()
    assert (await api.list(resourceVersion=version)).names == seen.names


async def test_a_list_not_older_than_a_version_may_be_newer(api: Endpoint) -> None:
    version = (await api.put("a"))["metadata"]["resourceVersion"]
    await api.put("b")
    listed = await api.list(resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert int(listed.version) >= int(version)
    assert "a" in listed.names


async def test_a_list_of_exactly_a_version_is_the_list_as_it_was_then(api: Endpoint) -> None:
    await api.put("a")
    then = await api.list()
    await api.put("b")
    await api.delete("a")
    listed = await api.list(resourceVersion=then.version, resourceVersionMatch="Exact")
    assert (listed.names, listed.version) == (["a"], then.version)


async def test_a_version_that_is_still_to_come_is_refused_and_says_so(api: Endpoint) -> None:
    version = str(int((await api.list()).version) + 1_000_000)
    answer = await api.list(resourceVersion=version)
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.body["details"]["retryAfterSeconds"] == 1


async def test_a_list_exactly_of_a_version_compacted_away_is_410(api: Endpoint) -> None:
    await api.put("a")
    version = (await api.list()).version
    await api.put("b")
    await api.compact()
    answer = await api.list(resourceVersion=version, resourceVersionMatch="Exact")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "NotOlderThan"},
        {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
        {"resourceVersion": "1", "resourceVersionMatch": "Sometimes"},
        {"sendInitialEvents": "true", "watch": "1"},
        {"watch": "1", "resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_options_that_exclude_each_other_are_invalid(api: Endpoint, query: dict[str, str]) -> None:
    answer = await api.list(**query)
    assert (answer.status, answer.body["kind"], answer.body["reason"]) == (422, "Status", "Invalid")


# Pages


async def test_pages_together_are_the_list_at_the_version_of_the_first(api: Endpoint) -> None:
    for name in "abcde":
        await api.put(name)
    page = await api.list(limit="2")
    version, names = page.version, page.names
    assert page.body["metadata"]["remainingItemCount"] == 3
    await api.put("bb")
    while token := page.body["metadata"].get("continue"):
        page = await api.list(limit="2", **{"continue": token})
        names += page.names
        assert page.version == version
    assert names == list("abcde")


async def test_a_page_asked_for_after_a_compaction_is_410(api: Endpoint) -> None:
    await api.put("a")
    await api.put("b")
    token = (await api.list(limit="1")).body["metadata"]["continue"]
    await api.put("c")
    await api.compact()
    answer = await api.list(limit="1", **{"continue": token})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")


# Selectors

LABELS = {
    "a": {"app": "web", "tier": "front", "size": "10", "example.com/part": "x"},
    "b": {"app": "web", "size": "9"},
    "c": {"app": "db", "size": "10e2"},
    "d": {"empty": ""},
}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=web", ["a", "b"]),
        ("app==db", ["c"]),
        ("app!=web", ["c", "d"]),
        ("app in (web, db)", ["a", "b", "c"]),
        ("app notin (web)", ["c", "d"]),
        ("tier", ["a"]),
        ("!tier", ["b", "c", "d"]),
        ("app=web,!tier", ["b"]),
        ("app in (web),tier in (front,back)", ["a"]),
        ("", ["a", "b", "c", "d"]),
        ("size>9", ["a"]),
        ("size<10", ["b"]),
        ("size > 8 , size < 10", ["b"]),
        ("size<010", ["b"]),
        ("example.com/part", ["a"]),
        ("example.com/part=x", ["a"]),
        ("!example.com/part,size", ["b", "c"]),
        ("empty=", ["d"]),
        ("app=", []),
        ("app!=", ["a", "b", "c", "d"]),
        ("empty in ()", ["d"]),
        ("app in (web,)", ["a", "b"]),
        ("app  in\t( db ,web )", ["a", "b", "c"]),
        ("app notin (web),app notin (db)", ["d"]),
        ("in=x", []),
        ("notin", []),
    ],
)
async def test_a_label_selector_selects(api: Endpoint, selector: str, names: list[str]) -> None:
    for name, labels in LABELS.items():
        await api.put(name, labels=labels)
    assert (await api.list(labelSelector=selector)).names == names


async def test_a_field_selector_selects_by_name(api: Endpoint) -> None:
    await api.put("a")
    await api.put("b")
    assert (await api.list(fieldSelector="metadata.name=b")).names == ["b"]
    assert (await api.list(fieldSelector="metadata.name!=b")).names == ["a"]


@pytest.mark.parametrize(
    "query",
    [
        *({"labelSelector": selector} for selector in ("app in (web", "=x", "app=web,", ",app", "app in web", "a b")),
        *({"labelSelector": selector} for selector in ("size>x", "size>", "size<-1", "size>+1", "size>1.5", "size>=1")),
        *({"labelSelector": selector} for selector in ("app=a/b", "-app", "a/b/c", "app in (a b)", "!", "app==,=")),
        {"fieldSelector": "spec.nonsense=1"},
    ],
)
async def test_a_selector_that_cannot_be_read_is_a_bad_request(api: Endpoint, query: dict[str, str]) -> None:
    answer = await api.list(**query)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


# Watches


async def test_a_watch_from_a_version_tells_what_came_after_it_in_order(api: Endpoint) -> None:
    await api.put("a")
    version = (await api.list()).version
    await api.put("b")
    await api.put("b", port=81)
    await api.delete("a")
    events = await first(api.watch(resourceVersion=version), 3)
    assert events == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_a_watch_from_no_version_begins_with_what_there_is(api: Endpoint, query: dict[str, str]) -> None:
    await api.put("a")
    await api.put("b")
    assert sorted(await first(api.watch(**query), 2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_events_come_while_the_watch_is_open(api: Endpoint) -> None:
    version = (await api.list()).version
    events = api.watch(resourceVersion=version, timeoutSeconds="10")
    await api.put("a")
    assert (await anext(events))["type"] == "ADDED"
    await api.put("a", port=81)
    assert (await anext(events))["object"]["spec"]["ports"][0]["port"] == 81
    await api.delete("a")
    deleted = await anext(events)
    assert deleted["type"] == "DELETED"
    assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(version)
    await events.aclose()  # type: ignore[attr-defined]


async def test_what_begins_or_ceases_to_match_a_selector_is_added_or_deleted(api: Endpoint) -> None:
    version = (await api.list()).version
    await api.put("a", labels={"app": "web"})
    await api.put("a", labels={"app": "db"})
    await api.put("a", labels={"app": "web"})
    await api.put("a", labels={"app": "web"}, port=81)
    events = await first(api.watch(resourceVersion=version, labelSelector="app=web"), 4)
    assert events == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a")]


async def test_a_watch_of_one_name_hears_of_no_other(api: Endpoint) -> None:
    version = (await api.list()).version
    await api.put("a")
    await api.put("b")
    assert await first(api.watch(resourceVersion=version, fieldSelector="metadata.name=b"), 1) == [("ADDED", "b")]


async def test_a_watch_ends_in_peace_after_its_timeout(api: Endpoint) -> None:
    version = (await api.list()).version
    assert [event async for event in api.watch(resourceVersion=version, timeoutSeconds="1")] == []


async def test_a_bookmark_comes_before_the_end_and_is_no_older_than_the_list(api: Endpoint) -> None:
    version = (await api.list()).version
    query = {"resourceVersion": version, "timeoutSeconds": "5", "allowWatchBookmarks": "true"}
    marks = [event async for event in api.watch(**query)]
    assert {event["type"] for event in marks} == {"BOOKMARK"}
    assert marks[0]["object"]["kind"] == "Service"
    assert int(marks[0]["object"]["metadata"]["resourceVersion"]) >= int(version)


async def test_a_streamed_list_is_what_there_is_and_then_a_bookmark_that_says_so(api: Endpoint) -> None:
    await api.put("a")
    await api.put("b")
    version = (await api.list()).version
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    names = []
    async with aclosing(api.watch(**query, timeoutSeconds="10")) as events:  # type: ignore[type-var]
        async for event in events:
            if event["type"] == "BOOKMARK":
                break
            names.append((event["type"], event["object"]["metadata"]["name"]))
    assert sorted(names) == [("ADDED", "a"), ("ADDED", "b")]
    assert event["object"]["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}
    assert int(event["object"]["metadata"]["resourceVersion"]) >= int(version)


async def test_a_watch_from_a_version_compacted_away_is_an_event_with_410(api: Endpoint) -> None:
    await api.put("a")
    version = (await api.list()).version
    await api.put("b")
    await api.compact()
    events = [event async for event in api.watch(resourceVersion=version)]
    assert [event["type"] for event in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")


# Objects and errors


async def test_an_object_is_created_read_changed_and_deleted(api: Endpoint) -> None:
    made = await api.put("a")
    read = await api.ask("GET", api.path("a"))
    assert (read.status, read.body["kind"], read.body["metadata"]["uid"]) == (200, "Service", made["metadata"]["uid"])
    changed = await api.put("a", port=81)
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    await api.delete("a")
    again = await api.put("a")
    assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_what_is_not_there_is_404_with_its_name(api: Endpoint) -> None:
    answer = await api.ask("GET", api.path("nothing"))
    assert (answer.status, answer.body["reason"]) == (404, "NotFound")
    assert answer.body["message"] == 'services "nothing" not found'
    assert answer.body["details"] == {"name": "nothing", "kind": "services"}


async def test_a_group_is_part_of_the_name_in_errors(api: Endpoint) -> None:
    answer = await api.ask("GET", api.path("nothing", resource="endpointslices"))
    assert answer.body["message"] == 'endpointslices.discovery.k8s.io "nothing" not found'


async def test_a_name_that_is_taken_is_a_conflict(api: Endpoint) -> None:
    await api.put("a")
    answer = await api.ask("POST", api.path(), body=service(api.namespace, "a", {}, 80))
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["message"] == 'services "a" already exists'


async def test_a_write_over_a_newer_one_is_a_conflict(api: Endpoint) -> None:
    old = await api.put("a")
    await api.put("a", port=81)
    answer = await api.ask("PUT", api.path("a"), body=old)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


async def test_a_namespace_that_is_not_there_reads_as_empty_and_takes_nothing(api: Endpoint) -> None:
    nowhere = f"{api.namespace}-nowhere"
    listed = await api.ask("GET", api.path(namespace=nowhere))
    assert (listed.status, listed.names) == (200, [])
    answer = await api.ask("POST", api.path(namespace=nowhere), body=service(nowhere, "a", {}, 80))
    assert (answer.status, answer.body["message"]) == (404, f'namespaces "{nowhere}" not found')


async def test_a_wrong_token_is_401(api: Endpoint) -> None:
    answer = await api.ask("GET", api.path(), token="wrong")
    assert (answer.status, answer.body["kind"], answer.body["reason"]) == (401, "Status", "Unauthorized")


async def test_a_version_that_is_no_number_is_a_bad_request(api: Endpoint) -> None:
    answer = await api.list(resourceVersion="new")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_a_patch_of_an_unknown_type_is_415(api: Endpoint) -> None:
    await api.put("a")
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "text/plain"}
    async with api.http.patch(api.url + api.path("a"), data="{}", headers=headers, ssl=api.tls) as response:
        assert response.status == 415


async def test_a_path_of_no_group_is_404_in_plain_text(api: Endpoint) -> None:
    headers = {"Authorization": f"Bearer {api.token}", "Accept": "application/json"}
    async with api.http.get(f"{api.url}/apis/no.such.group/v1/things", headers=headers, ssl=api.tls) as response:
        assert (response.status, response.content_type) == (404, "text/plain")
        assert await response.text() == "404 page not found\n"


async def test_a_list_of_one_name_is_of_all_that_its_field_selector_lets_through(api: Endpoint) -> None:
    await api.put("a")
    await api.put("b")
    selector = f"metadata.namespace={api.namespace},metadata.name=a"
    assert (await api.list(fieldSelector=selector)).names == ["a"]
    assert (await api.list(fieldSelector="metadata.name=a,metadata.name!=a")).names == []
