"""Addresses in their one spelling, and the families that they are of. Pure."""

import ipaddress
from functools import lru_cache

from ..targets import Family


@lru_cache(maxsize=2**16)
def canonical(address: str) -> str | None:
    """An IP address in its one spelling, None where it is none. Leading zeros are decimal, as kube-proxy reads them.

    A zone (`fe80::1%eth0`) means nothing to another machine, and may be any text.
    """
    if "%" in address:
        return None
    if ":" not in address:
        address = ".".join(part.lstrip("0") or part[-1:] for part in address.split("."))
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None


def of_family(addresses: tuple[str, ...], family: Family) -> tuple[str, ...]:
    """Those of the family that is wanted, or of the only one there is; host names are of both."""
    names = tuple(one for one in addresses if is_name(one))
    ips = tuple(one for one in addresses if one not in names)
    for one in families(family):
        fit = tuple(address for address in ips if family_of(address) == one)
        if fit:
            return fit + names
    return names


def families(family: Family) -> tuple[str, ...]:
    """ipv4 and ipv6, in the order in which they are wanted."""
    first = "ipv6" if family.endswith("ipv6") else "ipv4"
    if not family.startswith("prefer-"):
        return (first,)
    return (first, "ipv4" if first == "ipv6" else "ipv6")


def family_of(address: str) -> str:
    """Of an IP address: ipv4 or ipv6."""
    return "ipv6" if ":" in address else "ipv4"


def is_name(place: str) -> bool:
    """Whether it is a host name, and no address."""
    return canonical(place) is None
