"""`discovery rbac`: what it prints is what a cluster is given."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from discovery.bridge.options import BridgeOptions
from discovery.cli import main, rbac
from discovery.cli.yaml import document
from discovery.permissions import binding, bridge_roles, roles
from discovery.targets import ClusterIP, Endpoints, NodePort, Target
from discovery.testing import FakeCluster

from ..test_targets import LABELS, TARGETS
from .command import run

TRICKY = st.sampled_from(["no", "y", "on", "null", "true", "1e3", "0x1f", "12", "1-2", "0o7", "a", "2026-01-01"])


def parsed(text: str) -> list[Any]:
    """The documents of a YAML text; one of comments alone is none."""
    return [body for body in yaml.safe_load_all(text) if body is not None]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints where all is well."""
    assert main(["rbac", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_it_prints_documents_that_kubectl_can_apply(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "shop/web:80", "node-port://shop/web", "static://10.0.0.1:80") == (
        "# endpoints://shop/web:80 reads endpointslices, services/web\n"
        "# node-port://shop/web reads services/web, nodes; --full adds endpointslices\n"
        "# static://10.0.0.1:80 needs no permission\n"
        "apiVersion: rbac.authorization.k8s.io/v1\n"
        "kind: Role\n"
        "metadata:\n"
        "  name: discovery\n"
        "  namespace: shop\n"
        "rules:\n"
        '  - apiGroups: [""]\n'
        '    resources: ["services"]\n'
        '    resourceNames: ["web"]\n'
        '    verbs: ["list", "watch"]\n'
        '  - apiGroups: ["discovery.k8s.io"]\n'
        '    resources: ["endpointslices"]\n'
        '    verbs: ["list", "watch"]\n'
        "---\n"
        "apiVersion: rbac.authorization.k8s.io/v1\n"
        "kind: ClusterRole\n"
        "metadata:\n"
        "  name: discovery\n"
        "rules:\n"
        '  - apiGroups: [""]\n'
        '    resources: ["nodes"]\n'
        '    verbs: ["list", "watch"]\n'
    )


@given(st.lists(TARGETS | st.builds(ClusterIP, TRICKY, namespace=TRICKY), min_size=1, max_size=5), LABELS | TRICKY)
@example([NodePort("no", namespace="1e3")], "on")
def test_the_yaml_says_what_the_json_says(targets: list[Target], name: str) -> None:
    found = roles(targets, "own", name=name, full=True)
    found += [binding(role, account=name, account_namespace="off") for role in found]
    assert [yaml.safe_load(document(body)) for body in found] == json.loads(json.dumps(found))


@given(st.lists(TARGETS, min_size=1, max_size=5), st.booleans())
def test_the_lines_before_the_roles_are_comments_whatever_the_target(targets: list[Target], full: bool) -> None:
    lines = [f"# {line}" for line in rbac.remarks(targets, full=full)]
    assert len(lines) == len(targets)
    assert all(line.isprintable() for line in lines)
    assert yaml.safe_load("\n".join(lines)) is None


def test_json_is_a_list_of_the_same_objects(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["shop/web:http", "pods://app=web", "-n", "own", "--service-account", "default:orders", "--full"]
    documents, listed = printed(capsys, *arguments), json.loads(printed(capsys, *arguments, "--output", "json"))
    assert (listed["apiVersion"], listed["kind"]) == ("v1", "List")
    assert listed["items"] == parsed(documents)
    places = [(body["kind"], body["metadata"]["namespace"]) for body in listed["items"]]
    assert places == [("Role", "own"), ("RoleBinding", "own"), ("Role", "shop"), ("RoleBinding", "shop")]
    assert listed["items"][3]["subjects"] == [{"kind": "ServiceAccount", "name": "orders", "namespace": "default"}]


def test_targets_that_need_nothing_give_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(printed(capsys, "static://10.0.0.1:80", "dns://web.shop:80")) == []
    assert json.loads(printed(capsys, "static://10.0.0.1:80", "--output", "json"))["items"] == []


def test_what_can_be_done_without_is_left_out_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    (role,) = parsed(printed(capsys, "shop/web:http"))
    assert [rule["resources"] for rule in role["rules"]] == [["endpointslices"]]
    (role,) = parsed(printed(capsys, "shop/web:http", "--full"))
    assert [rule["resources"] for rule in role["rules"]] == [["services"], ["endpointslices"]]


async def test_the_namespace_of_the_kubeconfig_is_meant_where_none_is_named_and_nothing_is_contacted(
    fake_cluster: FakeCluster,
) -> None:
    ran = await run("rbac", "web:80", "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, ran.err) == (0, "")
    (role,) = parsed(ran.out)
    assert role["metadata"]["namespace"] == "default"
    assert fake_cluster.requests == []


def test_a_target_that_names_its_namespace_needs_no_kubeconfig(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert parsed(printed(capsys, "shop/web:80", "--kubeconfig", nowhere))
    assert main(["rbac", "web:80", "--kubeconfig", nowhere]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("discovery: there is no kubeconfig at")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["web", "-n", "Shop"], "'Shop' is not the name of a namespace"),
        (["web", "-n", ""], "--namespace names none"),
        (["shop/web", "--name", "a/b"], "'a/b' is not the name of a Role"),
        (["shop/web", "--name", ".."], "'..' is not the name of a Role"),
        (["shop/web", "--name", "x\n- y"], "'x\\n- y' is not the name of a Role"),
        (["shop/web", "--service-account", "orders"], "'orders' is no ServiceAccount: write NAMESPACE:NAME"),
        (["shop/web", "--service-account", "a:b\nc"], "'a:b\\nc' is no ServiceAccount"),
        (["shop/web", "--service-account", ":orders"], "':orders' is no ServiceAccount"),
        ([], "the following arguments are required: TARGET"),
    ],
)
def test_what_cannot_be_used_is_named(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(["rbac", *arguments])
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]


def test_each_target_is_told_of_once() -> None:
    options = argparse.Namespace(namespace="own", targets=[Endpoints("web"), Endpoints("web", namespace="own")])
    assert rbac.settled(options) == (Endpoints("web", namespace="own"),)


@pytest.mark.parametrize(("arguments", "namespaces"), [((), ()), (("shop,web",), ("shop", "web"))])
def test_what_a_bridge_needs_is_printed_for_its_namespaces_or_for_all(
    arguments: tuple[str, ...], namespaces: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = bridge_roles(BridgeOptions(owner="prod", namespaces=namespaces), name="bridge")
    out = printed(capsys, "--name", "bridge", "--sync", *arguments)
    assert parsed(out) == wanted
    where = ", ".join(namespaces) or "all namespaces"
    assert out.startswith(f"# discovery sync reads services and endpointslices of {where}, and nodes\n")
    listed = json.loads(
        printed(capsys, "--sync", *arguments, "--name", "bridge", "--service-account", "a:b", "--output", "json")
    )
    assert listed["items"][::2] == wanted
    assert all(one["subjects"][0]["name"] == "b" for one in listed["items"][1::2])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sync", "Shop"], "'Shop' is not the name of a namespace"),
        (["--sync", ""], "is not the name of a namespace"),
        (["shop/web:80", "--sync"], "argument --sync: it is for a bridge alone, name no TARGET"),
    ],
)
def test_a_bridge_that_cannot_be_meant_is_named(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rbac", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
