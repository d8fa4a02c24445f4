"""What a bridge is allowed: enough at a server that holds to it, and nothing of it can be left out."""

import asyncio
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import AccessDenied, Discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.options import BridgeKeywords, BridgeOptions
from discovery.errors import InvalidTarget
from discovery.permissions import bridge_roles
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul

NAMES = st.sampled_from(["shop", "web", "default", "discovery"])
LEASES = "coordination.k8s.io"


def options(**more: Any) -> BridgeOptions:
    return BridgeOptions(owner="prod", **more)


def rules(roles: Sequence[dict[str, Any]]) -> set[tuple[str, str, str, str, str]]:
    """Namespace, group, resource, name and verb of everything that is allowed."""
    return {
        (role["metadata"].get("namespace", ""), group, resource, name, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def test_for_all_namespaces_there_is_one_cluster_role() -> None:
    (role,) = bridge_roles(options())
    assert (role["kind"], role["metadata"]) == ("ClusterRole", {"name": "discovery-bridge"})
    assert {resource for _, _, resource, _, _ in rules([role])} == {"services", "endpointslices", "nodes"}
    assert {verb for *_, verb in rules([role])} == {"list", "watch"}


def test_for_some_there_is_a_role_in_each_and_the_nodes_are_all_that_is_read_everywhere() -> None:
    roles = bridge_roles(options(namespaces=("web", "shop")), name="bridge")
    assert [(role["kind"], role["metadata"].get("namespace")) for role in roles] == [
        ("Role", "shop"),
        ("Role", "web"),
        ("ClusterRole", None),
    ]
    assert {resource for place, _, resource, _, _ in rules(roles) if not place} == {"nodes"}
    assert {role["metadata"]["name"] for role in roles} == {"bridge"}


@given(st.lists(NAMES, max_size=3), st.sampled_from(["session", "lease"]), st.none() | NAMES)
def test_there_is_one_role_for_a_namespace_and_only_a_lease_is_written(
    namespaces: list[str], leader: str, lease_namespace: str | None
) -> None:
    bridge = options(namespaces=tuple(namespaces), leader=leader, lease_namespace=lease_namespace)
    roles = bridge_roles(bridge, "own")
    places = [role["metadata"].get("namespace", "") for role in roles]
    assert len(places) == len(set(places))
    assert all((role["kind"] == "Role") == bool(role["metadata"].get("namespace")) for role in roles)
    written = {one for one in rules(roles) if one[-1] not in ("list", "watch")}
    place = lease_namespace or "own"
    lease = {(place, LEASES, "leases", "aiodiscovery-prod", verb) for verb in ("get", "update")}
    assert written == (lease | {(place, LEASES, "leases", "", "create")} if leader == "lease" else set())


def test_a_lease_in_no_namespace_is_an_error() -> None:
    with pytest.raises(InvalidTarget, match="a bridge with a Lease needs its namespace"):
        bridge_roles(options(leader="lease"))


async def look(cluster: FakeCluster, consul: FakeConsul, **more: Any) -> list[str]:
    """The services that a bridge would register."""
    given: BridgeKeywords = {"address_types": "InternalIP", **more}  # type: ignore[typeddict-item]
    async with Discovery(kubeconfig=cluster.kubeconfig, on_event=lambda _: None) as disco:
        plan = await ConsulBridge(disco, owner="prod", consul=consul.url, **given).once(dry_run=True, timeout=10)
    return sorted(change.instance.service for change in plan.register)


@pytest.mark.parametrize("namespaces", [(), ("shop", "web")])
async def test_with_these_roles_a_bridge_works_and_without_any_rule_of_them_it_does_not(
    namespaces: tuple[str, ...],
) -> None:
    async with FakeCluster() as cluster, FakeConsul() as consul:
        await asyncio.gather(*(cluster.deploy(name, namespace=name, kind="NodePort") for name in ("shop", "web")))
        roles = bridge_roles(options(namespaces=namespaces))
        cluster.faults.allow_only(roles)
        assert await look(cluster, consul, namespaces=namespaces) == ["shop", "web"]
        for role in roles:
            for rule in role["rules"]:
                less = [one for one in role["rules"] if one is not rule]
                cluster.faults.allow_only([{**one, "rules": less} if one is role else one for one in roles])
                with pytest.raises(AccessDenied, match=rule["resources"][0]):
                    await look(cluster, consul, namespaces=namespaces)


def test_the_options_of_a_bridge_are_what_the_roles_go_by() -> None:
    names = {field.name for field in attrs.fields(BridgeOptions)}
    assert {"owner", "namespaces", "leader", "lease_namespace"} <= names
