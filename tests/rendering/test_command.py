"""Commands end in time, leave nothing behind, and what they say is kept."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest

from discovery import ConfigurationError
from discovery.rendering import RenderError
from discovery.rendering.command import KEPT, Command

from ..until import until


def sh(script: str) -> Command:
    return Command(("sh", "-c", script))


async def failure(command: Command, patience: float = 30.0, file: Path = Path("/none")) -> RenderError:
    with pytest.raises(RenderError) as raised:
        await command.run(file, stage="command", patience=patience)
    return raised.value


def alive(pid: int) -> bool:
    """A zombie that init has not buried yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_no_shell_reads_it_and_the_file_stands_for_the_braces(tmp_path: Path) -> None:
    out = tmp_path / "a b"
    command = Command(
        f"{sys.executable} -c 'import sys; open(sys.argv[1], \"w\").write(sys.argv[2])' {{}} '$HOME;x={{}}'"
    )
    await command.run(out, stage="command")
    assert out.read_text() == f"$HOME;x={out}"


async def test_words_may_be_given_as_they_are(tmp_path: Path) -> None:
    await Command(["touch", "{}"]).run(tmp_path / "*", stage="command")
    assert (tmp_path / "*").exists()


async def test_its_environment_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "blue")
    await sh('test "$COLOUR" = blue').run(Path("/none"), stage="command")


async def test_it_is_asked_nothing() -> None:
    await sh("! read line").run(Path("/none"), stage="command")


async def test_a_failure_says_how_and_the_last_that_was_said() -> None:
    error = await failure(sh("echo one; echo two >&2; exit 3"))
    assert str(error) == "the command 'sh' ended with 3: 'two'. It is run again until it succeeds"
    assert (error.stage, error.output) == ("command", "one\ntwo\n")
    assert "was ended by signal 9" in str(await failure(sh("kill -9 $$")))
    assert str(await failure(sh("exit 1"))) == "the command 'sh' ended with 1. It is run again until it succeeds"


async def test_what_is_kept_of_much_is_its_end() -> None:
    error = await failure(sh("yes | head -c 3000000; echo last; exit 1"))
    assert len(error.output) == KEPT
    assert error.output.endswith("y\nlast\n")


async def test_its_arguments_are_in_no_error_and_no_repr() -> None:
    command = sh("exit 1; # secret")
    assert "secret" not in str(await failure(command)) + repr(command)


async def test_one_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {shlex.quote(str(tmp_path / 'pid'))}; echo begun; wait"
    error = await failure(sh(script), patience=0.5)
    assert str(error).startswith("the command 'sh' was not done within 0.5 s: 'begun'")
    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not alive(pid))


async def test_one_that_will_not_end_is_killed() -> None:
    error = await failure(sh("trap '' TERM; while true; do sleep 0.05; done"), patience=0.3)
    assert "not done within" in str(error)


async def test_a_daemon_that_it_starts_is_not_waited_for(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with asyncio.timeout(5):
        await sh(f"sleep 600 & echo $! > {shlex.quote(str(note))}").run(Path("/none"), stage="command")
    pid = int(note.read_text())
    assert alive(pid)
    os.kill(pid, 9)


async def test_a_cancellation_ends_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    running = asyncio.create_task(
        sh(f"echo $$ > {shlex.quote(str(note))}; exec sleep 600").run(Path("/none"), stage="command")
    )
    await until(lambda: note.exists() and note.read_text())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    pid = int(note.read_text())
    assert not alive(pid)


def descriptors() -> int:
    """Files that this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_file_of_ours_is_left_open() -> None:
    await sh("true").run(Path("/none"), stage="command")
    before = descriptors()
    for _ in range(3):
        await sh("true").run(Path("/none"), stage="command")
        await failure(sh("false"))
    assert descriptors() == before


async def test_one_that_cannot_be_started_is_a_failure_as_any_other(tmp_path: Path) -> None:
    program = tmp_path / "reload"
    program.write_text("#!/nowhere\n")
    program.chmod(0o755)
    command = Command([str(program)])
    assert "cannot be started" in str(await failure(command))
    program.unlink()
    assert "cannot be started" in str(await failure(command))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "'' is no command"),
        ([], "is no command"),
        ("reload 'it", "cannot be read: No closing quotation"),
        ("no-such-program --now", "there is no program 'no-such-program'"),
        (["true", 3], "is no command"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(given: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Command(given)
