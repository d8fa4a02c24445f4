"""Import time: `import discovery` beside `import aiohttp`, each in an interpreter of its own."""

import subprocess
import sys
from collections.abc import Iterator

from .figures import Figure, amount, ratios
from .programs import ROOT

BEST_OF = 15
STATEMENTS = "import discovery", "import discovery; discovery.Discovery", "import aiohttp"
MICROSECOND = 1e-6


def measure(runs: int) -> Iterator[Figure]:
    for statement in STATEMENTS:
        _import(statement)  # compiled files are written
    mine: list[float] = []
    used: list[float] = []
    theirs: list[float] = []
    for _ in range(runs):
        turns = [[_import(statement) for statement in STATEMENTS] for _ in range(BEST_OF)]
        for best, times in zip((mine, used, theirs), zip(*turns, strict=True), strict=True):
            best.append(min(times))
    yield Figure(
        name="import_time",
        what="`import discovery`",
        unit="x",
        runs=ratios(mine, theirs),
        at_most=1.1,
        ours=amount(mine, "ms", 1e3),
        anchor=f"`import aiohttp`: {amount(theirs, 'ms', 1e3)}",
    )
    yield Figure(
        name="import_time_used",
        what="`discovery.Discovery`, imported on first use, aiohttp with it",
        unit="x",
        runs=ratios(used, theirs),
        ours=amount(used, "ms", 1e3),
        anchor=f"`import aiohttp`: {amount(theirs, 'ms', 1e3)}",
    )


def _import(statement: str) -> float:
    """Seconds: every module's own time, of those that come after the interpreter's start."""
    command = [sys.executable, "-X", "importtime", "-c", statement]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stderr
    rows = [line.removeprefix("import time:").split("|") for line in told.splitlines()[1:]]
    start = next(index for index, row in enumerate(rows) if row[2].strip() == "site")
    return sum(int(own) for own, _, _ in rows[start + 1 :]) * MICROSECOND
