"""Which processor cores the processes of a benchmark run on, and for how long."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def cores() -> tuple[int, int]:
    """One for the client and what shares its pod, and one for all else; the same where there is one only."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started inside this block stay on that core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def seconds_run(pid: int) -> float:
    """Processor seconds of a process of one thread until now; finer than the hundredths that it is commonly told in."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
