"""The names of the Kubernetes DNS specification 1.1.0, answered as CoreDNS answers them, and what they come to here."""

from pathlib import Path
from typing import Any

import pytest

from discovery.dns.answers import Answer, Kind, Srv
from discovery.dns.lookups import Lookups
from discovery.errors import ResolutionError

from .server import Server

ORIGIN = "cluster.local."
ZONE = """\
svc1.shop.svc.cluster.local. 5 IN A 10.96.0.1
_http._tcp.svc1.shop.svc.cluster.local. 5 IN SRV 0 100 80 svc1.shop.svc.cluster.local.
svc6.shop.svc.cluster.local. 5 IN AAAA 1234:abcd::1
hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.2
hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.3
hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.4
hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.5
hdls1.shop.svc.cluster.local. 5 IN AAAA 5678:abcd::1
hdls1.shop.svc.cluster.local. 5 IN AAAA 5678:abcd::2
172-0-0-2.hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.2
172-0-0-3.hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.3
dup-name.hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.4
dup-name.hdls1.shop.svc.cluster.local. 5 IN A 172.0.0.5
5678-abcd--1.hdls1.shop.svc.cluster.local. 5 IN AAAA 5678:abcd::1
5678-abcd--2.hdls1.shop.svc.cluster.local. 5 IN AAAA 5678:abcd::2
_http._tcp.hdls1.shop.svc.cluster.local. 5 IN SRV 0 16 80 172-0-0-2.hdls1.shop.svc.cluster.local.
_http._tcp.hdls1.shop.svc.cluster.local. 5 IN SRV 0 16 80 172-0-0-3.hdls1.shop.svc.cluster.local.
_http._tcp.hdls1.shop.svc.cluster.local. 5 IN SRV 0 16 80 dup-name.hdls1.shop.svc.cluster.local.
_http._tcp.hdls1.shop.svc.cluster.local. 5 IN SRV 0 16 80 5678-abcd--1.hdls1.shop.svc.cluster.local.
_http._tcp.hdls1.shop.svc.cluster.local. 5 IN SRV 0 16 80 5678-abcd--2.hdls1.shop.svc.cluster.local.
hdlsprtls.shop.svc.cluster.local. 5 IN A 172.0.0.20
two.shop.svc.cluster.local. 5 IN A 10.96.0.2
two.shop.svc.cluster.local. 5 IN AAAA fd96::2
_http._tcp.two.shop.svc.cluster.local. 5 IN SRV 0 100 80 two.shop.svc.cluster.local.
external.shop.svc.cluster.local. 5 IN CNAME hdls1.shop.svc.cluster.local.
dns-version.cluster.local. 28800 IN TXT "1.1.0"
"""

FOUND: list[tuple[str, str, Kind, tuple[str, ...]]] = [
    ("60: a ClusterIP is one address", "svc1", "A", ("10.96.0.1",)),
    ("60: of its own family", "svc6", "AAAA", ("1234:abcd::1",)),
    ("62: headless is all that are ready", "hdls1", "A", ("172.0.0.2", "172.0.0.3", "172.0.0.4", "172.0.0.5")),
    ("62: of either family", "hdls1", "AAAA", ("5678:abcd::1", "5678:abcd::2")),
    ("64: an endpoint by its address", "172-0-0-2.hdls1", "A", ("172.0.0.2",)),
    ("64: two by the same hostname", "dup-name.hdls1", "A", ("172.0.0.4", "172.0.0.5")),
    ("65: headless without ports", "hdlsprtls", "A", ("172.0.0.20",)),
    ("68: an ExternalName", "external", "AAAA", ("5678:abcd::1", "5678:abcd::2")),
    ("69: in any case", "SVC1", "A", ("10.96.0.1",)),
]

NOT_THERE: list[tuple[str, str, Kind, str]] = [
    ("60: the other family of a ClusterIP", "svc1.shop.svc.cluster.local.", "AAAA", "no-data"),
    ("61: no such Service", "svc0.shop.svc.cluster.local.", "A", "no-such-name"),
    ("61: or one without a ready endpoint", "hdls0.shop.svc.cluster.local.", "A", "no-such-name"),
    ("64: no such endpoint", "172-0-0-9.hdls1.shop.svc.cluster.local.", "A", "no-such-name"),
    ("63: no such port", "_grpc._tcp.svc1.shop.svc.cluster.local.", "SRV", "no-such-name"),
    ("65: no named port", "hdlsprtls.shop.svc.cluster.local.", "SRV", "no-data"),
    ("67: all Services", "svc.cluster.local.", "A", "no-data"),
    ("67: those of a namespace", "shop.svc.cluster.local.", "A", "no-data"),
    ("67: no such namespace", "none.svc.cluster.local.", "A", "no-such-name"),
    ("68: below an ExternalName", "pod.external.shop.svc.cluster.local.", "A", "no-such-name"),
]


def ids(cases: list[Any]) -> list[str]:
    return [case[0] for case in cases]


async def find(folder: Path, name: str, kind: Kind) -> Answer:
    """As in a pod of the namespace `shop`."""
    path = folder / "resolv.conf"
    path.write_text("search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
    async with Server(ZONE, origin=ORIGIN) as server:
        return await Lookups([server.address], resolv_conf=path).find(name, kind)


@pytest.mark.parametrize("form", ["{}", "{}.shop", "{}.shop.svc", "{}.shop.svc.cluster.local."])
@pytest.mark.parametrize(("_case", "name", "kind", "expected"), FOUND, ids=ids(FOUND))
async def test_a_name_is_found_however_much_of_it_is_written(
    _case: str, name: str, kind: Kind, expected: tuple[str, ...], form: str, tmp_path: Path
) -> None:
    assert await find(tmp_path, form.format(name), kind) == Answer(addresses=expected, ttl=5.0)


@pytest.mark.parametrize(("_case", "name", "kind", "reason"), NOT_THERE, ids=ids(NOT_THERE))
async def test_what_is_not_there_is_told_by_what_is_missing(
    _case: str, name: str, kind: Kind, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ResolutionError) as caught:
        await find(tmp_path, name, kind)
    assert (caught.value.reason, caught.value.ttl) == (reason, 7.0)


async def test_63_srv_of_a_cluster_ip_is_one_with_its_address(tmp_path: Path) -> None:
    host = "svc1.shop.svc.cluster.local"
    assert await find(tmp_path, "_http._tcp.svc1", "SRV") == Answer(
        services=(Srv(0, 100, 80, host),), additional={host: ("10.96.0.1",)}, ttl=5.0
    )


async def test_63_srv_of_a_headless_service_is_one_for_each_name_with_all_its_addresses(tmp_path: Path) -> None:
    answer = await find(tmp_path, "_http._tcp.hdls1", "SRV")
    assert {(one.priority, one.weight, one.port) for one in answer.services} == {(0, 16, 80)}
    assert {one.target.partition(".")[0]: answer.additional[one.target] for one in answer.services} == {
        "172-0-0-2": ("172.0.0.2",),
        "172-0-0-3": ("172.0.0.3",),
        "dup-name": ("172.0.0.4", "172.0.0.5"),
        "5678-abcd--1": ("5678:abcd::1",),
        "5678-abcd--2": ("5678:abcd::2",),
    }


async def test_66_srv_of_a_dual_stack_service_has_addresses_of_both_families(tmp_path: Path) -> None:
    answer = await find(tmp_path, "_http._tcp.two", "SRV")
    assert list(answer.additional.values()) == [("10.96.0.2", "fd96::2")]
