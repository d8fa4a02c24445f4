"""What a failure at the API server means: each is one typed error that says where, what, and what to do next."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from discovery import AccessDenied, ApiUnavailable, ConfigurationError, Discovery, DiscoveryError, Unauthenticated
from discovery.kube import access
from discovery.kube.failures import Expired, failure_of, rule, unreachable, unreadable
from discovery.kube.kinds import ENDPOINT_SLICES
from discovery.kube.listing import Listing
from discovery.testing import FakeCluster

from .servers import Answer, Asking, Server, Trust, answer, config, refusal, shown, written
from .test_lists import flag, text

SECRET = "s3cr3t-0f-th1s-t3st"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
HTML = answer("<html>Sign in</html>", media="text/html")


@asynccontextmanager
async def answering(folder: Path, *answers: Answer, **more: Any) -> AsyncIterator[tuple[Server, Asking]]:
    async with (
        Server(*answers, **more) as server,
        Asking(written(folder, config(server.url, {"token": SECRET}))) as asking,
    ):
        yield server, asking


async def failing(folder: Path, *answers: Answer, **asked: Any) -> DiscoveryError:
    """The error that comes of these answers. It shows no token, is short, and has no control character."""
    async with answering(folder, *answers) as (server, asking):
        with pytest.raises(DiscoveryError) as caught:
            await asking.ask(**asked)
    error = caught.value
    assert SECRET not in shown(error)
    assert f"127.0.0.1:{server.port}" in str(error)
    assert len(str(error)) < 1000
    assert str(error).isprintable()
    return error


def protobuf_status(code: int, reason: str, message: str, causes: Sequence[str] = (), seconds: int = 0) -> bytes:
    details = text(1, "web") + text(3, "services")
    details += b"".join(text(4, text(1, cause) + text(2, "it is")) for cause in causes)
    body = text(1, text(2, "")) + text(2, "Failure") + text(3, message) + text(4, reason)
    body += text(5, details + flag(5, seconds)) + flag(6, code)
    return b"k8s\x00" + text(1, text(1, "v1") + text(2, "Status")) + text(2, body) + text(3, "") + text(4, "")


# One status, one meaning


@pytest.mark.parametrize(
    ("given", "kind", "failure"),
    [
        (refusal(400, "BadRequest", "no"), ApiUnavailable, "error"),
        (refusal(401, "Unauthorized", "no"), Unauthenticated, "denied"),
        (refusal(403, "Forbidden", "no"), AccessDenied, "denied"),
        (refusal(404, "NotFound", "no"), ApiUnavailable, "error"),
        (refusal(405, "MethodNotAllowed", "no"), ApiUnavailable, "error"),
        (refusal(406, "NotAcceptable", "no"), ApiUnavailable, "error"),
        (refusal(410, "Expired", "no"), Expired, "expired"),
        (refusal(410, "Gone", "no"), Expired, "expired"),
        (answer("gone", 410, "text/plain"), Expired, "expired"),
        (refusal(429, "TooManyRequests", "no"), ApiUnavailable, "busy"),
        (answer("Too many requests, please try again later.", 429, "text/plain"), ApiUnavailable, "busy"),
        (refusal(500, "InternalError", "no"), ApiUnavailable, "error"),
        (refusal(500, "Expired", "no"), Expired, "expired"),
        (refusal(503, "ServiceUnavailable", "no"), ApiUnavailable, "error"),
        (refusal(504, "Timeout", "no"), ApiUnavailable, "error"),
        (refusal(504, "Timeout", "Timeout: Too large resource version: 9, current: 5"), Expired, "expired"),
        (refusal(504, "Timeout", "no", {"causes": [{"reason": "ResourceVersionTooLarge"}]}), Expired, "expired"),
        (refusal(504, "Timeout", "no", {"causes": [{"message": "Too large resource version"}]}), Expired, "expired"),
    ],
)
async def test_a_status_is_one_error_and_one_kind_of_failure(
    tmp_path: Path, given: bytes, kind: type[DiscoveryError], failure: str
) -> None:
    error = await failing(tmp_path, given)
    assert type(error) is kind
    assert failure_of(error) == failure


async def test_an_error_says_what_was_asked_what_was_answered_and_what_to_do(tmp_path: Path) -> None:
    error = await failing(tmp_path, refusal(503, "ServiceUnavailable", "etcd is away"))
    assert isinstance(error, ApiUnavailable)
    assert (error.status, error.reason) == (503, "ServiceUnavailable")
    said = "answered 503 'ServiceUnavailable' to list services in the namespace shop: 'etcd is away'. "
    assert str(error).endswith(said + error.next_step)
    assert error.next_step


async def test_401_says_that_the_credentials_have_to_be_renewed(tmp_path: Path) -> None:
    error = await failing(tmp_path, refusal(401, "Unauthorized", "Unauthorized"))
    assert "does not accept our credentials to list services in the namespace shop" in str(error)
    assert "Renew" in error.next_step


async def test_404_says_that_the_server_lacks_the_resource(tmp_path: Path) -> None:
    error = await failing(tmp_path, refusal(404, "NotFound", "not found"))
    assert "does not know this resource" in error.next_step


async def test_too_many_requests_are_tried_again_though_they_are_said_in_plain_text(tmp_path: Path) -> None:
    plain = answer("Too many requests, please try again later.", 429, "text/plain", {"Retry-After": "3"})
    error = await failing(tmp_path, plain)
    assert isinstance(error, ApiUnavailable)
    assert (error.status, error.retry_after) == (429, 3.0)
    assert "gateway" not in str(error)


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("7", None, 7.0),
        (None, {"retryAfterSeconds": 5}, 5.0),
        ("7", {"retryAfterSeconds": 5}, 7.0),
        ("soon", {"retryAfterSeconds": 5}, 5.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None, None),
        ("-1", None, None),
        ("\u00b2", None, None),
        (None, {"retryAfterSeconds": -5}, None),
        (None, None, None),
        ("9" * 50, None, 999999.0),
    ],
)
async def test_the_wait_that_a_server_asks_for_is_the_headers_or_else_the_statuss(
    tmp_path: Path, header: str | None, details: Any, seconds: float | None
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    error = await failing(tmp_path, refusal(429, "TooManyRequests", "busy", details, headers=headers))
    assert isinstance(error, ApiUnavailable)
    assert error.retry_after == seconds


# Forbidden


def test_the_rule_for_slices_is_to_list_and_to_watch_them() -> None:
    expected = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    for verb in ("list", "watch"):
        assert yaml.safe_load(rule(verb, ENDPOINT_SLICES.full_name)) == expected


def test_the_rule_for_one_service_names_it() -> None:
    expected = {"apiGroups": [""], "resources": ["services"], "resourceNames": ["web"], "verbs": ["list", "watch"]}
    assert yaml.safe_load(rule("watch", "services", "web")) == expected


def test_the_rule_for_another_verb_is_that_verb() -> None:
    assert yaml.safe_load(rule("get", "services"))["verbs"] == ["get"]


@pytest.mark.parametrize("namespace", ["shop", None])
async def test_403_says_who_may_not_do_what_and_where_and_the_rule_that_allows_it(
    fake_cluster: FakeCluster, namespace: str | None
) -> None:
    fake_cluster.faults.deny("services")
    place = f"/api/v1/namespaces/{namespace}/services" if namespace else "/api/v1/services"
    async with Asking(fake_cluster.kubeconfig) as asking:
        with pytest.raises(AccessDenied) as caught:
            await asking.ask(
                path=place,
                verb="watch",
                namespace=namespace,
                query={"watch": "1", "fieldSelector": "metadata.name=web"},
            )
    error = caught.value
    assert (error.verb, error.resource, error.namespace) == ("watch", "services", namespace or "")
    assert error.rule == rule("watch", "services", "web")
    where = "the namespace shop" if namespace else "all namespaces"
    assert f"does not allow us to watch services in {where}" in str(error)
    assert "system:serviceaccount:default:default" in str(error), "the server's words say who"
    assert error.rule in error.next_step


async def test_a_pool_that_may_not_read_says_the_rule_that_would_let_it(fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.deny("endpointslices")
    async with (
        Discovery(kubeconfig=fake_cluster.kubeconfig, on_event=lambda _: None) as disco,
        disco.pool("endpoints://shop/web:http") as pool,
    ):
        await pool.settled(5)
        error = pool.status.last_error
    assert isinstance(error, AccessDenied)
    assert yaml.safe_load(error.rule)["verbs"] == ["list", "watch"]


# Statuses in every form


PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ((403, "Forbidden", "cannot list"), AccessDenied),
        ((503, "ServiceUnavailable", "etcd is away"), ApiUnavailable),
        ((504, "Timeout", "Too large resource version: 9, current: 5"), Expired),
        ((504, "Timeout", "later", ["ResourceVersionTooLarge"]), Expired),
        ((410, "Expired", "too old"), Expired),
    ],
)
async def test_a_status_comes_as_protobuf_to_who_asked_for_that(
    tmp_path: Path, given: tuple[Any, ...], kind: type[DiscoveryError]
) -> None:
    error = await failing(tmp_path, answer(protobuf_status(*given), given[0], PROTOBUF))
    assert type(error) is kind
    assert f"{given[2]!r}" in str(error)


async def test_the_wait_in_a_status_of_protobuf_is_taken(tmp_path: Path) -> None:
    body = protobuf_status(429, "TooManyRequests", "busy", seconds=4)
    error = await failing(tmp_path, answer(body, 429, PROTOBUF))
    assert isinstance(error, ApiUnavailable)
    assert (error.reason, error.retry_after) == ("TooManyRequests", 4.0)


async def test_a_status_that_comes_in_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    whole = refusal(504, "Timeout", "x" * 5000, {"causes": [{"reason": "ResourceVersionTooLarge"}]})
    error = await failing(tmp_path, [whole[:200], whole[200:1000], whole[1000:]])
    assert type(error) is Expired


async def test_a_refusal_that_never_ends_is_taken_for_what_its_status_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "STATUS_SECONDS", 0.05)
    begun = refusal(503, "ServiceUnavailable", "so")[:-5]
    async with answering(tmp_path, begun, hang=True) as (_, asking):
        with pytest.raises(ApiUnavailable, match="answered 503"):
            async with asyncio.timeout(5):
                await asking.ask()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"kind":"Status","message":7}',
        b'{"kind":"Status","message":"\xff"}',
        b'{"kind":"Status","code":"x"}',
        b'{"kind":"Status","details":' + b"[" * 10000,
        b'{"details":{"x":' + b"[" * 20000,
        b'{"kind":"Status","message":"' + b"x" * 200_000 + b'"}',
        b"k8s\x00",
        b"k8s\x00\x12",
        b"k8s\x00\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        protobuf_status(500, "InternalError", "no")[:-9],
        b"k8s\x00" + text(2, text(3, b"\xff\xfe")),
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_refusal_that_is_no_status_is_one_all_the_same(tmp_path: Path, body: bytes) -> None:
    error = await failing(tmp_path, answer(body, 500))
    assert isinstance(error, ApiUnavailable)
    assert error.status == 500
    assert "proxy" in error.next_step


# No API server


async def test_foreign_text_is_escaped_and_cut(tmp_path: Path) -> None:
    evil = "\x1b[2J\r\nroot:\u202e" + "x" * 5000
    error = await failing(tmp_path, refusal(500, evil, evil))
    assert "\\x1b[2J\\r\\nroot:\\u202e" in str(error)


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404, 500, 502, 503])
async def test_a_page_of_another_service_is_told_apart_from_an_api_servers_refusal(tmp_path: Path, status: int) -> None:
    error = await failing(tmp_path, answer("<html>\x1b[31m no", status, "text/html"))
    assert "not as a Kubernetes API server does" in str(error)
    assert "\x1b" not in str(error)
    assert getattr(error, "status", status) == status


@pytest.mark.parametrize("status", [201, 204, 206])
async def test_a_success_that_is_not_the_one_expected_is_none(tmp_path: Path, status: int) -> None:
    error = await failing(tmp_path, answer(b"", status))
    assert isinstance(error, ApiUnavailable)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (HTML, "content type is 'text/html'"),
        (answer("<html>"), "malformed"),
        (answer('{"kind":"Status"}'), "of kind 'Status'"),
        (answer("k8s", media=PROTOBUF), "ProtobufError"),
        (answer("[]", media=PROTOBUF), "ProtobufError"),
        (answer(media="x" * 5000), "content type"),
    ],
)
async def test_a_list_that_is_none_says_where_it_should_have_come_from(
    tmp_path: Path, given: bytes, cause: str
) -> None:
    async with answering(tmp_path, given) as (_, asking):
        with pytest.raises(ApiUnavailable, match=r"endpointslices\.discovery.k8s.io cannot be read") as caught:
            await Listing(asking.access, ENDPOINT_SLICES, "shop", print).read(None, "0")
    assert cause in str(caught.value)
    assert caught.value.status == 200
    assert "proxy" in caught.value.next_step
    assert len(str(caught.value)) < 1000
    assert failure_of(caught.value) == "error"


def cut(body: str) -> bytes:
    return answer(body).replace(f"Length: {len(body)}".encode(), b"Length: 1000")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (HTML, ApiUnavailable),
        (cut('{"kind":"EndpointSliceList","items":['), ApiUnavailable),
        (refusal(403, "Forbidden", "no"), AccessDenied),
        (b"\x00\x01\x02 nonsense\r\n\r\n", ApiUnavailable),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ApiUnavailable),
        (b"HTTP/1.1 ", ApiUnavailable),
        (b"", ApiUnavailable),
    ],
)
async def test_a_pool_says_of_any_nonsense_what_it_is(tmp_path: Path, given: bytes, kind: type[DiscoveryError]) -> None:
    async with Server(given) as server:
        kubeconfig = written(tmp_path, config(server.url, {"token": SECRET}))
        async with (
            Discovery(kubeconfig=kubeconfig, on_event=lambda _: None) as disco,
            disco.pool("endpoints://shop/web:http") as pool,
        ):
            await pool.settled(5)
            error = pool.status.last_error
            assert pool.backends == ()
    assert type(error) is kind
    assert SECRET not in shown(error)
    assert str(error).isprintable()


# The network


@pytest.mark.parametrize("given", [b"", b"HTTP/1.1 ", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01 \x1b[0m\r\n\r\n"])
async def test_what_speaks_no_http_cannot_be_reached(tmp_path: Path, given: bytes) -> None:
    error = await failing(tmp_path, given)
    assert isinstance(error, ApiUnavailable)
    assert (error.status, failure_of(error)) == (0, "unreachable")
    assert "cannot be reached" in str(error)


async def test_a_port_where_nobody_listens_cannot_be_reached(tmp_path: Path) -> None:
    async with Server(b"") as server:
        pass
    async with Asking(written(tmp_path, config(server.url, {"token": SECRET}))) as asking:
        with pytest.raises(ApiUnavailable, match=rf"127.0.0.1:{server.port} cannot be reached .*address") as caught:
            await asking.ask()
    assert failure_of(caught.value) == "unreachable"
    assert SECRET not in shown(caught.value)


async def test_a_name_that_does_not_exist_cannot_be_reached(tmp_path: Path) -> None:
    async with Asking(written(tmp_path, config("http://nowhere.invalid:6443"))) as asking:
        with pytest.raises(ApiUnavailable, match=r"nowhere\.invalid:6443 cannot be reached"):
            await asking.ask()


async def test_tls_to_a_plain_port_cannot_be_reached(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    url = fake_cluster.url.replace("http", "https")
    async with Asking(written(tmp_path, config(url, {"token": SECRET}))) as asking:
        with pytest.raises(ApiUnavailable, match="SSL") as caught:
            await asking.ask()
    assert "object at 0x" not in str(caught.value)
    assert failure_of(caught.value) == "unreachable"


async def test_plain_to_a_tls_port_cannot_be_reached(tmp_path: Path) -> None:
    async with Server(answer(), tls=Trust(tmp_path).server()) as server:
        url = server.url.replace("https", "http")
        async with Asking(written(tmp_path, config(url, {"token": SECRET}))) as asking:
            with pytest.raises(ApiUnavailable) as caught:
                await asking.ask()
        assert server.asked == []
    assert failure_of(caught.value) == "unreachable"


# Reading them


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError: 'no answer in time'"),
        (aiohttp.ServerTimeoutError("x"), "ServerTimeoutError: 'no answer in time'"),
        (ConnectionResetError(104, "reset\x1b"), r"ConnectionResetError: '[Errno 104] reset\x1b'"),
        (aiohttp.ClientPayloadError("x" * 5000), "xxx…'"),
    ],
)
def test_a_failure_of_the_network_is_told_in_short(error: BaseException, said: str) -> None:
    made = unreachable("the API server h:1", error)
    assert said in str(made)
    assert len(str(made)) < 600
    assert (made.status, failure_of(made)) == (0, "unreachable")


def test_what_cannot_be_read_is_told_in_short() -> None:
    made = unreadable("services", ValueError("\x1b" + "x" * 5000))
    assert "ValueError: '\\x1bxxx" in str(made)
    assert len(str(made)) < 600


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Expired("x"), "expired"),
        (Unauthenticated("x"), "denied"),
        (AccessDenied("x", verb="list", resource="services", namespace="", rule=""), "denied"),
        (ConfigurationError("x"), "denied"),
        (ApiUnavailable("x"), "unreachable"),
        (ApiUnavailable("x", status=429), "busy"),
        (ApiUnavailable("x", status=200), "error"),
        (ApiUnavailable("x", status=500), "error"),
        (DiscoveryError("x"), "error"),
    ],
)
def test_a_reflector_is_told_one_of_five_kinds_of_failure(error: DiscoveryError, failure: str) -> None:
    assert failure_of(error) == failure
