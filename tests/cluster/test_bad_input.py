"""What users do wrong, on a real cluster: one line with the cause and the next step, and the code to go with it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp
import attrs
import pytest

import discovery

from .admin import Admin, Object
from .cluster import API, Cluster
from .faults import kubeconfig_for, write_kubeconfig
from .kubelet import Kubelet
from .manifests import deployment, service
from .rollout import settled

CONSUL = "http://127.0.0.1:8500"
"""A server that is no Kubernetes API."""


@attrs.frozen
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


async def command(*arguments: str, kubeconfig: Path, timeout: float = 5.0) -> Said:
    """Run `discovery` as a user would, with every warning an error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "discovery", *arguments),
        *("--kubeconfig", str(kubeconfig), "--timeout", str(timeout)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONASYNCIODEBUG": ""},
    )
    async with asyncio.timeout(timeout + 10):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def refused(*arguments: str, kubeconfig: Path, code: int, timeout: float = 5.0) -> str:
    """The one line on stderr of a command that cannot be done."""
    said = await command(*arguments, kubeconfig=kubeconfig, timeout=timeout)
    assert (said.code, said.out) == (code, "")
    (line,) = said.err.splitlines()
    assert line.startswith("discovery: ")
    return line


async def test_a_service_that_does_not_exist(cluster: Cluster, namespace: str) -> None:
    for port in ("http", "80"):
        line = await refused("resolve", f"{namespace}/nothing:{port}", kubeconfig=cluster.kubeconfig, code=5)
        assert f"nothing in the namespace {namespace}" in line
        assert "Check its name" in line


async def test_a_port_that_the_service_does_not_have(
    admin: Admin, cluster: Cluster, namespace: str, kubelet: Kubelet
) -> None:
    await admin.create(service(namespace))
    await admin.create(deployment(namespace, replicas=1))
    await settled(admin, namespace, "web", 1)
    for port in ("grpc", "81"):
        line = await refused("resolve", f"{namespace}/web:{port}", kubeconfig=cluster.kubeconfig, code=5)
        assert f"has no port {port}. It has http" in line
    said = await command("resolve", f"{namespace}/web:8080", "--output", "json", kubeconfig=cluster.kubeconfig)
    assert (said.code, said.err) == (0, "")
    (found,) = json.loads(said.out)["backends"]
    assert (found["port"], found["ready"], found["pod"]["namespace"]) == (8080, True, namespace)


async def test_a_namespace_that_is_forbidden_and_the_rule_in_the_error_is_enough(
    admin: Admin, cluster: Cluster, namespace: str
) -> None:
    rules: list[Object] = []
    while len(rules) < 2:
        kubeconfig = await kubeconfig_for(admin, cluster, namespace, rules)
        line = await refused("resolve", f"{namespace}/web:80", kubeconfig=kubeconfig, code=4)
        assert f"in the namespace {namespace}" in line
        rule = rule_in(line)
        assert f"list {rule['resources'][0]}" in line
        rules.append(rule)
    assert {rule["resources"][0] for rule in rules} == {"endpointslices", "services"}
    kubeconfig = await kubeconfig_for(admin, cluster, namespace, rules)
    await refused("resolve", f"{namespace}/web:80", kubeconfig=kubeconfig, code=5)


def rule_in(line: str) -> Object:
    """The RBAC rule that an error advises: YAML in the flow style."""
    import yaml

    found: Object = yaml.safe_load(line[line.index("{apiGroups") : line.rindex("}") + 1])
    return found


async def test_a_token_that_is_no_longer_good(admin: Admin, cluster: Cluster, namespace: str) -> None:
    kubeconfig = await kubeconfig_for(admin, cluster, namespace, [])
    config = json.loads(kubeconfig.read_text())
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{config['users'][0]['name']}"
    await admin.delete(account)
    line = await refused("resolve", f"{namespace}/web:http", kubeconfig=kubeconfig, code=4)
    assert "does not accept our credentials" in line
    assert "Renew the token" in line
    assert config["users"][0]["user"]["token"] not in line


@pytest.mark.parametrize(
    ("server", "cause"),
    [
        (API.replace("6443", "1"), "cannot be reached"),
        ("https://172.31.1.77:6443", "cannot be reached"),
        (CONSUL, "not as a Kubernetes API server does"),
        (CONSUL.replace("http", "https"), "cannot be reached"),
        (API.replace("https", "http"), "not as a Kubernetes API server does"),
    ],
    ids=["refused", "hangs", "another service", "TLS to a plain port", "plain to a TLS port"],
)
async def test_a_server_that_cannot_be_spoken_to(cluster: Cluster, namespace: str, server: str, cause: str) -> None:
    kubeconfig = write_kubeconfig(cluster, "elsewhere", namespace, "secret", server=server)
    line = await refused("resolve", f"{namespace}/web:http", kubeconfig=kubeconfig, code=3, timeout=3)
    assert cause in line or "no answer" in line
    assert "secret" not in line


async def test_a_kubeconfig_that_is_corrupt(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    for text in ("{clusters: [", "a: 1", "", "{current-context: x, contexts: [{name: x, context: {cluster: y}}]}"):
        kubeconfig.write_text(text)
        line = await refused("resolve", "default/web:http", kubeconfig=kubeconfig, code=2)
        assert str(kubeconfig) in line


async def test_pods_that_cannot_be_reached_from_outside_are_said_to_be_so(
    admin: Admin, cluster: Cluster, namespace: str, kubelet: Kubelet
) -> None:
    await admin.create(service(namespace))
    await admin.create(deployment(namespace, replicas=1))
    (endpoint,) = await settled(admin, namespace, "web", 1)
    retry = discovery.RetryPolicy(attempts=2, connect_timeout=0.2)
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware(retry=retry)]) as http,
        kubelet.lost(endpoint["nodeName"]),
    ):
        with pytest.raises(aiohttp.ClientError) as raised:
            await http.get(f"http://web.{namespace}.svc:8080/")
    assert isinstance(raised.value, discovery.RetriesExhausted)
    for advice in (f"node-port://{namespace}/web", f"load-balancer://{namespace}/web"):
        assert advice in str(raised.value)
