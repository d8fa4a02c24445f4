"""`discovery service NAME`: a Service's definition, and all its ways in."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import attrs

from ..definition import Service
from ..errors import InvalidTarget, quote
from ..targets import ClusterIP, Endpoints, LoadBalancer, NodePort, Static, Target
from .codes import DONE
from .options import common, discovery
from .output import printable, table
from .resolve import silent

EXAMPLES = """examples:
  discovery service alpaca-prod                          a Service in our own namespace
  discovery service shop/alpaca-prod --context staging
  discovery service shop/alpaca-prod --output json | jq -r '.targets[]'"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "service",
        help="print a Service's definition and its ways in",
        description="Print how a Service is defined, and every target by which it can be reached.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("service", type=service_name, metavar="NAME", help="[NS/]SERVICE")
    common(made)
    made.set_defaults(run=run)


def service_name(text: str) -> Endpoints:
    """A Service's name, after its namespace where it is another one than ours."""
    namespace, slash, name = text.rpartition("/")
    try:
        return Endpoints(name, namespace=namespace if slash else None)
    except InvalidTarget as error:
        if ":" in text:
            raise argparse.ArgumentTypeError(f"{quote(text)} is no [NS/]SERVICE: leave scheme and port out") from error
        raise argparse.ArgumentTypeError(str(error)) from error


async def run(options: argparse.Namespace) -> int:
    """Print the definition."""
    asked: Endpoints = options.service
    async with discovery(options, silent) as disco:
        found = await disco.service(asked.service, namespace=asked.namespace, timeout=options.timeout)
        if options.output == "json":
            print(json.dumps(as_json(found)))
        else:
            print("\n\n".join(parts(found)))
    return DONE


def as_json(service: Service) -> dict[str, Any]:
    """The fields of `discovery.Service`, and its targets as text."""
    body = attrs.asdict(service)
    return {**body, "selector": dict(service.selector), "targets": [str(target) for target in service.targets]}


def parts(service: Service) -> Iterator[str]:
    """The definition, its ports and its ways in, as text; what does not apply is left out."""
    rows = [(name, value) for name, value in facts(service) if value]
    width = max(len(name) for name, _ in rows)
    yield "\n".join(f"{name.ljust(width)}  {printable(value)}" for name, value in rows)
    if service.ports:
        yield table(("PORT", "NUMBER", "TARGET PORT", "NODE PORT", "PROTOCOL", "APP PROTOCOL"), ports(service))
    if service.targets:
        yield table(("WAY IN", "FOR"), ((str(target), what_for(target)) for target in service.targets))


def facts(service: Service) -> Iterator[tuple[str, str]]:
    """Name and value of what is not a list of its own."""
    yield "Service", f"{service.namespace}/{service.name}"
    yield "UID", service.uid
    yield "Type", service.type + (", headless" if service.headless else "")
    yield "Cluster IPs", ", ".join(service.cluster_ips)
    yield "DNS name", service.dns_name
    yield "Selector", ",".join(f"{key}={value}" for key, value in service.selector)
    yield "External name", service.external_name
    yield "External IPs", ", ".join(service.external_ips)
    yield "Load balancer", load_balancer(service)
    affinity = service.session_affinity
    yield (
        "Session affinity",
        "" if affinity == "None" else f"{affinity} (a client that picks a pod itself goes past it)",
    )
    yield "Internal traffic policy", service.internal_traffic_policy
    yield "External traffic policy", service.external_traffic_policy
    yield "Traffic distribution", service.traffic_distribution
    yield "Not ready addresses", "published" if service.publish_not_ready else ""


def load_balancer(service: Service) -> str:
    """In one line; "" where the Service is of another type."""
    status = service.load_balancer
    said = "pending" if status.pending else ", ".join(status.addresses)
    return f"{said} (internal)" if said and status.internal else said


def ports(service: Service) -> Iterator[tuple[str, ...]]:
    """A line for each."""
    for port in service.ports:
        node_port = "" if port.node_port is None else str(port.node_port)
        yield port.name, str(port.port), str(port.target_port), node_port, port.protocol, port.app_protocol


def what_for(target: Target) -> str:
    """Whom a way in is for."""
    match target:
        case Endpoints():
            return "the cluster: straight to the pods"
        case ClusterIP():
            return "the cluster: kube-proxy, or a mesh, chooses the pod"
        case NodePort():
            return "outside: through any node"
        case LoadBalancer():
            return "outside: through the load balancer"
        case Static():
            return "outside: through its external IPs"
    return "the cluster, without the API: by DNS"
