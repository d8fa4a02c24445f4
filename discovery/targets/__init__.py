"""What a user asks for: one type for each way of finding backends, checked where it is made, and `parse` for texts."""

from .checks import FAMILIES, HOST, LABEL, Family
from .consul import Consul
from .dns import Dns, server_text
from .grammar import LONGEST_TARGET, SCHEMES, Target, parse
from .pods import Pods
from .services import (
    ADDRESS_TYPES,
    AddressType,
    ClusterIP,
    Endpoints,
    LoadBalancer,
    NodePort,
    OfService,
    check_namespace,
)
from .static import Static

__all__ = [
    "ADDRESS_TYPES",
    "FAMILIES",
    "HOST",
    "LABEL",
    "LONGEST_TARGET",
    "SCHEMES",
    "AddressType",
    "ClusterIP",
    "Consul",
    "Dns",
    "Endpoints",
    "Family",
    "LoadBalancer",
    "NodePort",
    "OfService",
    "Pods",
    "Static",
    "Target",
    "check_namespace",
    "parse",
    "server_text",
]
