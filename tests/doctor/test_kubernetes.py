"""The API server: found, reached, trusted, on time; against servers that are scripted to the byte."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from discovery.doctor.kubernetes import Kubernetes
from discovery.errors import ApiUnavailable, ConfigurationError, Unauthenticated
from tests.kube.servers import Proxy, Server, Trust, answer, config, refusal, written

NOW = 1_800_000_000.0
VERSION = json.dumps({"gitVersion": "v1.31.2"})
USER = {"token": "secret-token"}


def says(body: bytes | str = VERSION, status: int = 200, *, at: float = NOW) -> bytes:
    return answer(body, status, headers={"Date": formatdate(at, usegmt=True)})


@asynccontextmanager
async def looking(folder: Path, server: str, user: Any = USER, **cluster: Any) -> AsyncIterator[Kubernetes]:
    """One that looks at this server."""
    made = Kubernetes(str(written(folder, config(server, user, **cluster))), None, clock=lambda: NOW)
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path)


async def test_it_is_asked_without_our_token_first_and_then_with_it(tmp_path: Path) -> None:
    async with Server(says()) as server, looking(tmp_path, server.url) as looked:
        assert (await looked.answers()).state == "ok"
        assert (await looked.credentials()).state == "ok"
        assert (await looked.version()).seen == "Kubernetes 'v1.31.2'"
    first, second = server.asked
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == "Bearer secret-token"


async def test_any_answer_tells_that_it_is_reached_and_what_time_it_is_there(tmp_path: Path) -> None:
    async with Server(says("{}", 403, at=NOW - 100)) as server, looking(tmp_path, server.url) as looked:
        assert (await looked.answers()).state == "ok"
        clock = await looked.clock()
    assert (clock.state, "2 min ahead of" in clock.seen) == ("warning", True), clock


async def test_over_tls_the_certificate_is_checked(tmp_path: Path, trust: Trust) -> None:
    async with Server(says(), tls=trust.server()) as server:
        async with looking(tmp_path, server.url, **{"certificate-authority": str(trust.ca)}) as looked:
            found = await looked.answers()
            assert (found.state, "(TLS;" in found.seen) == ("ok", True)
        other = Trust(tmp_path / "..")
        async with looking(tmp_path, server.url, **{"certificate-authority": str(other.ca)}) as looked:
            with pytest.raises(ConfigurationError, match="is not trusted"):
                await looked.answers()
        async with looking(tmp_path, server.url, **{"insecure-skip-tls-verify": True}) as looked:
            found = await looked.answers()
            assert (found.state, "not checked" in found.seen) == ("warning", True)


async def test_it_is_reached_through_the_proxy_whose_password_is_never_told(tmp_path: Path, trust: Trust) -> None:
    async with Server(says(), tls=trust.server()) as server, Proxy(server, password="x") as proxy:
        through = f"http://me:hidden-word@127.0.0.1:{proxy.port}"
        ca = {"certificate-authority": str(trust.ca), "proxy-url": through}
        async with looking(tmp_path, server.url, **ca) as looked:
            configuration = await looked.configuration()
            assert (await looked.answers()).state == "ok"
        assert f"through the proxy http://127.0.0.1:{proxy.port}" in configuration.seen
        assert "hidden-word" not in configuration.seen
        async with looking(tmp_path, server.url, **(ca | {"proxy-url": proxy.url})) as looked:
            with pytest.raises(ApiUnavailable, match="407"):
                await looked.answers()


async def test_nobody_there_is_told_with_the_address(tmp_path: Path) -> None:
    async with Server(says()) as server:
        pass
    async with looking(tmp_path, server.url) as looked:
        with pytest.raises(ApiUnavailable, match=rf"127\.0\.0\.1:{server.port} cannot be reached"):
            await looked.answers()


@pytest.mark.parametrize(
    ("user", "proof"),
    [
        (USER, "with a token"),
        (None, "with no credentials"),
        ({"username": "me", "password": "secret-token"}, "with no credentials"),
    ],
)
async def test_the_configuration_tells_what_it_holds_and_no_secret(tmp_path: Path, user: Any, proof: str) -> None:
    async with looking(tmp_path, "https://api.example:6443", user, namespace="shop") as looked:
        found = await looked.configuration()
    assert found.state == "ok"
    assert found.seen.endswith(f"context 'main', namespace 'shop': https://api.example:6443, {proof}")
    assert "secret-token" not in found.seen


async def test_a_configuration_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        await Kubernetes(str(tmp_path / "none"), None).configuration()


async def test_a_refused_token_is_an_error_and_a_forbidden_version_none(tmp_path: Path) -> None:
    async with Server(refusal(401, "Unauthorized")) as server, looking(tmp_path, server.url) as looked:
        with pytest.raises(Unauthenticated):
            await looked.credentials()
    async with Server(refusal(403, "Forbidden")) as server, looking(tmp_path, server.url) as looked:
        assert (await looked.credentials()).state == "ok"
        found = await looked.version()
    assert (found.state, "system:public-info-viewer" in found.next_step) == ("warning", True)


@pytest.mark.parametrize("body", ["<html>", "{}", "[]", '{"gitVersion": 5}'])
async def test_what_is_no_version_is_of_no_api_server(tmp_path: Path, body: str) -> None:
    async with Server(says(body)) as server, looking(tmp_path, server.url) as looked:
        with pytest.raises(ApiUnavailable, match="cannot be read"):
            await looked.credentials()


async def test_a_server_that_breaks_off_is_unavailable(tmp_path: Path) -> None:
    broken = says().replace(b"Content-Length: ", b"Content-Length: 9")
    async with Server(broken) as server, looking(tmp_path, server.url) as looked:
        with pytest.raises(ApiUnavailable, match="cannot be reached"):
            await looked.credentials()
        with pytest.raises(ApiUnavailable, match="cannot be reached"):
            await looked.answers()
