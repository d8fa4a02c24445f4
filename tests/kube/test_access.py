"""One way to one API server: trust, proxies, one session, and nothing of it given to anybody else."""

import asyncio
import base64
import gzip
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from discovery import ApiUnavailable, ConfigurationError, DiscoveryError
from discovery.kube import access, credentials
from discovery.network import kept_alive
from discovery.testing import FakeCluster
from discovery.version import __version__

from ..until import until
from .servers import PATH, Asking, Proxy, Server, Trust, answer, config, shown, written

SECRET = "s3cr3t-0f-th1s-t3st"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("KUBE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(answer()) as made:
        yield made


def asking(folder: Path, url: str, **cluster: Any) -> Asking:
    fields = {name.replace("_", "-"): value for name, value in cluster.items()}
    return Asking(written(folder, config(url, {"token": SECRET}, **fields)))


# What is asked


async def test_a_request_says_who_asks_and_what_it_takes(tmp_path: Path, server: Server) -> None:
    async with asking(tmp_path, server.url + "/") as one:
        await one.ask(query={"labelSelector": "a in (b,c)"}, accept="application/x")
        (asked,) = server.asked
        assert one.access.requests == 1
    assert (asked.method, asked.target) == ("GET", f"{PATH}?labelSelector=a+in+(b,c)")
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert asked.headers["accept"] == "application/x"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"] == f"aiodiscovery/{__version__}"


async def test_a_server_below_a_path_is_asked_below_it(tmp_path: Path, server: Server) -> None:
    """As Rancher and other gateways in front of clusters have it."""
    async with asking(tmp_path, f"{server.url}/k8s/clusters/c-1/") as one:
        await one.ask()
    assert server.asked[0].target == f"/k8s/clusters/c-1{PATH}"


async def test_no_cookie_is_kept(tmp_path: Path) -> None:
    async with Server(answer(headers={"Set-Cookie": "a=b; Path=/"})) as server, asking(tmp_path, server.url) as one:
        await one.ask()
        await one.ask()
        assert [request.headers.get("cookie") for request in server.asked] == [None, None]


# Trust


async def test_the_authority_of_the_kubeconfig_is_trusted(tmp_path: Path, trust: Trust) -> None:
    async with (
        Server(answer(), tls=trust.server()) as server,
        asking(tmp_path, server.url, certificate_authority="ca.crt") as one,
    ):
        assert await one.ask() == b"{}"


async def test_a_server_of_another_authority_is_an_error_of_the_configuration_and_gets_no_token(
    tmp_path: Path, trust: Trust
) -> None:
    async with Server(answer(), tls=trust.server()) as server:
        trust.renew()
        async with asking(tmp_path, server.url, certificate_authority="ca.crt") as one:
            with pytest.raises(
                ConfigurationError, match=r"certificate .* is not trusted .*certificate-authority"
            ) as caught:
                await one.ask()
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert server.asked == []


async def test_without_an_authority_those_of_the_system_are_asked(tmp_path: Path, trust: Trust) -> None:
    async with Server(answer(), tls=trust.server()) as server, asking(tmp_path, server.url) as one:
        with pytest.raises(ConfigurationError, match="not trusted"):
            await one.ask()


async def test_a_certificate_for_another_name_is_refused_unless_that_name_is_expected(
    tmp_path: Path, trust: Trust
) -> None:
    async with Server(answer(), tls=trust.server("api.example.org")) as server:
        async with asking(tmp_path, server.url, certificate_authority="ca.crt") as one:
            with pytest.raises(ConfigurationError, match="tls-server-name"):
                await one.ask()
        named = {"tls_server_name": "api.example.org", "certificate_authority": "ca.crt"}
        async with asking(tmp_path, server.url, **named) as one:
            assert await one.ask() == b"{}"


@pytest.mark.parametrize("skip", [True, False])
async def test_verification_is_skipped_only_on_demand(tmp_path: Path, trust: Trust, skip: bool) -> None:
    async with (
        Server(answer(), tls=trust.server("another.example.org")) as server,
        asking(tmp_path, server.url, insecure_skip_tls_verify=skip) as one,
    ):
        if skip:
            assert await one.ask() == b"{}"
        else:
            with pytest.raises(ConfigurationError):
                await one.ask()


async def test_an_authority_that_was_replaced_is_trusted_once_it_is_read_again(
    tmp_path: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "REREAD", 0.0)
    async with (
        Server(answer(), tls=trust.server()) as old,
        asking(tmp_path, old.url, certificate_authority="ca.crt") as one,
    ):
        await one.ask()
        held = (await one.credentials.get()).tls
        assert (await one.credentials.get()).tls is held
        trust.renew()
        with pytest.raises(ConfigurationError, match="not trusted"):
            await one.ask()
        async with Server(answer(), tls=trust.server()) as new:
            written(tmp_path, config(new.url, **{"certificate-authority": "ca.crt"}))
            assert await one.ask() == b"{}"


# Proxies


async def test_the_proxy_of_the_kubeconfig_is_used_for_http(tmp_path: Path, server: Server) -> None:
    async with asking(tmp_path, "http://api.test:6443", proxy_url=server.url) as one:
        assert await one.ask() == b"{}"
    assert server.asked[0].target == f"http://api.test:6443{PATH}"


async def test_the_proxy_of_the_kubeconfig_sees_no_token_of_https(tmp_path: Path, trust: Trust) -> None:
    async with Server(answer(), tls=trust.server("api.test")) as server, Proxy(server) as proxy:
        async with asking(
            tmp_path, "https://api.test:6443", proxy_url=proxy.url, certificate_authority="ca.crt"
        ) as one:
            assert await one.ask() == b"{}"
        (passed,) = proxy.asked
        assert (passed.method, passed.target) == ("CONNECT", "api.test:6443")
        assert "authorization" not in passed.headers
        assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"


async def test_a_server_behind_a_proxy_has_to_be_trusted_too(tmp_path: Path, trust: Trust) -> None:
    async with Server(answer(), tls=trust.server("api.test")) as server, Proxy(server) as proxy:
        trust.renew()
        async with asking(
            tmp_path, "https://api.test:6443", proxy_url=proxy.url, certificate_authority="ca.crt"
        ) as one:
            with pytest.raises(ConfigurationError, match="not trusted"):
                await one.ask()


async def test_a_proxys_password_is_given_to_it_and_shown_to_nobody(tmp_path: Path, trust: Trust) -> None:
    async with Server(answer(), tls=trust.server("api.test")) as server, Proxy(server, password="pw") as proxy:
        url = f"http://me:{SECRET}@127.0.0.1:{proxy.port}"
        async with asking(tmp_path, "https://api.test:6443", proxy_url=url, certificate_authority="ca.crt") as one:
            assert await one.ask() == b"{}"
        assert proxy.asked[0].headers["proxy-authorization"].startswith("Basic ")
        assert "proxy-authorization" not in server.asked[0].headers


async def test_a_proxys_password_is_given_to_it_without_tls_too(tmp_path: Path, server: Server) -> None:
    proxy = f"http://me:p%40w@127.0.0.1:{server.port}"
    async with asking(tmp_path, "http://api.test", proxy_url=proxy) as one:
        await one.ask()
    assert server.asked[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:p@w").decode()


@pytest.mark.parametrize("password", ["", SECRET])
async def test_a_proxy_that_refuses_is_an_error_without_its_password(
    tmp_path: Path, trust: Trust, password: str
) -> None:
    refusing = answer(b"", 407)
    async with Server(refusing) as proxy:
        url = f"http://me:{password}@127.0.0.1:{proxy.port}" if password else proxy.url
        async with asking(tmp_path, "https://api.test:6443", proxy_url=url) as one:
            with pytest.raises(ApiUnavailable, match=r"API server api.test:6443 cannot be reached .* proxy") as caught:
                await one.ask()
    assert "'407 Whatever'" in str(caught.value)
    assert SECRET not in shown(caught.value)


async def test_a_proxy_that_is_not_there_is_an_error_without_its_password(tmp_path: Path) -> None:
    async with asking(tmp_path, "https://api.test:6443", proxy_url=f"http://me:{SECRET}@127.0.0.1:1") as one:
        with pytest.raises(ApiUnavailable, match="the proxy") as caught:
            await one.ask()
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}"])
async def test_the_environments_proxy_is_used_for_http(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    monkeypatch.setenv(name, form.format(server.port))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with asking(tmp_path, "http://api.test") as one:
        await one.ask()
    assert server.asked[0].target == f"http://api.test{PATH}"


async def test_the_environments_proxy_is_used_for_https(
    tmp_path: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(answer(), tls=trust.server("10.1.2.3")) as server, Proxy(server) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "10.1.3.0/24,example.org")
        async with asking(tmp_path, "https://10.1.2.3:6443", certificate_authority="ca.crt") as one:
            assert await one.ask() == b"{}"
        assert proxy.asked[0].target == "10.1.2.3:6443"


async def test_the_kubeconfigs_proxy_goes_before_the_environments_and_no_proxy_does_not_touch_it(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    async with asking(tmp_path, "http://api.test", proxy_url=server.url) as one:
        await one.ask()


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("http://api.test:6443", "", False),
        ("http://api.test:6443", "other.test, api.test", True),
        ("http://api.test:6443", ".test", True),
        ("http://api.test:6443", "*", True),
        ("http://10.96.0.1", "10.96.0.0/12", True),
        ("http://10.96.0.1", "10.0.0.0/16,nonsense/99", False),
        ("http://10.96.0.1", "10.96.0.1", True),
        ("http://[fd00::1]:6443", "fd00::/8", True),
        ("http://[fd00::1]:6443", "[fd00::1]", True),
        ("http://[fd00::1]:6443", "fd01::/16", False),
        ("http://127.0.0.1:6443", "", True),
        ("http://[::1]:6443", "", True),
        ("http://localhost:6443", "", True),
    ],
)
def test_no_proxy_is_read_as_by_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    settings = credentials.load(str(written(tmp_path, config(host))), None)
    assert settings.proxy == (None if direct else "http://proxy:3128")


async def test_a_broken_proxy_of_the_environment_is_an_error_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"socks5://me:{SECRET}@proxy:1")
    async with asking(tmp_path, "http://api.test") as one:
        with pytest.raises(ConfigurationError, match=r"proxy of the environment .* HTTPS_PROXY") as caught:
            await one.ask()
    assert SECRET not in shown(caught.value)


# The token stays here


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(tmp_path: Path, server: Server, status: int) -> None:
    moved = answer(b"", status, headers={"Location": f"{server.url}{PATH}"})
    async with Server(moved) as here, asking(tmp_path, here.url) as one:
        with pytest.raises(ApiUnavailable, match=f"answered {status}") as caught:
            await one.ask()
    assert server.asked == []
    assert caught.value.status == status
    assert SECRET not in shown(caught.value)


# What comes


async def test_what_is_compressed_although_nobody_asked_for_it_is_read(tmp_path: Path) -> None:
    packed = answer(gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})
    async with Server(packed) as server, asking(tmp_path, server.url) as one:
        assert await one.ask() == b"hello"


async def test_a_refusal_that_is_compressed_is_understood(tmp_path: Path) -> None:
    body = gzip.compress(json.dumps({"kind": "Status", "message": "so it is", "code": 500}).encode())
    packed = answer(body, 500, headers={"Content-Encoding": "gzip"})
    async with Server(packed) as server, asking(tmp_path, server.url) as one:
        with pytest.raises(ApiUnavailable, match="so it is"):
            await one.ask()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_refusal_in_a_form_that_cannot_be_unpacked_is_still_a_refusal(tmp_path: Path, encoding: str) -> None:
    packed = answer(b"nonsense", 503, headers={"Content-Encoding": encoding})
    async with Server(packed) as server, asking(tmp_path, server.url) as one:
        with pytest.raises(ApiUnavailable) as caught:
            await one.ask()
    assert caught.value.next_step


async def test_headers_beyond_measure_are_no_answer(tmp_path: Path) -> None:
    async with Server(answer(headers={"X-Long": "x" * 100_000})) as server, asking(tmp_path, server.url) as one:
        with pytest.raises(ApiUnavailable) as caught:
            await one.ask()
    assert len(str(caught.value)) < 1000


# One session


async def test_nothing_is_opened_before_something_is_asked(tmp_path: Path, server: Server) -> None:
    async with asking(tmp_path, server.url) as one:
        assert one.access._session is None
        await asyncio.sleep(0)
    assert server.asked == []


async def test_what_is_read_to_its_end_leaves_its_connection_to_the_next(
    fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    make = kept_alive

    def counted(address: Any) -> socket.socket:
        made.append(address)
        return make(address)

    monkeypatch.setattr(access, "kept_alive", counted)
    async with Asking(fake_cluster.kubeconfig) as one:
        for _ in range(3):
            await one.ask()
    assert len(made) == 1


async def test_two_hundred_watches_are_open_at_once_and_all_end_with_the_access(fake_cluster: FakeCluster) -> None:
    one = Asking(fake_cluster.kubeconfig)
    hold = asyncio.Event()

    async def watch() -> None:
        query = {"watch": "1", "resourceVersion": "0"}
        async with one.access.open(PATH, query, verb="watch", resource="services", namespace="shop") as response:
            streams.append(response)
            await hold.wait()

    streams: list[aiohttp.ClientResponse] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(watch())
        await until(lambda: len(streams) == 200, 20)
        assert await one.ask(), "and there is room for more"
        hold.set()
    await one.access.aclose()
    await until(lambda: not fake_cluster.faults.streams)


async def test_closing_ends_what_is_open_and_may_be_done_again(fake_cluster: FakeCluster) -> None:
    one = Asking(fake_cluster.kubeconfig)
    await one.access.aclose()
    query = {"watch": "1", "resourceVersion": "0"}
    async with one.access.open(PATH, query, verb="watch", resource="services", namespace="shop") as response:
        await until(lambda: fake_cluster.faults.streams)
        await one.access.aclose()
        await one.access.aclose()
        with pytest.raises((aiohttp.ClientError, RuntimeError)):
            await response.read()
    await until(lambda: not fake_cluster.faults.streams)


async def test_once_closed_no_socket_is_open_though_the_peer_of_a_tls_stream_says_no_goodbye(
    tmp_path: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []
    make = kept_alive

    def noted(address: aiohttp.AddrInfoType) -> socket.socket:
        made.append(make(address))
        return made[-1]

    monkeypatch.setattr(access, "kept_alive", noted)
    unfinished = answer(b"{", headers={"Content-Length": "100"})
    async with Server(unfinished, tls=trust.server(), hang=True) as server:
        one = asking(tmp_path, server.url, certificate_authority="ca.crt")
        async with one.access.open(PATH, {}, verb="watch", resource="services", namespace="shop") as response:
            assert await response.content.readexactly(1) == b"{"
        await one.access.aclose()
        assert [socket.fileno() for socket in made] == [-1]


async def test_a_block_that_is_left_early_ends_its_request(fake_cluster: FakeCluster) -> None:
    async with Asking(fake_cluster.kubeconfig) as one:
        query = {"watch": "1", "resourceVersion": "0"}
        async with one.access.open(PATH, query, verb="watch", resource="services", namespace="shop"):
            await until(lambda: fake_cluster.faults.streams)
        await until(lambda: not fake_cluster.faults.streams)


async def test_the_kernel_looks_after_silent_connections(fake_cluster: FakeCluster) -> None:
    async with Asking(fake_cluster.kubeconfig) as one:
        query = {"watch": "1", "resourceVersion": "0"}
        async with one.access.open(PATH, query, verb="watch", resource="services", namespace="shop") as response:
            assert response.connection is not None
            assert response.connection.transport is not None
            sock = response.connection.transport.get_extra_info("socket")

            def option(name: str) -> int:
                value: int = sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                return value

            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, interval, count = (option(f"TCP_KEEP{name}") for name in ("IDLE", "INTVL", "CNT"))
            assert idle + interval * count <= 30
            assert option("TCP_USER_TIMEOUT") == 30_000


async def test_silence_ends_a_response_after_the_time_given(fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.stall()
    async with Asking(fake_cluster.kubeconfig) as one:
        with pytest.raises(ApiUnavailable, match="no answer in time"):
            async with one.access.open(PATH, {}, verb="list", resource="services", namespace="shop", timeout=0.05):
                raise AssertionError


async def test_every_error_names_the_server_and_the_next_step_and_no_token(tmp_path: Path) -> None:
    async with Server(answer(b"no", 500)) as server, asking(tmp_path, server.url) as one:
        with pytest.raises(DiscoveryError, match=re.escape(f"127.0.0.1:{server.port}")) as caught:
            await one.ask()
    assert caught.value.next_step
    assert SECRET not in shown(caught.value)
