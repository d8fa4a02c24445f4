"""The DNS: in a pod it must know the API server's own Service; elsewhere any answer will do."""

from pathlib import Path

import pytest

from discovery.doctor.surroundings import dns
from discovery.errors import ResolutionError
from tests.dns.server import Behaviour, Server

NAME = "kubernetes.default.svc.corp.test"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    made = tmp_path / "resolv.conf"
    made.write_text(
        "search shop.svc.corp.test svc.corp.test corp.test\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
    )
    return made


async def test_in_a_pod_it_looks_up_the_api_server_in_the_clusters_own_domain(conf: Path) -> None:
    async with Server(f"{NAME}. 30 IN A 10.96.0.1") as server:
        found = await dns(conf, inside=True, servers=(server.address,))
    assert found.state == "ok"
    assert found.seen == f"{server.address} answers; the cluster's domain is 'corp.test', {NAME} is 10.96.0.1"
    assert server.names == [NAME]  # absolute: no search list


async def test_a_cluster_of_ipv6_alone_is_as_good(conf: Path) -> None:
    async with Server(f"{NAME}. 30 IN AAAA fd00::1") as server:
        found = await dns(conf, inside=True, servers=(server.address,))
    assert (found.state, "IPv6 only" in found.seen) == ("ok", True)


async def test_a_name_that_is_not_there_is_an_error_in_a_pod_only(conf: Path) -> None:
    async with Server("other.test. 30 IN A 10.96.0.1") as server:
        with pytest.raises(ResolutionError, match="kubernetes"):
            await dns(conf, inside=True, servers=(server.address,))
        found = await dns(conf, inside=False, servers=(server.address,))
    assert (found.state, "as is usual outside" in found.seen) == ("ok", True)


@pytest.mark.parametrize("does", ["drop", "SERVFAIL"])
async def test_a_server_that_does_not_say_is_an_error_anywhere(conf: Path, does: Behaviour) -> None:
    async with Server(behaviour={NAME.removesuffix(".test"): does}) as server:
        for inside in (True, False):
            with pytest.raises(ResolutionError):
                await dns(conf, inside=inside, servers=(server.address,))


async def test_without_a_resolv_conf_it_says_who_needs_one(tmp_path: Path) -> None:
    found = await dns(tmp_path / "none", inside=True)
    assert (found.state, "cannot be read (No such file or directory)" in found.seen) == ("warning", True)
