"""The flags of `discovery sync`: one for each option of a bridge, and what is not named is as the bridge has it."""

import argparse
from typing import Any

import attrs
import pytest

from discovery.bridge.options import BridgeKeywords, BridgeOptions
from discovery.cli import main, parser, sync_options

FIELDS = {field.name: field for field in attrs.fields(BridgeOptions)}


def read(*arguments: str) -> argparse.Namespace:
    return parser().parse_args(["sync", "--owner", "prod-eu", *arguments])


def options(*arguments: str) -> BridgeOptions:
    found = read(*arguments)
    return BridgeOptions(owner=found.owner, policy=found.policy, **sync_options.keywords(found))


SAID: dict[str, tuple[tuple[str, ...], Any]] = {
    "policy": (("--policy", "upsert-only"), "upsert-only"),
    "node_prefix": (("--node-prefix", "kube"), "kube"),
    "namespaces": (("--namespaces", "shop, web"), ("shop", "web")),
    "deny_namespaces": (("--deny-namespaces", ""), ()),
    "adopt": (("--adopt",), True),
    "opt_in": (("--opt-in",), True),
    "service_prefix": (("--service-prefix", "eu-"), "eu-"),
    "namespace_suffix": (("--namespace-suffix",), True),
    "tags": (("--tags", "a,b"), ("a", "b")),
    "address_types": (("--address-types", "InternalIP,Hostname"), ("InternalIP", "Hostname")),
    "family": (("--family", "ipv6"), "ipv6"),
    "nodes": (("--nodes", "all"), "all"),
    "max_nodes": (("--max-nodes", "3"), 3),
    "cordoned": (("--no-cordoned",), False),
    "not_ready": (("--not-ready", "absent"), "absent"),
    "pod_addresses": (("--pod-addresses",), True),
    "debounce": (("--debounce", "0.2"), 0.2),
    "max_debounce": (("--max-debounce", "2"), 2.0),
    "repair": (("--repair", "60"), 60.0),
    "confirm_after": (("--confirm-after", "5"), 5.0),
    "max_deletes": (("--max-deletes", "0"), 0),
    "max_delete_percent": (("--max-delete-percent", "7.5"), 7.5),
    "leader": (("--leader", "lease"), "lease"),
    "lease_namespace": (("--lease-namespace", "kube-bridges"), "kube-bridges"),
    "lock": (("--lock", "bridges"), "bridges"),
    "session_ttl": (("--session-ttl", "30"), 30.0),
    "shutdown": (("--shutdown", "critical"), "critical"),
    "expire_after": (("--expire-after", "120"), 120.0),
    "probe": (("--probe", "esm"), "esm"),
    "in_flight": (("--in-flight", "1"), 1),
}


def test_every_option_of_a_bridge_has_a_flag_that_is_tried_here() -> None:
    assert SAID.keys() == FIELDS.keys() - {"owner"}
    assert BridgeKeywords.__annotations__.keys() == FIELDS.keys() - {"owner", "policy"}


@pytest.mark.parametrize("name", SAID)
def test_a_flag_sets_its_option_and_nothing_else(name: str) -> None:
    arguments, value = SAID[name]
    assert value != FIELDS[name].default
    assert options(*arguments) == attrs.evolve(BridgeOptions(owner="prod-eu"), **{name: value})


def test_with_no_flag_a_bridge_is_as_one_that_a_program_makes() -> None:
    assert options() == BridgeOptions(owner="prod-eu")


@pytest.mark.parametrize("flag", ["--namespaces", "--namespace", "-n"])
def test_the_namespaces_may_be_called_as_every_command_calls_one(flag: str) -> None:
    assert options(flag, "shop").namespaces == ("shop",)


def test_the_help_tells_the_default_of_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sync", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for shown in ("kube-system,kube-public", "ExternalIP,InternalIP", "only these namespaces (default: all)"):
        assert shown in said
    assert "cordoned nodes serve (default: yes)" in said
    assert "(default: None)" not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--owner", "Prod EU"], "owner='Prod EU' cannot be one"),
        (["--owner", "a", "--namespaces", "Shop"], "'Shop' is not the name of a namespace"),
        (["--owner", "a", "--namespaces", "shop,,web"], "is not the name of a namespace"),
        (["--owner", "a", "--address-types", "PublicIP"], "no kind of address. Some of ExternalIP, InternalIP"),
        (["--owner", "a", "--max-nodes", "0"], "max_nodes="),
        (["--owner", "a", "--session-ttl", "5"], "session_ttl="),
        (["--owner", "a", "--max-delete-percent", "nan"], "max_delete_percent='nan' is not a finite number"),
        (["--owner", "a", "--consul", "http://me:secret@consul:8500"], "has credentials in it"),
        (["--owner", "a", "--dry-run", "--approve", "0a1b2c3d"], "--approve and --dry-run contradict each other"),
        (["--owner", "a", "--once", "--listen", ":0"], "--listen is for a bridge that keeps running"),
        (["--owner", "a", "--consul", "http://127.0.0.1:9", "--listen", "8080"], "'8080' cannot be listened on"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_contacted(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "http://127.0.0.1:9")
    assert main(["sync", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("discovery: ")
    assert says in err
    assert "secret" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: --owner"),
        (["--owner", "a", "--policy", "all"], "invalid choice: 'all'"),
        (["--owner", "a", "--max-deletes", "-1"], "'-1' is not a whole number"),
        (["--owner", "a", "--in-flight", "9999999999"], "'9999999999' is not a whole number"),
        (["--owner", "a", "--debounce", "0"], "'0' is not a number of seconds above 0"),
        (["--owner", "a", "--approve", "rm -rf"], "'rm -rf' is not a word that a bridge has asked for"),
        (["--owner", "a", "shop"], "unrecognized arguments: shop"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_usage(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sync", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
