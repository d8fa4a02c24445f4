"""The `discovery` command as a real process, in which every warning is an error and asyncio is in debug mode."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from discovery.testing import FakeCluster

PYTHON = (sys.executable, "-X", "dev", "-W", "error")
LONGEST = 60.0


@attrs.frozen
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line that it had to say on stderr, and nothing else was said anywhere."""
        assert self.out == ""
        assert self.err.startswith("discovery: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("discovery: ").rstrip("\n")


@attrs.frozen
class Running:
    """A command that goes on, and what it says."""

    process: asyncio.subprocess.Process

    async def line(self) -> str:
        """The next line of stdout, "" at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LONGEST):
            return (await self.process.stdout.readline()).decode()

    async def warned(self) -> str:
        """The next line of stderr."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LONGEST):
            while (line := (await self.process.stderr.readline()).decode()) and not told(line):
                pass
        return line

    async def end(self) -> Ran:
        """Wait for its end; what was read before is not told again."""
        async with asyncio.timeout(LONGEST):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        said = "".join(filter(told, err.decode().splitlines(keepends=True)))
        return Ran(self.process.returncode, out.decode() if out else "", said)


def told(line: str) -> bool:
    """Debug mode also tells which steps took long: that is this machine's affair."""
    return not (line.startswith("Executing <") and line.rstrip().endswith("seconds"))


def environment() -> dict[str, str]:
    """No kubeconfig, cluster or proxy but those of the test."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


@asynccontextmanager
async def started(
    *arguments: object, stdout: int = asyncio.subprocess.PIPE, env: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """Start `discovery` with these arguments; it is ended where it has not."""
    process = await asyncio.create_subprocess_exec(
        *PYTHON,
        "-m",
        "discovery",
        *map(str, arguments),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**environment(), **(env or {})},
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*arguments: object, env: Mapping[str, str] | None = None) -> Ran:
    """Run `discovery` with these arguments to its end."""
    async with started(*arguments, env=env) as running:
        return await running.end()


def kubeconfig_of(cluster: FakeCluster, place: Path, *, server: str | None = None, token: str | None = None) -> Path:
    """The cluster's kubeconfig with another server or token."""
    config = json.loads(cluster.kubeconfig.read_text())
    if server is not None:
        config["clusters"][0]["cluster"]["server"] = server
    if token is not None:
        config["users"][0]["user"]["token"] = token
    made = place / "kubeconfig"
    made.write_text(json.dumps(config))
    return made
