"""Processes of a benchmark: how they are started and spoken to, in JSON lines, and how one measures its own memory."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

Said = Mapping[str, Any]


class Program:
    """A running process that says JSON lines, and goes on or ends when it is told so on its standard input."""

    def __init__(self, command: Sequence[str]) -> None:
        self._name = " ".join(Path(part).name for part in command[:4])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def hear(self) -> Said:
        """The next line; an error where the process ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with status {self._process.wait()} and said nothing")
        said: Said = json.loads(line)
        return said

    def go_on(self) -> None:
        """Let it do its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        """No more steps: its standard input ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def close(self) -> None:
        """End it if it has not ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextlib.contextmanager
def running(*command: str) -> Iterator[Program]:
    """A process for the length of a block."""
    program = Program(command)
    try:
        yield program
    finally:
        program.close()


def ours(module: str, *arguments: str) -> contextlib.AbstractContextManager[Program]:
    """A module of this package, run as a program in an interpreter of its own."""
    return running(sys.executable, "-m", f"bench.{module}", *arguments)


def anchor(*arguments: str) -> contextlib.AbstractContextManager[Program]:
    """A subcommand of `bench/anchors`."""
    return running(str(_anchors()), *arguments)


@cache
def _anchors() -> Path:
    """Build them: the Go tool knows what has not changed."""
    made = CACHE / "discovery-bench" / "anchors"
    made.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["go", "build", "-trimpath", "-o", made, "."], cwd=ROOT / "bench" / "anchors", check=True)
    except FileNotFoundError:
        raise SystemExit("this benchmark is measured against programs in Go: install Go 1.26 or newer") from None
    return made


def say(**said: Any) -> None:
    """For a process: tell the one that started it."""
    print(json.dumps(said), flush=True)


def wait_for_word() -> bool:
    """For a process: wait until it may go on; False when it should end."""
    return bool(sys.stdin.readline())


def memory(field: str) -> int:
    """Of this process, in KiB: `VmRSS` now, `VmHWM` the most since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise KeyError(field)


def grown(said: Said, field: str) -> float:
    """MB above what there was before, as a process said; the kernel counts in KiB."""
    return float(said[field] - said["before_kb"]) * 1024 / 1e6


def forget_peak() -> None:
    """The kernel starts to measure the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")
