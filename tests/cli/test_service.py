"""`discovery service`, run as its users run it."""

import json
from typing import Any

import pytest

from discovery.testing import FakeCluster

from .command import run


def service(*, ingress: Any = None, annotations: Any = None, **spec: Any) -> dict[str, Any]:
    """A Service with every field that is shown."""
    ports = [
        {"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "protocol": "TCP", "appProtocol": "h2c"}
    ]
    full = {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10", "fd00::10"],
        "externalIPs": ["192.0.2.1"],
        "ports": ports,
        "selector": {"app": "web"},
        "sessionAffinity": "ClientIP",
        "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Local",
        "trafficDistribution": "PreferSameZone",
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
        "spec": {**full, **spec},
        "status": {"loadBalancer": {} if ingress is None else {"ingress": ingress}},
    }


async def test_json_has_every_field_and_the_ways_in(fake_cluster: FakeCluster) -> None:
    notes = {"networking.gke.io/load-balancer-type": "Internal"}
    stored = fake_cluster.apply(service(ingress=[{"ip": "198.51.100.7"}], annotations=notes))
    ran = await run("service", "shop/web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "name": "web",
        "namespace": "shop",
        "uid": stored["metadata"]["uid"],
        "type": "LoadBalancer",
        "cluster_ips": ["10.96.0.10", "fd00::10"],
        "headless": False,
        "ports": [
            {
                "name": "http",
                "port": 80,
                "target_port": "web",
                "node_port": 30080,
                "protocol": "TCP",
                "app_protocol": "h2c",
            }
        ],
        "selector": {"app": "web"},
        "external_ips": ["192.0.2.1"],
        "external_name": "",
        "load_balancer": {"pending": False, "addresses": ["198.51.100.7"], "internal": True},
        "session_affinity": "ClientIP",
        "internal_traffic_policy": "Cluster",
        "external_traffic_policy": "Local",
        "traffic_distribution": "PreferSameZone",
        "publish_not_ready": False,
        "dns_name": ran.json["dns_name"],
        "targets": [
            "endpoints://shop/web:http",
            "cluster-ip://shop/web:http",
            "node-port://shop/web:http",
            "load-balancer://shop/web:http",
            "static://192.0.2.1:80",
            f"dns://{ran.json['dns_name']}.:80",
            f"dns+srv://_http._tcp.{ran.json['dns_name']}.",
        ],
    }
    assert ran.json["dns_name"].startswith("web.shop.svc.")


async def test_a_table_has_the_definition_the_ports_and_the_ways_in(fake_cluster: FakeCluster) -> None:
    fake_cluster.apply(service())
    ran = await run("service", "web", "-n", "shop", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    definition, ports, ways = ran.out.split("\n\n")
    facts = {line[:23].strip(): line[23:].strip() for line in definition.splitlines()}
    assert facts["Service"] == "shop/web"
    assert facts["Cluster IPs"] == "10.96.0.10, fd00::10"
    assert facts["Load balancer"] == "pending"
    assert facts["Session affinity"].startswith("ClientIP (a client that picks a pod itself goes past it)")
    assert "External name" not in facts, "what does not apply is left out"
    assert [line.split() for line in ports.splitlines()][1] == ["http", "80", "web", "30080", "TCP", "h2c"]
    assert ways.splitlines()[0].split() == ["WAY", "IN", "FOR"]
    assert [line.split()[0] for line in ways.splitlines()[1:4]] == [
        "endpoints://shop/web:http",
        "cluster-ip://shop/web:http",
        "node-port://shop/web:http",
    ]


async def test_each_way_in_is_a_target_of_the_other_commands(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", kind="NodePort")
    ran = await run("service", "web", "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
    for scheme, number in (("endpoints", web.pods[0].port), ("cluster-ip", web.port), ("node-port", web.node_port)):
        (way,) = (target for target in ran.json["targets"] if target.startswith(f"{scheme}://"))
        resolved = await run("resolve", way, "--output", "json", "--kubeconfig", fake_cluster.kubeconfig)
        assert resolved.code == 0, resolved
        assert {backend["port"] for backend in resolved.json["backends"]} == {number}


async def test_no_control_character_of_the_cluster_reaches_the_terminal(fake_cluster: FakeCluster) -> None:
    evil = "\x1b[2J\x07\u202e\r\n"
    ports = [{"name": evil, "port": 80, "targetPort": evil, "protocol": evil, "appProtocol": evil}]
    spec: dict[str, Any] = {
        "ports": ports,
        "selector": {evil: evil},
        "type": evil,
        "trafficDistribution": evil,
        "sessionAffinity": evil,
    }
    fake_cluster.apply(service(**spec))
    for output in ("table", "json"):
        ran = await run("service", "shop/web", "--output", output, "--kubeconfig", fake_cluster.kubeconfig)
        assert (ran.code, ran.err) == (0, "")
        assert all(line.isprintable() for line in ran.out.split("\n")), repr(ran.out)
        assert output == "table" or json.loads(ran.out)["type"] == evil


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("nosuch", 5, "the Service nosuch in the namespace default does not exist. Check its name and namespace"),
        ("shop/nosuch", 5, "the Service nosuch in the namespace shop does not exist"),
        ("hidden/web", 4, "Allow it with a Role that holds"),
    ],
)
async def test_what_cannot_be_shown_is_one_line_with_the_next_step(
    fake_cluster: FakeCluster, name: str, code: int, says: str
) -> None:
    fake_cluster.faults.deny("services", "hidden")
    ran = await run("service", name, "--kubeconfig", fake_cluster.kubeconfig)
    assert ran.code == code
    assert says in ran.complaint


async def test_a_server_that_is_away_or_silent_is_not_reachable(fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.stall()
    ran = await run("service", "web", "--timeout", "0.5", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, "no answer about the Service web" in ran.complaint) == (3, True)
    await fake_cluster.stop_api()
    ran = await run("service", "web", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, "cannot be reached" in ran.complaint) == (3, True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Web", "argument NAME: 'Web' is not the name of a Service"),
        ("web:80", "'web:80' is no [NS/]SERVICE: leave scheme and port out"),
        ("a/b/c", "'a/b' is not the name of a namespace"),
        ("/web", "'' is not the name of a namespace"),
        ("", "'' is not the name of a Service"),
    ],
)
async def test_what_is_no_name_is_said_after_the_usage(name: str, says: str) -> None:
    ran = await run("service", name)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
