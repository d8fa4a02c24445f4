"""`discovery doctor`: what it looks at, what it says of it, and the exit code that comes of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul
from discovery.testing.consul.acl import Rules
from tests.doctor.holes import holes

from .command import Ran, kubeconfig_of, run

STATES = {"ok", "warning", "failed", "skipped"}
TOKEN = "a-token-that-has-expired"
OUTSIDE = {"place": "skipped", "consul": "skipped"}
"""What is not looked at where nothing is told of it: the tests run outside a pod."""


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as made:
        yield made


async def examined(cluster: FakeCluster, *arguments: object, **more: Any) -> tuple[Ran, dict[str, dict[str, str]]]:
    """What a run came to, and its checks by name, without that of the DNS: it is this machine's affair."""
    kubeconfig = more.pop("kubeconfig", cluster.kubeconfig)
    ran = await run("doctor", *arguments, "--kubeconfig", kubeconfig, "--output", "json", **more)
    assert ran.err == ""
    report = ran.json
    assert {*report} == {"checks", "ok"}
    assert report["ok"] is (ran.code == 0)
    assert all({*one} == {"name", "state", "seen", "next_step"} and one["state"] in STATES for one in report["checks"])
    return ran, {one["name"]: one for one in report["checks"] if one["name"] != "dns"}


def states(checks: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: one["state"] for name, one in checks.items()}


async def test_where_all_is_well_it_says_what_it_has_seen_and_ends_with_0(cluster: FakeCluster) -> None:
    web_ = await cluster.deploy("web", namespace="shop", replicas=2)
    ran, checks = await examined(cluster, "shop/web:http")
    assert ran.code == 0, ran
    assert states(checks) == {
        "configuration": "ok",
        "api-server": "ok",
        "clock": "ok",
        "credentials": "ok",
        "version": "ok",
        "read endpointslices in shop": "ok",
        "read services/web in shop": "ok",
        "watch stream": "ok",
        "reach endpoints://shop/web:http": "ok",
        **OUTSIDE,
    }
    assert checks["version"]["seen"] == "Kubernetes 'v1.36.3'"
    assert cluster.url in checks["configuration"]["seen"]
    assert "a token" in checks["configuration"]["seen"]
    assert all(f"{pod.address}:{pod.port}" in checks["reach endpoints://shop/web:http"]["seen"] for pod in web_.pods)
    assert cluster.token not in ran.out
    assert {request.verb for request in cluster.requests} <= {"list", "watch"}


async def test_without_a_target_it_looks_at_what_the_services_of_our_namespace_need(cluster: FakeCluster) -> None:
    ran, checks = await examined(cluster, "-n", "shop")
    assert ran.code == 0
    assert checks["read endpointslices in shop"]["state"] == checks["read services in shop"]["state"] == "ok"
    assert (checks["reach"]["state"], checks["reach"]["seen"]) == ("skipped", "no TARGET was given")


async def test_as_text_each_check_is_a_line_with_its_next_step_below_and_the_sum_comes_last(
    cluster: FakeCluster,
) -> None:
    cluster.faults.deny("endpointslices", "default")
    ran = await run("doctor", "web:http", "--kubeconfig", cluster.kubeconfig)
    assert (ran.code, ran.err) == (4, "")
    lines = ran.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("failed   read endpointslices in default"))
    assert lines[at + 1].startswith("         -> Allow it with a Role that holds {apiGroups: [")
    assert lines[-1].endswith("1 failed, 4 skipped")
    assert all(line.isprintable() for line in lines)


async def test_what_is_missing_is_told_with_its_rule_and_hides_nothing_else(cluster: FakeCluster) -> None:
    await cluster.deploy("web")
    cluster.faults.deny("endpointslices", "default")
    ran, checks = await examined(cluster, "web:http")
    assert ran.code == 4
    denied = checks["read endpointslices in default"]
    assert (denied["state"], "list endpointslices" in denied["seen"]) == ("failed", True)
    assert 'resources: ["endpointslices"], verbs: ["list", "watch"]' in denied["next_step"]
    assert checks["read services/web in default"]["state"] == "ok"
    reach = checks["reach endpoints://default/web:http"]
    assert reach["seen"] == "not looked at, because read endpointslices in default failed"


async def test_what_a_target_can_do_without_is_a_warning_that_says_what_it_costs(cluster: FakeCluster) -> None:
    await cluster.deploy("web")
    cluster.faults.deny("services", "default")
    ran, checks = await examined(cluster, "web:http")
    assert ran.code == 0
    assert checks["read services/web in default"]["state"] == "warning"
    assert "traffic policy is not known" in checks["read services/web in default"]["seen"]
    assert checks["reach endpoints://default/web:http"]["state"] == "ok"


async def test_a_watch_that_is_not_allowed_is_found_out_though_the_list_is(cluster: FakeCluster) -> None:
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}
    cluster.faults.allow_only([{"kind": "Role", "metadata": {"name": "a", "namespace": "default"}, "rules": [rule]}])
    ran, checks = await examined(cluster, "web:http")
    assert ran.code == 4
    assert "watch endpointslices" in checks["read endpointslices in default"]["seen"]


async def test_a_token_that_is_refused_is_told_apart_from_what_needs_it(cluster: FakeCluster, tmp_path: Path) -> None:
    ran, checks = await examined(cluster, "web:http", kubeconfig=kubeconfig_of(cluster, tmp_path, token=TOKEN))
    assert ran.code == 4
    assert {name for name, state in states(checks).items() if state == "failed"} == {"credentials"}
    assert checks["api-server"]["state"] == checks["clock"]["state"] == "ok"
    assert checks["version"]["state"] == checks["reach endpoints://default/web:http"]["state"] == "skipped"
    assert "Renew the token" in checks["credentials"]["next_step"]
    assert TOKEN not in ran.out


async def test_an_api_server_that_is_gone_is_3_and_one_that_says_nothing_too(cluster: FakeCluster) -> None:
    cluster.faults.stall()
    ran, checks = await examined(cluster, "--timeout", "3")
    assert (ran.code, checks["api-server"]["seen"]) == (3, "no answer within 3 s")
    await cluster.stop_api()
    ran, checks = await examined(cluster)
    assert ran.code == 3
    assert "cannot be reached" in checks["api-server"]["seen"]
    assert states(checks)["credentials"] == states(checks)["clock"] == "skipped"


async def test_a_web_site_is_no_api_server(cluster: FakeCluster, tmp_path: Path) -> None:
    async with FakeConsul() as site:
        ran, checks = await examined(cluster, kubeconfig=kubeconfig_of(cluster, tmp_path, server=site.url))
    assert ran.code == 3
    assert (checks["api-server"]["state"], checks["credentials"]["state"]) == ("ok", "failed")
    assert "another service" in checks["credentials"]["next_step"]


async def test_without_a_configuration_the_rest_is_still_looked_at(cluster: FakeCluster, tmp_path: Path) -> None:
    ran, checks = await examined(cluster, "static://127.0.0.1:9", "web:http", kubeconfig=tmp_path / "none")
    assert ran.code == 2
    assert checks["configuration"]["state"] == "failed"
    assert checks["api-server"]["state"] == "skipped"
    assert checks["reach static://127.0.0.1:9"]["state"] == "ok"  # refused: the machine has answered


async def test_targets_that_need_no_kubernetes_do_not_ask_for_it(cluster: FakeCluster, tmp_path: Path) -> None:
    ran, checks = await examined(cluster, "static://127.0.0.1:9", kubeconfig=tmp_path / "none")
    assert ran.code == 0
    assert {*checks} == {"place", "consul", "reach static://127.0.0.1:9"}


async def test_a_service_that_is_not_there_is_5_and_one_without_ready_pods_1(cluster: FakeCluster) -> None:
    ran, checks = await examined(cluster, "nosuch:http")
    assert (ran.code, checks["reach endpoints://default/nosuch:http"]["state"]) == (5, "failed")
    cluster.apply(endpoint_slice("unready", {"ready": False, "serving": False}))
    ran, checks = await examined(cluster, "unready:http")
    assert (ran.code, checks["reach endpoints://default/unready:http"]["state"]) == (1, "failed")


async def test_pods_that_cannot_be_reached_are_1_with_the_ways_in_from_outside(cluster: FakeCluster) -> None:
    with holes("127.9.0.1", "127.9.0.2") as port:
        cluster.apply(endpoint_slice("far", {"ready": True}, "127.9.0.1", "127.9.0.2", port=port))
        ran, checks = await examined(cluster, "far:http")
    reach = checks["reach endpoints://default/far:http"]
    assert (ran.code, reach["state"]) == (1, "failed")
    said = f"none of 2 of 2 backends can be connected to within 1 s: 127.9.0.1:{port}, 127.9.0.2:{port}"
    assert reach["seen"] == said
    assert "use node-port://default/far:http or load-balancer://default/far:http" in reach["next_step"]


async def test_some_that_cannot_be_reached_are_a_warning(cluster: FakeCluster) -> None:
    with holes("127.9.0.1") as port:
        cluster.apply(endpoint_slice("half", {"ready": True}, "127.9.0.1", "127.0.0.1", port=port))
        ran, checks = await examined(cluster, "half:http")
    reach = checks["reach endpoints://default/half:http"]
    assert (ran.code, reach["state"]) == (0, "warning")
    assert f"of 2 of 2 backends, 127.9.0.1:{port} cannot be connected to" in reach["seen"]


async def test_node_ports_are_reached_through_the_nodes(cluster: FakeCluster) -> None:
    await cluster.deploy("web", kind="NodePort", replicas=2)
    target = "node-port://default/web:http?address-types=InternalIP"
    ran, checks = await examined(cluster, target)
    assert ran.code == 0, ran
    assert checks["read nodes"]["state"] == checks[f"reach {target}"]["state"] == "ok"


async def test_a_server_without_endpoint_slices_is_a_warning() -> None:
    async with FakeCluster(endpoint_slices=False) as old:
        ran, checks = await examined(old)
    assert ran.code == 0
    assert "Endpoints are read instead" in checks["read endpointslices in default"]["seen"]


async def test_consul_is_looked_at_where_one_is_named(cluster: FakeCluster) -> None:
    async with FakeConsul() as consul:
        ran, checks = await examined(cluster, "--consul", consul.url)
        assert ran.code == 0
        assert states(checks).items() >= {"consul": "ok", "consul version": "ok", "consul token": "ok"}.items()
        assert checks["consul version"]["seen"] == "Consul 1.20.1"
        assert "ACLs are off" in checks["consul token"]["seen"]
        by_environment, checks = await examined(cluster, env={"CONSUL_HTTP_ADDR": consul.url})
        assert (by_environment.code, checks["consul"]["state"]) == (0, "ok")
    ran, checks = await examined(cluster, "--consul", consul.url)
    assert ran.code == 3
    assert states(checks).items() >= {"consul": "failed", "consul version": "skipped"}.items()


async def test_a_token_that_consul_does_not_know_is_4_and_never_shown(cluster: FakeCluster) -> None:
    async with FakeConsul(acls=True) as consul:
        good = consul.create_token(Rules(agent={"": "read"}))
        env = {"CONSUL_HTTP_ADDR": consul.url}
        ran, checks = await examined(cluster, env={**env, "CONSUL_HTTP_TOKEN": good})
        assert (ran.code, checks["consul token"]["state"]) == (0, "ok")
        assert good not in ran.out
        ran, checks = await examined(cluster, env={**env, "CONSUL_HTTP_TOKEN": TOKEN})
    assert (ran.code, checks["consul"]["state"]) == (4, "failed")
    assert TOKEN not in ran.out


async def test_a_consul_target_is_resolved_and_reached(cluster: FakeCluster, tmp_path: Path) -> None:
    async with FakeConsul() as consul:
        consul.register(node="n", address="127.0.0.1", service="db", port=9, status="passing")
        arguments = "consul://db", "--consul", consul.url
        ran, checks = await examined(cluster, *arguments, kubeconfig=tmp_path / "none")
    assert (ran.code, checks["reach consul://db"]["state"]) == (0, "ok")
    assert "configuration" not in checks


async def test_environment_of_consul_that_cannot_be_used_is_a_finding(cluster: FakeCluster) -> None:
    ran, checks = await examined(cluster, env={"CONSUL_HTTP_ADDR": "ftp://consul"})
    assert (ran.code, checks["consul"]["state"]) == (2, "failed")


async def test_in_a_pod_a_client_that_does_not_know_its_node_is_told_how_to(cluster: FakeCluster) -> None:
    _, checks = await examined(cluster, env={"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert checks["place"]["state"] == "warning"
    assert "spec.nodeName" in checks["place"]["next_step"]
    env = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "NODE_NAME": "node-1"}
    _, checks = await examined(cluster, env=env)
    assert checks["place"]["state"] == "ok"


@pytest.mark.parametrize("wrong", [("-n", "Shop"), ("endpoints://",), ("--timeout", "0"), ("--consul", "ftp://x")])
async def test_a_slip_of_the_hand_is_2_and_nothing_is_asked(cluster: FakeCluster, wrong: tuple[str, ...]) -> None:
    ran = await run("doctor", *wrong, "--kubeconfig", cluster.kubeconfig)
    assert (ran.code, ran.out) == (2, "")
    assert cluster.requests == []


def endpoint_slice(service: str, conditions: dict[str, bool], *addresses: str, port: int = 8080) -> dict[str, Any]:
    """A slice of a Service that has no pods here."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [one], "conditions": conditions} for one in addresses or ("10.0.0.1",)],
    }
