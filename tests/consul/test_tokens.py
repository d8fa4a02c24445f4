"""Tokens: read when needed, renewed when refused, and logged out at the end."""

import asyncio
import os
from pathlib import Path

import pytest

from discovery.consul import exchange, tokens
from discovery.consul.api import Consul
from discovery.consul.settings import Login, Settings
from discovery.errors import ConfigurationError, ConsulError

from ..kube.servers import shown
from ..until import until
from .server import TOKEN, Asked, Said, Same, Server, Told, for_ever, reaching, refused, said

UNKNOWN = refused(403, "ACL not found")
LACKS = refused(403, "Permission denied: token with AccessorID '0a' lacks permission 'node:read'")
BEARER = "b34r3r-0f-th1s-t3st"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "token"
    made.write_text(f"{TOKEN}\n")
    return made


def write(file: Path, content: bytes | str) -> None:
    """As one who rotates it."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(file: Path) -> None:
    file.unlink()


def knowing(*known: str) -> Server:
    """A Consul that knows these tokens."""

    def answer(asked: Asked) -> Said:
        return said([]) if asked.token in known else UNKNOWN

    return Server(answer)


# A token that is given


async def test_a_token_that_is_refused_is_not_tried_again() -> None:
    async with knowing("other") as server, reaching(server, token=TOKEN) as consul:
        with pytest.raises(ConsulError, match="Renew the token") as failed:
            await consul.nodes()
        assert (failed.value.reason, len(server.asked)) == ("denied", 1)


# A token in a file


async def test_a_token_is_read_when_it_is_first_needed(file: Path) -> None:
    async with knowing(TOKEN) as server, reaching(server, token_file=str(file), token="other") as consul:
        await consul.nodes()
        await consul.nodes()
    assert [asked.token for asked in server.asked] == [TOKEN, TOKEN]


async def test_a_token_that_was_rotated_is_read_again_on_refusal(file: Path) -> None:
    told = Told()
    async with knowing(TOKEN, "new") as server, reaching(server, token_file=str(file), told=told) as consul:
        await consul.nodes()
        write(file, "new")
        server.answers = list(knowing("new").answers)
        await consul.nodes()
    assert [asked.token for asked in server.asked] == [TOKEN, TOKEN, "new"]
    assert told.names == ["consul.token"]


async def test_a_token_that_was_rotated_is_found_before_it_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CHECK_SECONDS", 0.0)
    async with knowing(TOKEN, "new") as server, reaching(server, token_file=str(file)) as consul:
        await consul.nodes()
        write(file, "new")
        await consul.nodes()
    assert [asked.token for asked in server.asked] == [TOKEN, "new"]


async def test_a_write_is_asked_once_more_too(file: Path) -> None:
    async with knowing(TOKEN) as server, reaching(server, token_file=str(file)) as consul:
        await consul.nodes()
        write(file, "new")
        wrote = said({"Results": None, "Errors": None})
        server.answers = [lambda asked: wrote if asked.token == "new" else UNKNOWN]
        await consul.transact([b'{"KV":{"Verb":"delete","Key":"k"}}'])
        assert consul.writes == 1
    assert [asked.token for asked in server.asked] == [TOKEN, TOKEN, "new"]


async def test_the_same_token_is_not_tried_twice(file: Path) -> None:
    async with knowing("other") as server, reaching(server, token_file=str(file)) as consul:
        with pytest.raises(ConsulError):
            await consul.nodes()
        assert len(server.asked) == 1


async def test_a_new_token_that_is_refused_too_ends_it(file: Path) -> None:
    async with knowing(TOKEN) as server, reaching(server, token_file=str(file)) as consul:
        await consul.nodes()
        write(file, "new")
        server.answers = [UNKNOWN]
        with pytest.raises(ConsulError):
            await consul.nodes()
        assert len(server.asked) == 3


async def test_a_file_that_is_gone_for_a_moment_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CHECK_SECONDS", 0.0)
    async with knowing(TOKEN) as server, reaching(server, token_file=str(file)) as consul:
        await consul.nodes()
        remove(file)
        await consul.nodes()
        write(file, "")
        await consul.nodes()
    assert {asked.token for asked in server.asked} == {TOKEN}


@pytest.mark.parametrize("content", [None, b"", b"two\nlines" + TOKEN.encode(), b"\xff" + TOKEN.encode()])
async def test_a_file_without_a_token_is_named_and_what_it_holds_is_not(file: Path, content: bytes | None) -> None:
    remove(file)
    if content is not None:
        write(file, content)
    async with knowing() as server, reaching(server, token_file=str(file)) as consul:
        with pytest.raises(ConfigurationError, match=str(file)) as failed:
            await consul.nodes()
        assert server.asked == []
    assert TOKEN not in shown(failed.value)


async def test_a_file_that_blocks_does_not_block_the_loop(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with knowing(TOKEN) as server, reaching(server, token_file=str(pipe)) as consul:
        asking = asyncio.create_task(consul.nodes())
        await asyncio.sleep(0.01)  # the loop goes on, or this would never return
        assert not asking.done()
        await asyncio.to_thread(pipe.write_text, TOKEN)
        await asking


# A login


class Gate:
    """A Consul with an auth method: tokens `t1`, `t2`... of which it knows the latest."""

    def __init__(self) -> None:
        self.logins: list[Asked] = []
        self.logouts: list[str | None] = []
        self.known = ""
        self.server = Server(self.answer)

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/v1/acl/login":
            self.logins.append(asked)
            self.known = f"t{len(self.logins)}"
            return said({"AccessorID": "a", "SecretID": self.known}, index=None)
        if asked.path == "/v1/acl/logout":
            self.logouts.append(asked.token)
            return said(True, index=None)
        return said([]) if asked.token == self.known else UNKNOWN


@pytest.fixture
def bearer(tmp_path: Path) -> str:
    file = tmp_path / "bearer"
    file.write_text(BEARER)
    return str(file)


async def test_a_login_is_made_when_first_needed_and_ended_at_the_end(bearer: str) -> None:
    gate, told = Gate(), Told()
    login = Login(method="k8s", bearer_token_file=bearer, meta={"pod": "a"}, namespace="auth", datacenter="dc1")
    async with gate.server as server, reaching(server, login=login, token=TOKEN, namespace="x", told=told) as consul:
        assert gate.logins == []
        await consul.nodes()
        await consul.nodes()
    (asked,) = gate.logins
    assert asked.json == {"AuthMethod": "k8s", "BearerToken": BEARER, "Meta": {"pod": "a"}}
    assert set(asked.query) == {("dc", "dc1"), ("ns", "auth")}
    assert asked.token is None
    assert [one.token for one in server.asked] == [None, "t1", "t1", "t1"]
    assert gate.logouts == ["t1"]
    assert told.names == ["consul.login"]
    assert BEARER not in repr(told)


async def test_who_never_asked_has_nothing_to_log_out_of(bearer: str) -> None:
    gate = Gate()
    async with gate.server as server, reaching(server, login=Login(method="k8s", bearer_token_file=bearer)):
        pass
    assert server.asked == []


async def test_a_token_that_consul_no_longer_knows_is_replaced_by_another_login(bearer: str) -> None:
    gate = Gate()
    async with gate.server as server, reaching(server, login=Login(method="k8s", bearer_token_file=bearer)) as consul:
        await consul.nodes()
        gate.known = ""
        await asyncio.gather(*(consul.nodes() for _ in range(8)))
        assert len(gate.logins) == 2  # one for all
    assert gate.logouts == ["t2"]


async def test_a_right_that_is_missing_is_no_reason_to_log_in_again(bearer: str) -> None:
    gate = Gate()
    async with gate.server as server, reaching(server, login=Login(method="k8s", bearer_token_file=bearer)) as consul:
        await consul.nodes()
        usual = server.answers
        server.answers = [LACKS]
        with pytest.raises(ConsulError, match='node = "read"'):
            await consul.nodes()
        server.answers = usual
    assert len(gate.logins) == 1


async def test_a_login_that_fails_fails_for_all_who_wait_and_is_tried_anew_by_the_next(bearer: str) -> None:
    async def late(asked: Asked) -> Said:
        await asyncio.sleep(0.02)
        return refused(403, "Permission denied")

    async with Server(late) as server, reaching(server, login=Login(method="k8s", bearer_token_file=bearer)) as consul:
        failed = await asyncio.gather(*(consul.nodes() for _ in range(5)), return_exceptions=True)
        assert [getattr(error, "reason", error) for error in failed] == ["denied"] * 5
        assert server.paths == ["/v1/acl/login"]
        with pytest.raises(ConsulError, match="auth method 'k8s'") as again:
            await consul.nodes()
        assert server.paths == ["/v1/acl/login"] * 2
    assert BEARER not in shown(again.value)


@pytest.mark.parametrize("body", [{}, {"SecretID": 1}, []])
async def test_a_login_without_a_token_is_no_answer_of_consul(bearer: str, body: object) -> None:
    login = Login(method="k8s", bearer_token_file=bearer)
    async with Server(said(body)) as server, reaching(server, login=login) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.nodes()
        assert failed.value.reason == "unusable"


async def test_a_bearer_that_comes_back_is_not_repeated(bearer: str) -> None:
    def echo(asked: Asked) -> Said:
        return refused(500, asked.body.decode())

    async with Server(echo) as server, reaching(server, login=Login(method="k8s", bearer_token_file=bearer)) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.nodes()
    assert BEARER not in shown(failed.value)


async def test_a_logout_takes_no_longer_than_it_may(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LOGOUT_SECONDS", 0.05)
    gate, told = Gate(), Told()
    login = Login(method="k8s", bearer_token_file=bearer)
    async with gate.server as server:
        consul = Consul(Settings(address=server.url, login=login), emit=told, rng=Same())
        await consul.nodes()
        server.answers = [for_ever]
        async with asyncio.timeout(2):
            await consul.aclose()
        await until(lambda: server.cut == 1)
    assert told.names == ["consul.login", "consul.logout"]
    assert told[-1].data == {"error": "no answer in time"}


async def test_a_logout_that_fails_is_told_and_no_error(bearer: str) -> None:
    gate, told = Gate(), Told()
    login = Login(method="k8s", bearer_token_file=bearer)
    async with gate.server as server, reaching(server, login=login, told=told) as consul:
        await consul.nodes()
        server.answers = [refused(500, "No cluster leader")]
    assert told.names == ["consul.login", "consul.logout"]
    assert "No cluster leader" in told[-1].data["error"]
