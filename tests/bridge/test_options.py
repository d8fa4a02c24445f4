"""What a bridge is told is checked where it is written, and the error says what was meant."""

from typing import Any

import pytest

from discovery import BridgeOptions, ConfigurationError


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("owner", "Prod", "prod-eu"),
        ("owner", "a--b", "single hyphens"),
        ("owner", "a-", "single hyphens"),
        ("owner", "x" * 33, "At most 32"),
        ("policy", "mirror", "sync, upsert-only, create-only"),
        ("address_types", ("internalip",), "Did you mean InternalIP"),
        ("address_types", ("Public",), "ExternalIP, InternalIP"),
        ("address_types", (), "Some of"),
        ("address_types", ("InternalIP", "InternalIP"), "cannot be used"),
        ("family", "ipv5", "prefer-ipv4"),
        ("nodes", "some", "endpoints, all"),
        ("max_nodes", 0, "at least 1"),
        ("max_debounce", 0.05, "less than debounce"),
        ("debounce", 0.0, "above 0"),
        ("namespaces", ("Bad NS",), "Bad NS"),
        ("lease_namespace", "Bad NS", "Bad NS"),
        ("tags", ("a\nb",), "no tag"),
        ("service_prefix", "a_b", "part of a name"),
        ("session_ttl", 5.0, "at least 10"),
        ("max_delete_percent", 101.0, "at most 100"),
        ("shutdown", "purge", "keep, critical, deregister"),
        ("probe", "http", "esm"),
        ("leader", "etcd", "session, lease"),
        ("opt_in", "yes", "bool"),
        ("expire_after", 119.0, "may be silent for 90 s"),
        ("expire_after", 0.0, "above 0"),
        ("expire_after", "300", "above 0"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(option: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=option) as caught:
        BridgeOptions(**{"owner": "prod", option: value})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"leader": "lease", "expire_after": 300.0}, "expire_after cannot go with leader=lease"),
        ({"policy": "upsert-only", "shutdown": "deregister"}, "shutdown=deregister cannot go with policy=upsert-only"),
        ({"policy": "create-only", "shutdown": "deregister"}, "shutdown=deregister cannot go with policy=create-only"),
        ({"policy": "create-only", "shutdown": "critical"}, "shutdown=critical cannot go with policy=create-only"),
    ],
)
def test_what_cannot_go_together_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        BridgeOptions(owner="prod", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"expire_after": 120.0},
        {"leader": "lease"},
        {"policy": "upsert-only", "shutdown": "critical"},
        {"policy": "create-only", "shutdown": "keep"},
        {"shutdown": "deregister"},
    ],
)
def test_what_can_go_together_is_taken(options: dict[str, Any]) -> None:
    BridgeOptions(owner="prod", **options)


def test_one_text_is_a_list_of_one() -> None:
    options = BridgeOptions(owner="prod", namespaces="shop", tags="a", address_types="InternalIP")
    assert (options.namespaces, options.tags, options.address_types) == (("shop",), ("a",), ("InternalIP",))


def test_where_all_nodes_could_serve_a_service_is_at_five_unless_told_otherwise() -> None:
    assert BridgeOptions(owner="prod").cap is None
    assert BridgeOptions(owner="prod", max_nodes=3).cap == 3
    assert BridgeOptions(owner="prod", nodes="all").cap == 5
    assert BridgeOptions(owner="prod", nodes="all", max_nodes=50).cap == 50
