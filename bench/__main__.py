"""`python -m bench [NAME ...] [--runs N] [--write]`: one JSON line a figure; the status is 1 where one is not met."""

import argparse
import importlib
from collections.abc import Iterator

from . import report
from .figures import Figure

BENCHMARKS = (
    "first_sync",
    "pods",
    "event_latency",
    "replay",
    "big_service",
    "pick",
    "middleware",
    "slow_backend",
    "failing_backend",
    "hanging_half",
    "outage",
    "hedging",
    "maglev_table",
    "tls_reuse",
    "dns_names",
    "import_time",
    "bridge_fill",
    "bridge_latency",
)
LONG = ("soak", "bridge_steady")
"""Run where they are named only."""


def measure(names: list[str], runs: int) -> Iterator[Figure]:
    """The figures of these benchmarks, as they are made."""
    for name in names:
        yield from importlib.import_module(f"bench.{name}").measure(runs)


def main() -> int:
    known, named = (*BENCHMARKS, *LONG), f"all by default but for {', '.join(LONG)}, which takes long"
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the figures this library promises.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; {named}")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each, the median counts (default: 5)")
    parser.add_argument("--write", action="store_true", help="write the table to the docs and the README; needs all")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    if options.runs < 1 or (options.write and options.names):
        parser.error("--runs is at least 1, and --write is for all of them")
    figures = []
    for figure in measure(options.names or list(BENCHMARKS), options.runs):
        print(figure.line(), flush=True)
        figures.append(figure)
    if options.write:
        report.write(figures, options.runs)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
