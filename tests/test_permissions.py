"""What each target needs, as the smallest rules that allow it: no more, and no less at a server that holds to them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from discovery import AccessDenied, Discovery
from discovery.errors import InvalidTarget
from discovery.permissions import binding, needed, optional, roles, settle
from discovery.targets import (
    ClusterIP,
    Dns,
    Endpoints,
    LoadBalancer,
    NodePort,
    OfService,
    Pods,
    Static,
    Target,
    parse,
)
from discovery.testing import FakeCluster
from discovery.testing.objects import KINDS, Kind
from discovery.testing.rbac import allowed

from .test_targets import TARGETS
from .until import until

KIND = {kind.resource: kind for kind in KINDS}

NEEDS = {
    "endpoints://shop/web:80": (["endpointslices", "services/web"], []),
    "endpoints://shop/web:http": (["endpointslices"], ["services/web"]),
    "endpoints://shop/web": (["endpointslices"], ["services/web"]),
    "pods://shop/app=web:http": (["pods"], []),
    "cluster-ip://shop/web:80": (["services/web"], []),
    "load-balancer://shop/web": (["services/web"], []),
    "node-port://shop/web": (["services/web", "nodes"], ["endpointslices"]),
    "dns://web.shop:80": ([], []),
    "dns+srv://_http._tcp.web.shop": ([], []),
    "static://10.0.0.1:80": ([], []),
}


@pytest.mark.parametrize("text", NEEDS)
def test_each_kind_of_target_needs_what_its_row_says_and_may_read_more(text: str) -> None:
    target = parse(text)
    assert ([*map(str, needed(target))], [*map(str, optional(target))]) == NEEDS[text]


def test_the_documentation_has_a_row_for_each_and_the_roles_as_they_are_printed() -> None:
    page = (Path(__file__).parent.parent / "docs/how-to/permissions.md").read_text()
    rows = re.findall(r"^\| `(\S+://\S+)` \|(.*)\|(.*)\|$", page, re.MULTILINE)
    assert {text: tuple(re.findall(r"`([^`]+)`", cell) for cell in cells) for text, *cells in rows} == NEEDS
    block = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    (role,) = roles([parse("endpoints://shop/alpaca-prod:80")])
    assert [*yaml.safe_load_all(block)] == [role, binding(role, account="orders", account_namespace="default")]


def test_a_role_names_the_service_and_takes_all_slices_of_the_namespace() -> None:
    assert roles([Endpoints("web", namespace="shop", port=80)]) == [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "discovery", "namespace": "shop"},
            "rules": [
                {"apiGroups": [""], "resources": ["services"], "resourceNames": ["web"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        }
    ]


def test_there_is_one_role_for_each_namespace_and_one_for_the_cluster_where_nodes_are_read() -> None:
    targets: list[Target] = [
        NodePort("web", namespace="shop"),
        ClusterIP("db", namespace="shop"),
        Pods("app=x", namespace="a"),
    ]
    found = roles([*targets, *targets], name="orders")
    places = [(role["kind"], role["metadata"]) for role in found]
    assert places == [
        ("Role", {"name": "orders", "namespace": "a"}),
        ("Role", {"name": "orders", "namespace": "shop"}),
        ("ClusterRole", {"name": "orders"}),
    ]
    assert [rule["resources"] for role in found for rule in role["rules"]] == [["pods"], ["services"], ["nodes"]]
    assert found[1]["rules"][0]["resourceNames"] == ["db", "web"]


def test_what_reads_nothing_needs_no_role() -> None:
    assert roles([Dns("web.shop", port=80), Static(["10.0.0.1:80"])]) == []


def test_the_namespace_that_is_given_is_for_targets_that_name_none() -> None:
    found = roles([ClusterIP("web"), ClusterIP("db", namespace="data")], "shop")
    assert [role["metadata"]["namespace"] for role in found] == ["data", "shop"]
    with pytest.raises(InvalidTarget, match="cluster-ip:///web names no namespace"):
        roles([ClusterIP("web")])
    with pytest.raises(InvalidTarget, match="'Shop' is not the name of a namespace"):
        roles([ClusterIP("web")], "Shop")


def test_a_binding_gives_a_role_to_a_service_account_of_any_namespace() -> None:
    role, cluster_role = roles([NodePort("web", namespace="shop")])
    bound = binding(role, account="orders", account_namespace="default")
    assert bound == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "discovery", "namespace": "shop"},
        "subjects": [{"kind": "ServiceAccount", "name": "orders", "namespace": "default"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "discovery"},
    }
    bound = binding(cluster_role, account="orders", account_namespace="default")
    assert (bound["kind"], bound["metadata"]) == ("ClusterRoleBinding", {"name": "discovery"})
    assert bound["roleRef"]["kind"] == "ClusterRole"


LISTS = st.lists(TARGETS, max_size=6)


def may(role_list: list[dict[str, Any]], kind: Kind, namespace: str, name: str = "") -> bool:
    return all(allowed(role_list, kind, verb, namespace or None, name) for verb in ("list", "watch"))


@given(LISTS, st.booleans())
def test_the_roles_allow_what_each_target_needs(targets: list[Target], full: bool) -> None:
    found = roles(targets, "own", full=full)
    for target in targets:
        settled = settle(target, "own")
        for one in needed(settled) + (optional(settled) if full else ()):
            assert may(found, KIND[one.resource], one.namespace, one.name)


@given(LISTS, st.booleans())
def test_the_roles_allow_nothing_that_no_target_needs(targets: list[Target], full: bool) -> None:
    found = roles(targets, "own", full=full)
    settled = [settle(target, "own") for target in targets]
    wanted = {one for target in settled for one in needed(target) + (optional(target) if full else ())}
    for role in found:
        for rule in role["rules"]:
            assert rule["verbs"] == ["list", "watch"]
            for name in rule.get("resourceNames") or [""]:
                place = role["metadata"].get("namespace", "")
                assert [
                    one
                    for one in wanted
                    if (one.namespace, one.resource, one.name) == (place, *rule["resources"], name)
                ]
    names = {target.service for target in settled if isinstance(target, OfService)}
    assert not may(found, KIND["services"], "own"), "never all Services of a namespace"
    assert not may(found, KIND["services"], "own", "another") or "another" in names


@given(LISTS)
def test_the_order_of_targets_and_repetitions_mean_nothing(targets: list[Target]) -> None:
    assert roles(targets, "own") == roles([*reversed(targets), *targets], "own")


# At a server that holds to them

WAYS = [
    Endpoints("web", port=80),
    Endpoints("web", port="http"),
    Endpoints("web"),
    Pods("app=web", port="http"),
    ClusterIP("web", port=80),
    NodePort("web", port="http"),
    LoadBalancer("web"),
]


@pytest.mark.parametrize("target", WAYS, ids=str)
async def test_a_target_resolves_with_exactly_its_roles(fake_cluster: FakeCluster, target: Target) -> None:
    web = await fake_cluster.deploy("web", replicas=2, kind="LoadBalancer")
    await web.assign("203.0.113.7")
    fake_cluster.faults.allow_only(roles([target], "default"))
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pool = disco.pool(target)
        await pool.ready(timeout=10)
        assert pool.status.last_error is None


@pytest.mark.parametrize("target", WAYS, ids=str)
async def test_a_target_is_denied_without_any_one_of_its_rules(fake_cluster: FakeCluster, target: Target) -> None:
    web = await fake_cluster.deploy("web", kind="LoadBalancer")
    await web.assign("203.0.113.7")
    whole = roles([target], "default")
    for role in whole:
        for rule in role["rules"]:
            less = [{**one, "rules": [other for other in one["rules"] if other is not rule]} for one in whole]
            fake_cluster.faults.allow_only(less)
            denied = await why_denied(fake_cluster, target)
            assert denied.resource.startswith(rule["resources"][0])


async def why_denied(cluster: FakeCluster, target: Target) -> AccessDenied:
    async with Discovery(kubeconfig=cluster.kubeconfig) as disco:
        pool = disco.pool(target)
        await until(lambda: isinstance(pool.status.last_error, AccessDenied))
        assert isinstance(pool.status.last_error, AccessDenied)
        return pool.status.last_error


async def test_several_services_are_read_with_one_rule_of_their_names(fake_cluster: FakeCluster) -> None:
    targets = [Endpoints(name, port=80) for name in ("web", "db", "cache")]
    for target in targets:
        await fake_cluster.deploy(target.service)
    fake_cluster.faults.allow_only(roles(targets, "default"))
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        for pool in [disco.pool(target) for target in targets]:
            await pool.ready(timeout=10)
