"""The manifest of the bridge: its roles are those that a bridge needs, and its options, probes and labels fit."""

import argparse
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from discovery.bridge.options import BridgeOptions
from discovery.bridge.serving import Probes, parse_listen
from discovery.bridge.status import BridgeStatus
from discovery.cli import parser, sync_options
from discovery.consul.settings import Settings
from discovery.permissions import binding, bridge_roles

PATH = Path(__file__).parent.parent / "examples" / "bridge.yaml"


@pytest.fixture(name="objects", scope="module")
def objects_of_the_manifest() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(PATH.read_text()))


@pytest.fixture(name="deployment", scope="module")
def its_deployment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = of(objects, "Deployment")
    return found


@pytest.fixture(name="container", scope="module")
def its_container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def of(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [body for body in objects if body["kind"] in kinds]


def read(container: dict[str, Any]) -> argparse.Namespace:
    said: list[str] = [*container["command"], *container["args"]]
    assert said[0] == "discovery"
    return parser().parse_args(said[1:])


def test_its_roles_are_what_this_bridge_needs_and_its_account_has_them(
    objects: list[dict[str, Any]], container: dict[str, Any], deployment: dict[str, Any]
) -> None:
    options = read(container)
    bridge = BridgeOptions(owner=options.owner, policy=options.policy, **sync_options.keywords(options))
    needed = bridge_roles(bridge, deployment["metadata"]["namespace"])
    (account,) = of(objects, "ServiceAccount")
    given = [
        binding(role, account=account["metadata"]["name"], account_namespace=account["metadata"]["namespace"])
        for role in needed
    ]
    assert of(objects, "Role", "ClusterRole") == needed
    assert of(objects, "RoleBinding", "ClusterRoleBinding") == given
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_everything_is_in_its_one_namespace(objects: list[dict[str, Any]]) -> None:
    (namespace,) = of(objects, "Namespace")
    cluster_wide = ("Namespace", "ClusterRole", "ClusterRoleBinding")
    places = {body["metadata"].get("namespace") for body in objects if body["kind"] not in cluster_wide}
    assert places == {namespace["metadata"]["name"]}


async def test_its_probes_ask_for_what_is_served_where_it_is_served(container: dict[str, Any]) -> None:
    _, port = parse_listen(read(container).listen)
    (named,) = container["ports"]
    assert named["containerPort"] == port
    async with Probes(BridgeStatus, listen="127.0.0.1:0") as probes:
        assert probes._runner is not None
        served = {resource.canonical for resource in probes._runner.app.router.resources()}
    asked = [container[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")]
    assert [one["path"] for one in asked] == ["/livez", "/readyz"]
    assert {one["path"] for one in asked} < served
    assert {one["port"] for one in asked} == {named["name"]}


def test_its_environment_is_what_the_client_of_consul_reads(
    container: dict[str, Any], deployment: dict[str, Any]
) -> None:
    environ = {one["name"]: one["value"] for one in container["env"]}
    settings = Settings.read(None, environ)
    assert settings.address.startswith("https://")
    assert settings.token is None
    (volume,) = deployment["spec"]["template"]["spec"]["volumes"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert Path(str(settings.token_file)).parent == Path(mount["mountPath"])
    assert not volume["secret"]["defaultMode"] & (stat.S_IRWXO | stat.S_IWGRP)


def test_one_of_two_replicas_is_always_there(objects: list[dict[str, Any]], deployment: dict[str, Any]) -> None:
    (budget,) = of(objects, "PodDisruptionBudget")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"] == {"matchLabels": labels}


def test_it_runs_as_nobody_with_no_rights_on_a_disk_that_it_cannot_write(
    container: dict[str, Any], deployment: dict[str, Any]
) -> None:
    pod, own = deployment["spec"]["template"]["spec"]["securityContext"], container["securityContext"]
    assert pod["runAsNonRoot"]
    assert pod["runAsUser"] != 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
