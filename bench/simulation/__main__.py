"""`python -m bench.simulation [NAME ...]`: runs the experiments, and writes their tables and plots into the docs."""

import argparse
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .experiments import EXPERIMENTS, Result, Rows
from .fleet import Outcome, Setting, simulate

PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "simulation.md"


def main() -> None:
    known = {experiment.__name__: experiment for experiment in EXPERIMENTS}
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; all by default")
    names = parser.parse_args().names or list(known)
    if wrong := [name for name in names if name not in known]:
        parser.error(f"no experiment {wrong[0]!r}: there are {', '.join(known)}")
    with ProcessPoolExecutor() as workers:

        def all_of(settings: Sequence[Setting]) -> Sequence[Outcome]:
            return list(workers.map(simulate, settings))

        for name in names:
            result = known[name](all_of)
            write(result)
            print(table(result.rows), end="\n\n", flush=True)


def write(result: Result, page: Path = PAGE) -> None:
    """Its table between its marks, its plot beside the page.

    Raises:
        ValueError: the page has no such marks.
    """
    marks = re.compile(rf"(<!-- {result.name} -->\n).*?(<!-- /{result.name} -->)", re.DOTALL)
    text, count = marks.subn(lambda found: f"{found[1]}\n{table(result.rows)}\n\n{found[2]}", page.read_text())
    if not count:
        raise ValueError(f"{page} has no <!-- {result.name} --> and <!-- /{result.name} -->")
    page.write_text(text)
    if result.plot is not None:
        folder = page.with_suffix("")
        folder.mkdir(exist_ok=True)
        (folder / f"{result.name}.svg").write_text(result.plot.svg())


def table(rows: Rows) -> str:
    """As Markdown; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
