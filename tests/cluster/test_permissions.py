"""The rules that `discovery rbac` prints are enough for each target, and none of them is too much."""

import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import discovery
from discovery.permissions import roles
from discovery.targets import parse

from .admin import Admin, Object
from .cluster import Cluster
from .faults import in_force, kubeconfig_with, token_of, write_kubeconfig
from .kubelet import Kubelet
from .manifests import fresh_name, service
from .rollout import web
from .test_bad_input import command

TARGETS = (
    "endpoints://{}/web:80",
    "endpoints://{}/web:http",
    "endpoints://{}/web",
    "pods://{}/app=web:http",
    "cluster-ip://{}/web:http",
    "node-port://{}/web:http",
    "load-balancer://{}/web:http",
)


def rules_of(namespace: str, *targets: str) -> list[Object]:
    made = [dict(role) for role in roles([parse(target.format(namespace)) for target in targets], namespace)]
    assert {role["kind"] for role in made} <= {"Role", "ClusterRole"}
    return made


@pytest.fixture
async def everything(admin: Admin, namespace: str, kubelet: Kubelet) -> AsyncIterator[str]:
    """A Service that can be found in every way; gives its namespace. What was made for the cluster goes at the end."""
    await web(admin, namespace, 1, kind="LoadBalancer", port=80)
    change = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}
    await admin.patch(f"/api/v1/namespaces/{namespace}/services/web/status", change)
    yield namespace
    for plural in ("clusterrolebindings", "clusterroles"):
        for made in await admin.items(f"/apis/rbac.authorization.k8s.io/v1/{plural}"):
            if made["metadata"]["name"].startswith("account-"):
                await admin.delete(f"/apis/rbac.authorization.k8s.io/v1/{plural}/{made['metadata']['name']}")


async def denied(config: Path, target: str) -> bool:
    """Whether a target cannot be resolved with these rights; nothing else may be wrong with it."""
    async with discovery.Discovery(kubeconfig=config) as disco, disco.pool(target) as pool:
        await pool.settled(timeout=5)
        error = pool.status.last_error
    assert error is None or (isinstance(error, discovery.AccessDenied) and error.rule), error
    return error is not None


@pytest.mark.parametrize("target", TARGETS)
async def test_the_printed_rules_are_enough_for_a_target_and_each_is_needed(
    admin: Admin, cluster: Cluster, everything: str, target: str
) -> None:
    text = target.format(everything)
    wanted = rules_of(everything, target)
    assert not await denied(await kubeconfig_with(admin, cluster, everything, wanted), text)
    assert await denied(await kubeconfig_with(admin, cluster, everything, []), text)
    for at, role in enumerate(wanted):
        for number in range(len(role["rules"])):
            fewer = copy.deepcopy(wanted)
            del fewer[at]["rules"][number]
            assert await denied(await kubeconfig_with(admin, cluster, everything, fewer), text), role["rules"][number]


async def test_the_merged_rules_are_enough_for_several_targets_at_once(
    admin: Admin, cluster: Cluster, everything: str
) -> None:
    for name in ("api", "db"):
        await admin.create(service(everything, name, port=80, selector={"app": "web"}))
    targets = [*TARGETS, "endpoints://{}/api:80", "endpoints://{}/db:80", "cluster-ip://{}/api:80"]
    config = await kubeconfig_with(admin, cluster, everything, rules_of(everything, *targets))
    async with discovery.Discovery(kubeconfig=config) as disco:
        pools = [disco.pool(target.format(everything)) for target in targets]
        for pool in pools:
            await pool.ready(timeout=10)
        assert [pool.name for pool in pools if not pool.backends] == []


async def test_a_target_of_another_namespace_gets_its_rules_there(
    admin: Admin, cluster: Cluster, everything: str
) -> None:
    made = rules_of(everything, "endpoints://{}/web:80", "endpoints://default/other:80")
    assert {role["metadata"]["namespace"] for role in made} == {everything, "default"}
    config = await kubeconfig_with(admin, cluster, everything, made)
    assert not await denied(config, f"endpoints://{everything}/web:80")
    async with discovery.Discovery(kubeconfig=config) as disco, disco.pool("endpoints://default/other:80") as pool:
        assert await pool.settled(timeout=5)
        assert isinstance(pool.status.last_error, discovery.ServiceNotFound)


async def test_what_the_command_prints_can_be_applied_as_it_is(admin: Admin, cluster: Cluster, everything: str) -> None:
    account = {"name": "client", "namespace": everything}
    await admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    targets = [target.format(everything) for target in TARGETS]
    who = ("--service-account", f"{everything}:client", "--name", fresh_name("account"))
    said = await command("rbac", *targets, *who, "--output", "json", kubeconfig=cluster.kubeconfig)
    assert (said.code, said.err) == (0, "")
    made = json.loads(said.out)["items"]
    for thing in made:
        await admin.create(thing)
    for role in (thing for thing in made if not thing["kind"].endswith("Binding")):
        await in_force(admin, account, role)
    config = write_kubeconfig(cluster, "client", everything, await token_of(admin, account))
    for target in targets:
        assert not await denied(config, target)


async def test_what_the_optional_rules_add_is_noted_where_they_are_missing(
    admin: Admin, cluster: Cluster, everything: str
) -> None:
    target = f"endpoints://{everything}/web:http"
    for full in (False, True):
        made = [dict(role) for role in roles([parse(target)], everything, full=full)]
        config = await kubeconfig_with(admin, cluster, everything, made)
        async with discovery.Discovery(kubeconfig=config) as disco, disco.pool(target) as pool:
            await pool.ready(timeout=5)
            assert [note for note in pool.notes if "may not be read" in note] == ([] if full else list(pool.notes))
            assert bool(pool.notes) is not full


async def test_nothing_is_needed_for_dns_and_static_addresses() -> None:
    assert roles([parse("dns://web.default:80"), parse("static://10.0.0.1:80")], "default") == []
