"""`discovery watch --render`, run as its users run it."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from discovery.cli import main
from discovery.testing import FakeCluster

from ..until import until
from .command import run, started

STATIC = ("watch", "static://192.0.2.1:80,192.0.2.2:80")


def lines(path: Path) -> int:
    """Servers of HAProxy in a file; -1 where there is none."""
    return path.read_text().count("    server ") if path.exists() else -1


def names(folder: Path) -> list[str]:
    """All that is in a folder."""
    return [path.name for path in folder.iterdir()]


async def test_a_file_is_kept_as_the_backends_are_with_a_line_for_each_time(
    fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    web = await fake_cluster.deploy("web", replicas=2, kind="NodePort", grace=0)
    path = tmp_path / "web.cfg"
    arguments = ("node-port:///web:http", "--render", "haproxy", "--to", path, "--set", "name=web")
    async with started("watch", *arguments, "--kubeconfig", fake_cluster.kubeconfig) as running:
        at, *rest = (await running.line()).split()
        assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=1)
        assert rest == [str(path), "3", "backends"]
        assert "\nbackend web\n" in path.read_text()
        assert lines(path) == 3
        label = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}
        for node in ("node-2", "node-3"):
            fake_cluster.patch("nodes", node, label)
        while (await running.line()).split()[1:] != [str(path), "1", "backend"]:
            pass
        assert lines(path) == 1
        await web.scale(0)
        assert (await running.line()).split()[1:] == [str(path), "0", "backends"]
        assert lines(path) == 0
        running.process.send_signal(signal.SIGINT)
        ran = await running.end()
    assert (ran.code, ran.out) == (130, "")
    assert names(tmp_path) == ["web.cfg"]


async def test_programs_are_told_in_json(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    await fake_cluster.deploy("web")
    path = tmp_path / "web.json"
    arguments = ("web", "--render", "prometheus", "--to", path, "--output", "json")
    async with started("watch", *arguments, "--kubeconfig", fake_cluster.kubeconfig) as running:
        said = json.loads(await running.line())
        assert (list(said), said["file"], said["backends"]) == (["at", "file", "backends"], str(path), 1)
        assert len(json.loads(path.read_text())) == 1


async def test_a_reload_that_fails_is_said_and_made_good(tmp_path: Path) -> None:
    path, switch = tmp_path / "web.cfg", tmp_path / "works"
    command = f"sh -c 'echo trying; echo no way; test -e {switch}'"
    async with started(*STATIC, "--render", "haproxy", "--to", path, "--run", command) as running:
        assert await running.line()
        assert await running.warned() == "discovery: trying\n"
        assert "the command 'sh' ended with 1: 'no way'. It is run again until it succeeds" in await running.warned()
        assert (tmp_path / ".web.cfg.owed").exists()
        switch.touch()
        await until(lambda: not (tmp_path / ".web.cfg.owed").exists(), timeout=30)


async def test_what_reads_its_output_may_go_and_the_file_is_kept(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    web = await fake_cluster.deploy("web")
    path = tmp_path / "web.cfg"
    arguments = ("web", "--render", "haproxy", "--to", path, "--kubeconfig", fake_cluster.kubeconfig)
    async with started("watch", *arguments) as running:
        assert await running.line()
        assert running.process.stdout is not None
        running.process.stdout._transport.close()  # type: ignore[attr-defined]
        for replicas in (2, 3, 4):
            await web.scale(replicas)
            await until(lambda: lines(path) == replicas, timeout=30)  # noqa: B023
        assert running.process.returncode is None


@pytest.mark.parametrize("which", ["check", "run"])
async def test_a_service_that_is_stopped_leaves_nothing_half_way(tmp_path: Path, which: str) -> None:
    path, note = tmp_path / "web.cfg", tmp_path / "pid"
    command = f"sh -c 'echo $$ > {note}; exec sleep 600'"
    async with started(*STATIC, "--render", "haproxy", "--to", path, f"--{which}", command) as running:
        await until(lambda: note.exists() and note.read_text(), timeout=30)
        running.process.send_signal(signal.SIGTERM)
        ran = await running.end()
    assert (ran.code, ran.err) == (0, "")
    assert sorted(names(tmp_path)) == (["pid"] if which == "check" else [".web.cfg.owed", "pid", "web.cfg"])
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


# Once


async def test_once_it_writes_tells_and_ends(tmp_path: Path) -> None:
    path, log = tmp_path / "web.cfg", tmp_path / "log"
    arguments = (*STATIC, "--render", "haproxy", "--to", path, "--run", f"sh -c 'echo $0 >> {log}' {{}}", "--once")
    first, second = await run(*arguments), await run(*arguments)
    assert (first.code, first.err, first.out.split()[1:]) == (0, "", [str(path), "2", "backends"])
    assert (second.code, second.err, second.out) == (0, "", "")
    assert log.read_text() == f"{path}\n"


async def test_once_with_nothing_usable_it_writes_that_and_says_so(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    web = await fake_cluster.deploy("web")
    web.set_ready(web.pods[0], False)
    path = tmp_path / "web.cfg"
    arguments = ("watch", "web", "--render", "haproxy", "--to", path, "--once", "--kubeconfig", fake_cluster.kubeconfig)
    ran = await run(*arguments)
    assert (ran.code, lines(path)) == (1, 0)
    assert "none ready" in ran.err
    path.write_text("last")
    ran = await run(*arguments, "--keep-last")
    assert (ran.code, path.read_text(), ran.out) == (1, "last", "")


async def test_once_what_a_check_refuses_or_a_command_fails_is_said_and_the_code_is_2(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    arguments = (*STATIC, "--render", "haproxy", "--to", path, "--once")
    ran = await run(*arguments, "--check", "sh -c 'echo bad file; exit 1'")
    assert (ran.code, ran.complaint) == (
        2,
        "the command 'sh' ended with 1: 'bad file'. What was rendered is not put in place",
    )
    assert names(tmp_path) == []
    ran = await run(*arguments, "--run", "false")
    assert (ran.code, lines(path)) == (2, 2)
    assert ran.err == (
        "discovery: the command 'false' ended with 1. The file is in place; the next run for it tells its reader\n"
    )


@pytest.mark.parametrize("mode", [(), ("--once",)])
async def test_a_service_that_is_not_there_writes_nothing(
    fake_cluster: FakeCluster, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    path = tmp_path / "web.cfg"
    path.write_text("last")
    arguments = ("watch", "node-port:///web:http", "--render", "haproxy", "--to", path, *mode)
    ran = await run(*arguments, "--kubeconfig", fake_cluster.kubeconfig)
    assert (ran.code, path.read_text()) == (5, "last")
    assert "web" in ran.complaint


async def test_an_api_server_that_is_away_writes_nothing(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    path.write_text("last")
    await fake_cluster.stop_api()
    arguments = ("watch", "web", "--render", "haproxy", "--to", path, "--kubeconfig", fake_cluster.kubeconfig)
    ran = await run(*arguments)
    assert (ran.code, path.read_text()) == (3, "last")


# What cannot work


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--render", "haproxy"], "--render needs --to FILE. Add --to FILE"),
        (["--to", "{folder}/x"], "--to needs --render TEMPLATE. Add"),
        (["--to", "{folder}/x", "--run", "true"], "--to needs --render TEMPLATE. Add"),
        (["--run", "true"], "--run needs --render TEMPLATE and --to FILE. Add --render TEMPLATE --to FILE"),
        (["--check", "true"], "--check needs"),
        (["--keep-last"], "--keep-last needs"),
        (["--once"], "--once needs"),
        (["--set", "a=b"], "--set needs"),
        (["--render", "envoy", "--to", "{folder}/x"], "the template 'envoy' cannot be read"),
        (["--render", "{folder}/bad.j2", "--to", "{folder}/x"], "bad.j2 line 2: 'oops' is undefined"),
        (["--render", "haproxy", "--to", "{folder}/none/x"], "there is no directory"),
        (["--render", "haproxy", "--to", "{folder}/x", "--run", "no-such-program"], "there is no program"),
        (["--render", "haproxy", "--to", "{folder}/x", "--set", "target=b"], "cannot be called 'target'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.j2").write_text("\n{{ oops }}\n")
    code = main(["watch", "web", *(word.format(folder=tmp_path) for word in options)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert names(tmp_path) == ["bad.j2"]


@pytest.mark.parametrize("text", ["name", "=x", "a b=c", ""])
def test_a_variable_that_is_none_is_a_wrong_argument(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["watch", "web", "--set", text])
    assert ended.value.code == 2
    assert f"argument --set: {text!r} is not NAME=VALUE" in capsys.readouterr().err
