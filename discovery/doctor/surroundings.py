"""The DNS of this machine, and what it knows of the cluster."""

import asyncio
from pathlib import Path

from ..dns import resolv_conf
from ..dns.answers import ABSENT
from ..dns.lookups import Lookups
from ..errors import ResolutionError, quote
from ..surroundings import cluster_domain
from .finding import Finding, ok, warning


async def dns(path: Path = resolv_conf.PATH, *, inside: bool, servers: tuple[str, ...] | None = None) -> Finding:
    """Whether names can be looked up: the API server's own Service, which every cluster has.

    Outside a cluster any answer will do: its names are not known there, as a rule.

    Args:
        path: of the resolv.conf.
        inside: whether this is a pod.
        servers: to ask; None are those of the file.

    Raises:
        ResolutionError: no server would say; or, in a pod, it says that there is no such name.
    """
    try:
        conf, domain = await asyncio.to_thread(_read, path)
    except OSError as error:
        return warning(f"{path} cannot be read ({error.strerror})", "dns:// targets need it, or Discovery(dns=[...])")
    asked = ", ".join(servers or (host for host, _ in conf.servers))
    lookups = Lookups(servers, resolv_conf=path)
    name = f"kubernetes.default.svc.{domain}"
    try:
        found = (await lookups.find(f"{name}.", "A")).addresses
    except ResolutionError as error:
        if error.reason not in ABSENT or (inside and error.reason == "no-such-name"):
            raise
        found = ()
    finally:
        await lookups.aclose()
    if not found and not inside:
        return ok(f"{asked} answers; the cluster's names are not known here, as is usual outside")
    return ok(f"{asked} answers; the cluster's domain is {quote(domain)}, {name} is {', '.join(found) or 'IPv6 only'}")


def _read(path: Path) -> tuple[resolv_conf.ResolvConf, str]:
    """What the file says, and the cluster's domain by it. Blocks."""
    return resolv_conf.read(path.read_text(errors="replace")), cluster_domain(path)
