"""Credentials: found where Kubernetes puts them, read again in time, and never shown."""

import asyncio
import base64
import datetime as dt
import json
import logging
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from discovery import ConfigurationError, Discovery, Unauthenticated
from discovery.kube import credentials
from discovery.kube.credentials import Credentials, Settings, load, own_namespace
from discovery.testing import FakeCluster

from ..virtual import run
from .servers import Asked, Asking, Server, Trust, answer, config, refusal, shown, written

SECRET = "s3cr3t-0f-th1s-t3st"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those of the test."""
    for name in [name for name in os.environ if name.startswith("KUBE") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Pod:
    """A service account's folder, as a kubelet mounts it."""

    def __init__(self, folder: Path, trust: Trust) -> None:
        self.folder = folder
        (folder / "namespace").write_text("shop\n")
        (folder / "ca.crt").write_bytes(trust.ca.read_bytes())
        self.give("first")

    def give(self, token: str) -> None:
        (self.folder / "token").write_text(token)


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: Trust) -> Pod:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return Pod(folder, trust)


# In a pod


def test_a_pod_takes_its_service_account(pod: Pod) -> None:
    settings = load(None, None)
    assert (settings.host, settings.token) == ("https://127.0.0.1:6443", "Bearer first")
    assert own_namespace(None, None) == "shop"


def test_an_ipv6_address_of_the_api_server_is_put_in_brackets(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert load(None, None).host == "https://[fd00::1]:6443"


@pytest.mark.parametrize("token", ["abc\n", "abc\r\n", "  abc \n\n"])
def test_a_token_is_stripped(pod: Pod, token: str) -> None:
    pod.give(token)
    assert load(None, None).token == "Bearer abc"


def test_a_pod_prefers_its_service_account_to_a_kubeconfig_that_nobody_named(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(written(tmp_path, config("http://127.0.0.1:1"))))
    assert load(None, None).host == "https://127.0.0.1:6443"


def test_a_kubeconfig_or_context_that_is_named_goes_before_the_service_account(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, config("http://127.0.0.1:1", namespace="far"))
    assert load(str(file), None).host == "http://127.0.0.1:1"
    assert own_namespace(str(file), None) == "far"
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert load(None, "main").host == "http://127.0.0.1:1"
    assert own_namespace(None, "main") == "far"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("token", None),
        ("token", ""),
        ("token", "\n"),
        ("token", "a b"),
        ("token", f"{SECRET}\x1b"),
        ("token", f"{SECRET}é"),
        ("ca.crt", None),
        ("ca.crt", ""),
        ("ca.crt", "nonsense"),
    ],
)
def test_a_broken_service_account_is_an_error_that_says_what_to_do(pod: Pod, name: str, content: str | None) -> None:
    (pod.folder / name).unlink()
    if content is not None:
        (pod.folder / name).write_text(content)
    with pytest.raises(ConfigurationError, match="service account") as caught:
        load(None, None)
    assert caught.value.next_step
    assert SECRET not in shown(caught.value)


def test_a_pod_without_a_namespace_file_is_told_so(pod: Pod) -> None:
    (pod.folder / "namespace").unlink()
    with pytest.raises(ConfigurationError, match="service account"):
        own_namespace(None, None)


# Reading again


def test_a_token_file_is_read_again_after_a_minute_and_not_before(pod: Pod) -> None:
    async def main() -> None:
        held = Credentials(None, None)
        await held.get()
        pod.give("second")
        await asyncio.sleep(59)
        assert (await held.get()).token == "Bearer first"
        await asyncio.sleep(2)
        assert (await held.get()).token == "Bearer second"
        pod.give("third")
        await asyncio.sleep(59)
        assert (await held.get()).token == "Bearer second"
        await asyncio.sleep(2)
        assert (await held.get()).token == "Bearer third"

    run(main())


def test_what_is_refused_is_read_again_at_once_and_once_for_all_who_ask(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[object] = []

    def counted(*given: str | None) -> Settings:
        loads.append(given)
        return load(*given)

    monkeypatch.setattr(credentials, "load", counted)

    async def main() -> None:
        held = Credentials(None, None)
        refused = await held.get()
        pod.give("second")
        got = await asyncio.gather(*(held.get(not_this=refused) for _ in range(20)))
        assert {one.token for one in got} == {"Bearer second"}
        assert (await held.get(not_this=refused)).token == "Bearer second"
        assert len(loads) == 2

    run(main())


def test_a_file_that_cannot_be_read_again_leaves_what_is_held_until_it_is_refused(pod: Pod) -> None:
    async def main() -> None:
        held = Credentials(None, None)
        await held.get()
        (pod.folder / "token").unlink()
        await asyncio.sleep(61)
        settings = await held.get()
        assert settings.token == "Bearer first"
        with pytest.raises(ConfigurationError):
            await held.get(not_this=settings)
        pod.give("second")
        assert (await held.get(not_this=settings)).token == "Bearer second"

    run(main())


def test_connections_survive_a_new_token_and_not_a_new_authority(pod: Pod, trust: Trust) -> None:
    async def main() -> None:
        held = Credentials(None, None)
        first = await held.get()
        pod.give("second")
        await asyncio.sleep(61)
        second = await held.get()
        assert second.token != first.token
        assert second.tls is first.tls
        trust.renew()
        (pod.folder / "ca.crt").write_bytes(trust.ca.read_bytes())
        await asyncio.sleep(61)
        assert (await held.get()).tls is not first.tls

    run(main())


async def test_401_costs_one_more_request_with_the_rotated_token(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with Asking(written(tmp_path, config(fake_cluster.url, {"tokenFile": str(token)}))) as asking:
        await asking.credentials.get()
        token.write_text(fake_cluster.token + "\n")
        await asking.ask()
        assert len(fake_cluster.requests) == 2
        await asking.ask()
        assert len(fake_cluster.requests) == 3


async def test_401_twice_is_unauthenticated_and_asks_no_third_time(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    async with Asking(written(tmp_path, config(fake_cluster.url, {"token": SECRET}))) as asking:
        with pytest.raises(Unauthenticated, match="Renew the token") as caught:
            await asking.ask()
        assert len(fake_cluster.requests) == 2
        assert SECRET not in shown(caught.value)


async def test_a_pod_speaks_tls_and_takes_up_a_rotated_token(
    pod: Pod, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(asked: Asked) -> bytes:
        return answer() if asked.headers["authorization"] == "Bearer second" else refusal(401)

    async with Server(judge, tls=trust.server()) as server, Asking(None) as asking:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        await asking.credentials.get()
        pod.give("second\n")
        assert await asking.ask() == b"{}"
        assert [one.headers["authorization"] for one in server.asked] == ["Bearer first", "Bearer second"]


# Kubeconfigs


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({}, None),
        ({"token": "abc"}, "Bearer abc"),
        ({"token": 12345}, "Bearer 12345"),
        ({"tokenFile": "token"}, "Bearer from-a-file"),
        ({"username": "me", "password": "pw"}, basic("me:pw")),
    ],
)
def test_users_of_a_kubeconfig(tmp_path: Path, user: dict[str, Any], header: str | None) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    assert load(str(written(tmp_path, config("http://127.0.0.1:1/", user))), None).token == header


def test_a_context_without_a_user_is_anonymous(tmp_path: Path) -> None:
    body = config("http://127.0.0.1:1")
    del body["contexts"][0]["context"]["user"], body["users"]
    assert load(str(written(tmp_path, body)), None).token is None


@pytest.mark.parametrize("inline", [False, True])
async def test_a_client_certificate_is_shown_to_the_server(tmp_path: Path, trust: Trust, inline: bool) -> None:
    files = dict(zip(("client-certificate", "client-key"), trust.client(), strict=True))
    if inline:
        user = {f"{name}-data": base64.b64encode(file.read_bytes()).decode() for name, file in files.items()}
        cluster = {"certificate-authority-data": base64.b64encode(trust.ca.read_bytes()).decode()}
    else:
        user = {name: file.name for name, file in files.items()}
        cluster = {"certificate-authority": trust.ca.name}
    async with (
        Server(answer(), tls=trust.asking()) as server,
        Asking(written(tmp_path, config(server.url, user, **cluster))) as asking,
    ):
        assert await asking.ask() == b"{}"


def test_the_environment_names_several_kubeconfigs_of_which_the_first_that_says_a_thing_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = config("http://127.0.0.1:1", {"token": "one"}, name="one", namespace="first")
    second = config("http://127.0.0.1:2", {"token": "two"}, name="two", namespace="second")
    again = config("http://127.0.0.1:3", {"token": "three"}, name="one", namespace="third")
    empty = written(tmp_path, "# nothing yet\n", "empty")
    files = [written(tmp_path, body, f"config-{n}") for n, body in enumerate((first, second, again))]
    places = [tmp_path / "missing", empty, *files]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, places)) + os.pathsep)
    settings = load(None, None)
    assert (settings.host, settings.token) == ("http://127.0.0.1:1", "Bearer one")
    assert own_namespace(None, None) == "first"
    settings = load(None, "two")
    assert (settings.host, settings.token) == ("http://127.0.0.1:2", "Bearer two")
    assert own_namespace(None, "two") == "second"


def test_without_any_word_the_kubeconfig_is_the_one_in_the_home(tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".kube"
    folder.mkdir(parents=True)
    written(folder, config("http://127.0.0.1:1"), "config")
    assert load(None, None).host == "http://127.0.0.1:1"


def test_a_context_without_a_namespace_means_default(tmp_path: Path) -> None:
    assert own_namespace(str(written(tmp_path, config("http://127.0.0.1:1"))), None) == "default"


async def test_a_discovery_looks_where_its_context_says(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    body = config("http://127.0.0.1:1", namespace="wrong")
    more = config(fake_cluster.url, {"token": fake_cluster.token}, name="right", namespace="shop")
    for part in ("clusters", "users", "contexts"):
        body[part] += more[part]
    async with Discovery(kubeconfig=written(tmp_path, body), context="right") as disco:
        async with disco.pool("endpoints:///web:http") as pool:
            await pool.settled(5)
        assert {one.path for one in fake_cluster.requests} == {
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
            "/api/v1/namespaces/shop/services",
        }


# Plugins


class Plugin:
    """A program that writes credentials, and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self._runs = folder / "runs"
        self._output = folder / "output"
        self._program = folder / "plugin"
        self._program.write_text(f'#!/bin/sh\necho >> "{self._runs}"\ncat "{self._output}"\n')
        self._program.chmod(self._program.stat().st_mode | stat.S_IXUSR)

    def says(self, **status: Any) -> None:
        body = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        self._output.write_text(json.dumps(body))

    @property
    def runs(self) -> int:
        return len(self._runs.read_text().splitlines()) if self._runs.exists() else 0

    @property
    def user(self) -> dict[str, Any]:
        return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(self._program)}}


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def test_a_plugin_is_run_once_and_again_only_when_refused(tmp_path: Path, plugin: Plugin) -> None:
    async def main() -> None:
        plugin.says(token="one")
        held = Credentials(written(tmp_path, config("http://127.0.0.1:1", plugin.user)), None)
        settings = await held.get()
        plugin.says(token="two")
        await asyncio.sleep(86400)
        assert (await held.get()).token == "Bearer one"
        assert plugin.runs == 1
        assert (await held.get(not_this=settings)).token == "Bearer two"
        assert plugin.runs == 2

    run(main())


def test_a_plugins_token_holds_until_it_expires_and_not_longer(tmp_path: Path, plugin: Plugin) -> None:
    def says(token: str, seconds: float) -> None:
        expiry = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        plugin.says(token=token, expirationTimestamp=expiry.isoformat())

    async def main() -> None:
        says("one", 600)
        held = Credentials(written(tmp_path, config("http://127.0.0.1:1", plugin.user)), None)
        await held.get()
        says("two", -5)
        await asyncio.sleep(500)
        assert ((await held.get()).token, plugin.runs) == ("Bearer one", 1)
        await asyncio.sleep(150)
        assert ((await held.get()).token, plugin.runs) == ("Bearer two", 2)
        await held.get()
        assert plugin.runs == 2, "a clock that is wrong does not make every request run it"
        says("three", 600)
        await asyncio.sleep(2)
        assert ((await held.get()).token, plugin.runs) == ("Bearer three", 3)

    run(main())


async def test_a_plugin_may_give_a_client_certificate(tmp_path: Path, plugin: Plugin, trust: Trust) -> None:
    cert, key = trust.client()
    plugin.says(clientCertificateData=cert.read_text(), clientKeyData=key.read_text())
    async with (
        Server(answer(), tls=trust.asking()) as server,
        Asking(written(tmp_path, config(server.url, plugin.user, **{"certificate-authority": "ca.crt"}))) as asking,
    ):
        assert await asking.ask() == b"{}"
        assert plugin.runs == 1


async def test_the_loop_turns_while_a_plugin_runs(tmp_path: Path) -> None:
    """The plugin ends only when the loop has done something."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    credential = {"apiVersion": "v1", "kind": "ExecCredential", "status": {"token": "abc"}}
    script = f"cat {fifo} > {tmp_path}/got; echo '{json.dumps(credential)}'"
    user = {"exec": {"apiVersion": "v1", "command": "/bin/sh", "args": ["-c", script]}}
    held = Credentials(written(tmp_path, config("http://127.0.0.1:1", user)), None)
    async with asyncio.TaskGroup() as group:
        getting = group.create_task(held.get())
        await asyncio.sleep(0.01)
        await asyncio.to_thread(fifo.write_text, "go")
    assert getting.result().token == "Bearer abc"


async def test_credentials_are_loaded_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def noted(*given: str | None) -> Settings:
        threads.append(threading.current_thread())
        return load(*given)

    monkeypatch.setattr(credentials, "load", noted)
    await Credentials(written(tmp_path, config("http://127.0.0.1:1")), None).get()
    assert [thread is threading.main_thread() for thread in threads] == [False]


# What is wrong with them


def key_pem() -> str:
    return trustme.CA().issue_cert("a@example.org").private_key_pem.bytes().decode()


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    body = config("https://127.0.0.1:1", {"token": SECRET})
    change(body)
    return body


def user(**fields: Any) -> dict[str, Any]:
    return config("https://127.0.0.1:1", fields)


def cluster(**fields: Any) -> dict[str, Any]:
    body = config("https://127.0.0.1:1", {"token": SECRET})
    body["clusters"][0]["cluster"].update({name.replace("_", "-"): value for name, value in fields.items()})
    return body


def program(script: str, **more: Any) -> dict[str, Any]:
    return user(exec={"apiVersion": "v1", "command": "/bin/sh", "args": ["-c", script], **more})


BROKEN: dict[str, object] = {
    "not YAML": f"users: [{{name: {SECRET}",
    "a tab": f"users:\n\t- token: {SECRET}",
    "a tag": f"users: !!python/object:os.system {SECRET}",
    "control characters": f"users: \x00{SECRET}",
    "a text": SECRET,
    "a number": "17",
    "a list": [SECRET],
    "empty": "",
    "null": "null",
    "an empty mapping": {},
    "no current context": changed(lambda body: body.pop("current-context")),
    "a current context that is no text": changed(lambda body: body.update({"current-context": [SECRET]})),
    "a context that is not there": changed(lambda body: body.update({"current-context": "other"})),
    "no contexts": changed(lambda body: body.pop("contexts")),
    "contexts that are no list": changed(lambda body: body.update(contexts=SECRET)),
    "a context without a name": changed(lambda body: body["contexts"][0].pop("name")),
    "a context without a cluster": changed(lambda body: body["contexts"][0]["context"].pop("cluster")),
    "a context that is a text": changed(lambda body: body["contexts"][0].update(context=SECRET)),
    "a namespace that is no text": changed(lambda body: body["contexts"][0]["context"].update(namespace=[SECRET])),
    "no clusters": changed(lambda body: body.pop("clusters")),
    "a cluster of another name": changed(lambda body: body["clusters"][0].update(name="other")),
    "a cluster that is a text": changed(lambda body: body["clusters"][0].update(cluster=SECRET)),
    "no users": changed(lambda body: body.pop("users")),
    "a user of another name": changed(lambda body: body["users"][0].update(name="other")),
    "a user that is a text": changed(lambda body: body["users"][0].update(user=SECRET)),
    "a user under a wrong key": changed(lambda body: body.update(users=[{"name": "main", "usr": {"token": SECRET}}])),
    "a server that is a number": cluster(server=17),
    "no server": changed(lambda body: body["clusters"][0]["cluster"].pop("server")),
    "a server without a scheme": cluster(server="api.example.org:6443"),
    "a server of another scheme": cluster(server="ftp://api.example.org"),
    "a server with a wild port": cluster(server="https://api.example.org:99999"),
    "a server with half an address": cluster(server="https://[::1"),
    "a server with a password": cluster(server=f"https://me:{SECRET}@api.example.org"),
    "verification that is a text": cluster(insecure_skip_tls_verify="false"),
    "a server name that is a number": cluster(tls_server_name=17),
    "a proxy that is no text": cluster(proxy_url=[SECRET]),
    "a proxy of another kind": cluster(proxy_url=f"socks5://me:{SECRET}@proxy:1"),
    "a proxy that is no URL": cluster(proxy_url=f"http://me:{SECRET}@:"),
    "an authority that is not there": cluster(certificate_authority="missing.crt"),
    "an authority that is no certificate": cluster(certificate_authority_data=base64.b64encode(b"x").decode()),
    "an authority that is not base64": cluster(certificate_authority_data=f"{SECRET}!"),
    "an authority that is empty": cluster(certificate_authority="/dev/null"),
    "a token that is broken": user(token=f"{SECRET}\x1b[0m"),
    "a token that is two words": user(token=f"{SECRET} more"),
    "a token's file that is not there": user(tokenFile=SECRET),
    "a token's file that is empty": user(tokenFile="/dev/null"),
    "a key in the place of its file": user(**{"client-certificate": "ca.crt", "client-key": key_pem()}),
    "a key that is no key": user(
        **{"client-certificate": "ca.crt", "client-key-data": base64.b64encode(b"x").decode()}
    ),
    "a certificate without a key": user(**{"client-certificate": "ca.crt"}),
    "a plugin that is not there": user(exec={"apiVersion": "v1", "command": f"/{SECRET}"}),
    "a plugin without a command": user(exec={"apiVersion": "v1"}),
    "a plugin that is a text": user(exec=SECRET),
    "a plugin that fails": program(f"echo {SECRET}; echo {SECRET} >&2; exit 3"),
    "a plugin that says nothing": program("true"),
    "a plugin that says nonsense": program(f"echo {SECRET}"),
    "a plugin that says a list": program(f"echo '[\"{SECRET}\"]'"),
    "a plugin of another version": program(
        f'echo \'{{"apiVersion":"v2","kind":"x","status":{{"token":"{SECRET}"}}}}\''
    ),
    "a plugin without a status": program(f'echo \'{{"apiVersion":"v1","kind":"x","status":null,"x":"{SECRET}"}}\''),
    "a plugin with a wrong date": program(
        f'echo \'{{"apiVersion":"v1","kind":"x","status":{{"token":"x","expirationTimestamp":"{SECRET}"}}}}\''
    ),
    "a plugin with a wrong argument": program("true", args=[{"secret": SECRET}]),
    "a plugin with a wrong environment": program("true", env=[{"value": SECRET}]),
    "an OIDC token that is none": user(**{"auth-provider": {"name": "oidc", "config": {"id-token": SECRET}}}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_kubeconfig_is_an_error_that_names_it_and_shows_nothing_of_it(
    tmp_path: Path, trust: Trust, what: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    file = written(tmp_path, BROKEN[what])
    with pytest.raises(ConfigurationError, match=re.escape(str(file))) as caught:
        load(str(file), None)
    assert caught.value.next_step
    out, err = capfd.readouterr()
    seen = "\n".join([shown(caught.value), caplog.text, out, err])
    assert SECRET not in seen
    assert "PRIVATE KEY" not in seen
    assert len(str(caught.value)) < 1000


def test_a_kubeconfig_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(b"\xff\xfe\x00" * 100)
    with pytest.raises(ConfigurationError, match=re.escape(str(file))):
        load(str(file), None)


@pytest.mark.parametrize("place", ["missing", ".", "~nobody-of-this-name/config", "a\x00b"])
def test_a_kubeconfig_that_is_not_there_is_an_error_that_says_how_to_name_one(tmp_path: Path, place: str) -> None:
    path = place if place.startswith("~") else f"{tmp_path}/{place}"
    for read in (load, own_namespace):
        with pytest.raises(ConfigurationError, match=r"no kubeconfig at .* KUBECONFIG"):
            read(path, None)


def test_a_context_that_is_not_there_is_named_together_with_those_that_are(tmp_path: Path) -> None:
    file = str(written(tmp_path, config("http://127.0.0.1:1")))
    for read in (load, own_namespace):
        with pytest.raises(ConfigurationError, match=r"no context 'other'. It has 'main'"):
            read(file, "other")


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path, trust: Trust) -> None:
    cert, key = trust.client()
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    file = written(tmp_path, user(**{"client-certificate": cert.name, "client-key": key.name}))
    with pytest.raises(ConfigurationError, match="SSLError"):
        load(str(file), None)


def test_what_others_log_is_not_lost_and_ours_is_silent_only_while_it_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("kubernetes_asyncio.config.kube_config")
    with pytest.raises(ConfigurationError):
        load(str(written(tmp_path, program("exit 3"))), None)
    log.error("later")
    with credentials._unlogged():
        log.error("ours")
        other = threading.Thread(target=log.error, args=("of another thread",))
        other.start()
        other.join()
    assert [record.getMessage() for record in caplog.records] == ["later", "of another thread"]


@pytest.mark.parametrize("token", [SECRET, None])
def test_settings_show_no_credential(tmp_path: Path, token: str | None) -> None:
    secrets = {"token": token} if token else {"username": "me", "password": SECRET}
    proxy = {"proxy-url": f"http://me:{SECRET}@proxy:1"}
    settings = load(str(written(tmp_path, config("http://127.0.0.1:1", secrets, **proxy))), None)
    assert isinstance(settings, Settings)
    assert settings.token
    assert settings.proxy == "http://proxy:1"
    assert settings.proxy_token == basic(f"me:{SECRET}")
    for text in (repr(settings), str(settings)):
        assert SECRET not in text
        assert basic(f"me:{SECRET}") not in text


async def test_an_error_of_the_configuration_reaches_who_waits_for_a_pool(tmp_path: Path) -> None:
    file = written(tmp_path, program(f"echo {SECRET} >&2; exit 3"))
    async with Discovery(kubeconfig=file) as disco, disco.pool("endpoints://shop/web:http") as pool:
        await pool.settled(5)
        error = pool.status.last_error
    assert isinstance(error, ConfigurationError)
    assert "exec: process returned 3" in str(error)
    assert SECRET not in shown(error)


# What it costs


def python(script: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = "import sys; print('kubernetes_asyncio' in sys.modules, 'yaml' in sys.modules)"
POOL = """
import asyncio, discovery
async def main():
    async with discovery.Discovery() as disco, disco.pool("static://127.0.0.1:80") as pool:
        await pool.ready(5)
asyncio.run(main())
"""
HELP = """
import contextlib, io, sys
from discovery.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
"""


@pytest.mark.parametrize("script", ["import discovery", POOL, HELP], ids=["import", "static pool", "help"])
def test_kubernetes_asyncio_is_not_imported_by_those_who_do_not_use_it(script: str) -> None:
    assert python(f"{script}\n{LOADED}").strip() == "False False"


WATCHED = """
import asyncio, sys, threading
from discovery.kube.credentials import Credentials
threads = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "kubernetes_asyncio":
            threads.append(threading.current_thread() is threading.main_thread())
sys.meta_path.insert(0, Finder())
asyncio.run(Credentials(sys.argv[1], None).get())
print(bool(threads), any(threads))
"""


def test_kubernetes_asyncio_is_imported_in_a_thread(tmp_path: Path) -> None:
    assert python(WATCHED, str(written(tmp_path, config("http://127.0.0.1:1")))).strip() == "True False"
