"""The operator's page of the bridge names every event, metric and option there is, and its ACL policy is enough."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import yaml

from discovery import ConsulBridge, ConsulError, Discovery, NotReady
from discovery.bridge.status import BridgeStatus
from discovery.cli import parser
from discovery.consul.settings import Settings
from discovery.exporters.prometheus import BridgeCollector
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul
from discovery.testing.consul.acl import Rules

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "how-to" / "bridge.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
RULE = re.compile(r'(\w+?)(_prefix)? "(.*?)" \{\s*policy = "(\w+)"\s*\}')
OF_OTHERS = {"--from-file"}


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(PAGE) if name == language]


def rows(first: str) -> list[str]:
    """The first cells of the table with this head."""
    _, _, rest = PAGE.partition(f"| {first} |")
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [match[1] for line in table if (match := re.match(r"\| `([^`]+)`", line))]


def test_every_event_of_a_bridge_is_told_with_what_to_do() -> None:
    source = "".join(path.read_text() for path in (ROOT / "discovery" / "bridge").rglob("*.py"))
    emitted = set(re.findall(r'"((?:bridge|leader|freshness)\.[a-z]+)"', source))
    assert {*rows("event")} == emitted
    assert len(emitted) > 15


def test_every_metric_of_a_bridge_is_told() -> None:
    made = set()
    for family in BridgeCollector(lambda: BridgeStatus(withheld={"x": 1}, changes={"x": 1}, errors={"x": 1})).collect():
        (sample, *_) = family.samples
        made.add(sample.name + (f"{{{', '.join(sample.labels)}}}" if sample.labels else ""))
    assert {*rows("metric")} == made | {"discovery_events_total{event}"}


def test_the_alarms_ask_for_metrics_that_there_are() -> None:
    (text,) = blocks("yaml")
    rules = yaml.safe_load(text)["groups"][0]["rules"]
    names = {metric.partition("{")[0] for metric in rows("metric")}
    for rule in rules:
        assert set(re.findall(r"discovery_bridge_\w+", rule["expr"])) <= names
    assert len(rules) > 3


def test_every_option_that_it_names_is_one() -> None:
    (commands,) = (action.choices for action in parser()._actions if action.choices)
    assert isinstance(commands, dict)
    flags = {flag for name in ("sync", "rbac") for flag in flags_of(commands[name])}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named - OF_OTHERS <= flags
    assert "--expire-after" in named


def flags_of(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        yield from action.option_strings


def policy() -> list[tuple[str, str, str]]:
    """Resource, prefix or name, and level of each rule of the policy to copy."""
    (text,) = blocks("hcl")
    found = [(resource, name, level) for resource, _, name, level in RULE.findall(text)]
    assert len(found) == text.count("{") == 5
    return found


def allowed(rules: list[tuple[str, str, str]]) -> Rules:
    """As the simulated Consul has them. A rule for one name is one for its prefix there, which is more than it says."""
    by_resource: dict[str, dict[str, str]] = {}
    for resource, name, level in rules:
        by_resource.setdefault(resource, {})[name] = level
    return Rules(**by_resource)  # type: ignore[arg-type]


@attrs.frozen
class Tried:
    """What a bridge with some token could do."""

    services: frozenset[str]
    withheld: int
    filtered: bool


async def tried(cluster: FakeCluster, rules: list[tuple[str, str, str]]) -> Tried:
    events: list[str] = []
    async with FakeConsul(acls=True, session_ttl_min=0.1) as consul:
        consul.register(node="db-1", address="10.0.0.7", service="db", port=5432)
        settings = attrs.evolve(Settings.read(consul.url, {}), token=consul.create_token(allowed(rules)))
        async with Discovery(
            kubeconfig=cluster.kubeconfig, consul=settings, on_event=lambda event: events.append(event.name)
        ) as disco:
            bridge = ConsulBridge(disco, owner="prod-eu", address_types="InternalIP")
            await bridge.approve("0a1b2c3d")
            plan = await bridge.once(timeout=3)
        return Tried(frozenset(consul.services()) - {"consul", "db"}, len(plan.withheld), "bridge.filtered" in events)


async def test_with_the_policy_to_copy_a_bridge_works(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web", kind="NodePort", replicas=2)
    assert await tried(fake_cluster, policy()) == Tried(frozenset({"web"}), 0, False)


@pytest.mark.parametrize("resource", ["node", "service", "key", "session"])
async def test_without_any_part_of_it_something_is_refused_or_hidden(resource: str, fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web", kind="NodePort", replicas=2)
    # Without the node that only addresses of no node stand on: the simulated Consul takes its name for a prefix.
    rules = [rule for rule in policy() if rule[1] != "k8s-prod-eu"]
    (left_out,) = (rule for rule in rules if rule[0] == resource)
    assert (await tried(fake_cluster, rules)).services == {"web"}
    try:
        found = await tried(fake_cluster, [rule for rule in rules if rule != left_out])
    except (ConsulError, NotReady):
        return
    assert found.filtered or found.withheld
