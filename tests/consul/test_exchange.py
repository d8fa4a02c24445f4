"""The way to Consul: addresses, limits of time, TLS, sockets; and nothing secret leaves by another."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from discovery.consul import exchange, tls
from discovery.consul.api import Consul, Read
from discovery.consul.settings import Settings
from discovery.errors import ConfigurationError, ConsulError

from ..kube.servers import Server as Bytes
from ..kube.servers import Trust, shown
from ..until import until
from .server import TOKEN, Asked, Said, Same, Server, Told, closed_port, for_ever, reaching, refused, said

NO_LEADER = refused(500, "No cluster leader")
OPERATION = b'{"KV":{"Verb":"delete","Key":"k"}}'


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path)


def nobody() -> str:
    return f"http://127.0.0.1:{closed_port()}"


# Several addresses


async def test_the_next_address_is_asked_where_one_cannot_be_reached() -> None:
    told = Told()
    gone = nobody()
    async with Server(said([])) as server, reaching(gone, server, told=told) as consul:
        await consul.nodes()
        assert consul.where == server.where
        await consul.nodes()
        assert (consul.requests, len(server.asked)) == (3, 2)  # it stays there
    (moved,) = told
    assert (moved.name, moved.subject) == ("consul.moved", server.where)
    assert moved.data == {"from": gone.removeprefix("http://"), "reason": "unreachable"}


@pytest.mark.parametrize("failing", [NO_LEADER, refused(429), refused(502)])
async def test_a_read_is_asked_of_the_next_server_where_one_cannot_answer(failing: Said) -> None:
    async with Server(failing) as first, Server(said([])) as second, reaching(first, second) as consul:
        await consul.nodes()
        assert (len(first.asked), len(second.asked)) == (1, 1)


@pytest.mark.parametrize("failing", [NO_LEADER, refused(429)])
async def test_a_write_that_was_not_begun_is_sent_to_the_next_server(failing: Said) -> None:
    wrote = said({"Results": None, "Errors": None})
    async with Server(failing) as first, Server(wrote) as second, reaching(nobody(), first, second) as consul:
        await consul.transact([OPERATION])
        assert (len(first.asked), len(second.asked), consul.writes) == (1, 1, 1)


@pytest.mark.parametrize("failing", [refused(502), refused(500, "leadership lost while committing log")])
async def test_a_write_that_may_have_been_done_is_not_sent_again(failing: Said) -> None:
    async with Server(failing) as first, Server(said()) as second, reaching(first, second) as consul:
        with pytest.raises(ConsulError):
            await consul.transact([OPERATION])
        assert (len(first.asked), len(second.asked)) == (1, 0)
        assert consul.where == second.where  # where the next one goes


@pytest.mark.parametrize("failing", [refused(503, "rate limit, only by the leader"), refused(500, "x"), refused(400)])
async def test_no_other_server_is_asked_what_it_would_answer_likewise(failing: Said) -> None:
    async with Server(failing) as first, Server(said([])) as second, reaching(first, second) as consul:
        with pytest.raises(ConsulError):
            await consul.nodes()
        assert second.asked == []


async def test_each_address_is_tried_once_and_then_it_fails() -> None:
    async with Server(NO_LEADER) as first, Server(NO_LEADER) as second, reaching(first, second) as consul:
        with pytest.raises(ConsulError, match="No cluster leader"):
            await consul.nodes()
        assert (len(first.asked), len(second.asked)) == (1, 1)


async def test_two_failures_at_a_time_skip_no_address() -> None:
    async def late(asked: Asked) -> Said:
        await until(lambda: len(first.asked) == 2)
        return NO_LEADER

    async with Server(late) as first, Server(said([])) as second, Server(said([])) as third:
        async with reaching(first, second, third) as consul:
            await asyncio.gather(consul.nodes(), consul.nodes())
        assert (len(second.asked), len(third.asked)) == (2, 0)


async def test_one_address_alone_is_asked_once() -> None:
    async with Server(NO_LEADER) as server, reaching(server) as consul:
        with pytest.raises(ConsulError):
            await consul.nodes()
        assert len(server.asked) == 1


async def test_clients_do_not_all_begin_with_the_first_address() -> None:
    class Last(Same):
        def randrange(self, stop: int) -> int:  # type: ignore[override]
            return stop - 1

    consul = Consul(Settings(address="a:1,b:2,c:3"), emit=Told(), rng=Last())
    assert consul.where == "c:3"


# Limits


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ANSWER_SECONDS", 0.05)


@pytest.mark.usefixtures("_hurried")
async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with Server(for_ever) as server, reaching(server) as consul:
        with pytest.raises(ConsulError, match="no answer in time") as failed:
            await consul.nodes()
        assert failed.value.reason == "unreachable"


@pytest.mark.usefixtures("_hurried")
async def test_a_query_that_blocks_has_that_time_too() -> None:
    async def later(asked: Asked) -> Said:
        await asyncio.sleep(0.2)
        return said([])

    async with Server(later) as server, reaching(server) as consul:
        await consul.nodes(Read(index=1, wait=5))
        with pytest.raises(ConsulError):
            await consul.nodes(Read(index=0, wait=5))
        with pytest.raises(ConsulError):
            await consul.nodes(Read(index=1, wait=0.01))


async def test_a_longest_wait_fits_the_limits() -> None:
    made = exchange._timeout(exchange.Call(method="GET", path="/", what="", blocking=600))
    assert made.sock_read == 600 + 600 / 16 + 10
    assert made.total is not None
    assert made.sock_read < made.total
    assert made.connect == 5


@pytest.mark.usefixtures("_hurried")
async def test_a_refusal_whose_text_does_not_come_is_still_one() -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 50\r\n\r\nPermission denied"
    async with Bytes(head, hang=True) as server, reaching(server.url) as consul:
        with pytest.raises(ConsulError, match="Permission denied") as failed:
            await consul.nodes()
        assert failed.value.reason == "denied"


async def test_a_long_text_is_cut() -> None:
    async with Server(refused(500, "x" * 10_000_000)) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.nodes()
        assert len(str(failed.value)) < 500


async def test_a_redirect_is_not_followed() -> None:
    """It could lead anywhere, and the token with it."""
    async with Server(said([])) as other, Server(refused(307, Location=other.url + "/v1/catalog/nodes")) as server:
        async with reaching(server, token=TOKEN) as consul:
            with pytest.raises(ConsulError) as failed:
                await consul.nodes()
        assert failed.value.reason == "unusable"
        assert other.asked == []


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 99999 \r\n\r\n", b"\x00\x01\x02", b""])
async def test_what_is_no_http_is_told_as_unreachable(garbage: bytes) -> None:
    async with Bytes(garbage) as server, reaching(server.url, token=TOKEN) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.nodes()
    assert failed.value.reason == "unreachable"
    assert TOKEN not in shown(failed.value)


async def test_no_cookie_is_kept() -> None:
    async with Server(said([], Set_Cookie="a=b; Path=/")) as server, reaching(server) as consul:
        await consul.nodes()
        await consul.nodes()
    assert all("Cookie" not in asked.headers for asked in server.asked)


# Sockets and paths


async def test_a_unix_socket_is_an_address(tmp_path: Path) -> None:
    path = tmp_path / "consul.sock"
    async with Server(said([]), path=path) as server, reaching(server, token=TOKEN) as consul:
        await consul.nodes()
        assert consul.where == str(path)
    assert (server.paths, server.asked[0].token) == (["/v1/catalog/nodes"], TOKEN)


async def test_a_unix_socket_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with Server(said([])) as server, reaching(f"unix://{tmp_path}/none", server) as consul:
        await consul.nodes()
        assert consul.where == server.where


async def test_an_api_below_a_path_is_asked_below_it() -> None:
    async with Server(said([])) as server, reaching(f"{server.url}/consul/") as consul:
        await consul.nodes()
    assert server.paths == ["/consul/v1/catalog/nodes"]


# TLS


async def test_a_server_is_trusted_by_the_file_of_its_authority(trust: Trust) -> None:
    async with Server(said([]), tls=trust.server()) as server, reaching(server, ca_file=str(trust.ca)) as consul:
        await consul.nodes()


async def test_a_server_is_trusted_by_a_folder_of_authorities(tmp_path: Path, trust: Trust) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    Trust(folder)
    (folder / "mine.pem").write_bytes(trust.ca.read_bytes())
    async with Server(said([]), tls=trust.server()) as server, reaching(server, ca_path=str(folder)) as consul:
        await consul.nodes()


async def test_a_server_that_is_not_trusted_gets_no_token(trust: Trust) -> None:
    async with Server(said([]), tls=trust.server()) as server, reaching(server, token=TOKEN) as consul:
        with pytest.raises(ConfigurationError, match="CONSUL_CACERT") as failed:
            await consul.nodes()
        assert server.asked == []
    assert TOKEN not in shown(failed.value)


async def test_a_server_has_the_name_that_is_expected_of_it(trust: Trust) -> None:
    async with Server(said([]), tls=trust.server("server.dc1.consul")) as server:
        async with reaching(server, ca_file=str(trust.ca)) as consul:
            with pytest.raises(ConfigurationError, match="not trusted"):
                await consul.nodes()
        async with reaching(server, ca_file=str(trust.ca), tls_server_name="server.dc1.consul") as consul:
            await consul.nodes()


async def test_verification_can_be_switched_off(trust: Trust) -> None:
    async with Server(said([]), tls=trust.server("other")) as server, reaching(server, verify=False) as consul:
        await consul.nodes()


async def test_a_client_shows_its_certificate(trust: Trust) -> None:
    cert, key = trust.client()
    async with Server(said([]), tls=trust.asking()) as server:
        async with reaching(server, ca_file=str(trust.ca), client_cert=str(cert), client_key=str(key)) as consul:
            await consul.nodes()
        async with reaching(server, ca_file=str(trust.ca)) as consul:
            with pytest.raises(ConsulError) as failed:
                await consul.nodes()
        assert failed.value.reason == "unreachable"


async def test_files_that_are_rotated_are_read_again(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "CHECK_SECONDS", 0.0)
    old = trust.server()
    async with Server(said([]), tls=old) as first, reaching(first, ca_file=str(trust.ca)) as consul:
        await consul.nodes()
        trust.ca.write_text("half of a rota")
        await consul.nodes()  # what was read before still serves
        trust.renew()
        trust.server()
        with pytest.raises(ConfigurationError, match="not trusted"):
            await consul.nodes()


@pytest.mark.parametrize("setting", ["ca_file", "ca_path", "client_cert"])
@pytest.mark.parametrize("content", [None, b"no PEM", b"\xff"], ids=["none", "text", "bytes"])
async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, setting: str, content: bytes | None) -> None:
    broken = tmp_path / "broken.pem"
    if content is not None:
        broken.write_bytes(content)
    wrong: dict[str, Any] = {setting: str(broken)}
    async with reaching("https://127.0.0.1:1", **wrong) as consul:
        with pytest.raises(ConfigurationError, match=r"broken\.pem"):
            await consul.nodes()


def test_a_key_with_a_password_asks_nobody_for_it(tmp_path: Path, trust: Trust) -> None:
    cert, key = trust.client()
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"pass"),
        )
    )
    with pytest.raises(ConfigurationError, match="without a password"):
        tls.make_context(Settings(client_cert=str(cert), client_key=str(locked)))


def test_nothing_old_is_spoken() -> None:
    assert tls.make_context(Settings()).minimum_version >= ssl.TLSVersion.TLSv1_2


# Secrets


@pytest.fixture
def debug_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


async def test_a_token_goes_into_its_header_and_nowhere_else(debug_log: pytest.LogCaptureFixture) -> None:
    told = Told()
    async with Server(said([])) as server, reaching(server, token=TOKEN, auth="me:pass", told=told) as consul:
        await consul.nodes()
        server.answers = [said({"Results": None, "Errors": None})]
        await consul.transact([OPERATION])
        assert TOKEN not in repr(consul)
    for asked in server.asked:
        assert asked.token == TOKEN
        assert asked.headers["Authorization"] == "Basic bWU6cGFzcw=="
        assert TOKEN not in asked.path + str(asked.query) + asked.body.decode()
        assert [name for name, value in asked.headers.items() if TOKEN in value] == ["X-Consul-Token"]
    assert TOKEN not in debug_log.text + repr(told)


async def test_a_secret_that_comes_back_is_not_repeated() -> None:
    """As from a debugging proxy that answers with the request."""

    def echo(asked: Asked) -> Said:
        return refused(500, f"you sent {dict(asked.headers)}")

    async with Server(echo) as server, reaching(server, token=TOKEN, auth="me:pass") as consul:
        with pytest.raises(ConsulError, match="you sent") as failed:
            await consul.nodes()
    assert TOKEN not in shown(failed.value)
    assert "bWU6cGFzcw" not in shown(failed.value)


async def test_text_of_consul_cannot_write_into_a_log() -> None:
    async with Server(refused(500, "a\nERROR all is lost\x1b[2J")) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.nodes()
    assert str(failed.value).isprintable()


async def test_an_unreachable_consul_is_told_without_the_token() -> None:
    async with reaching(nobody(), token=TOKEN) as consul:
        with pytest.raises(ConsulError, match="cannot be reached") as failed:
            await consul.nodes()
    assert (failed.value.reason, failed.value.status) == ("unreachable", 0)
    assert TOKEN not in shown(failed.value)
