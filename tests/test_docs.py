"""The documentation builds strictly, its programs run, and its tables say what the code does."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from discovery import errors
from discovery.cli import codes, parser
from discovery.events import LEVELS
from discovery.testing import FakeCluster

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)
ROW = re.compile(r"^\| `([^`]+)` \|(.*)$", re.MULTILINE)


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_builds_strictly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", f"{tmp_path}/site"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "reference" / "api" / "index.html").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
async def test_the_first_program_a_reader_sees_runs_as_it_stands(page: str, fake_cluster: FakeCluster) -> None:
    found = PROGRAM.search(await asyncio.to_thread((ROOT / page).read_text))
    assert found is not None
    imports, _, body = found[1].partition("\n\n")
    await fake_cluster.deploy("alpaca-prod", replicas=1)
    code = f"import asyncio\n{imports}\nasync def main():\n{textwrap.indent(body, '    ')}\nasyncio.run(main())"
    said = await asyncio.to_thread(run, code, KUBECONFIG=str(fake_cluster.kubeconfig))
    assert "'path': '/orders'" in said


def test_the_tutorials_programs_run() -> None:
    first, second = PROGRAM.findall((DOCS / "tutorial.md").read_text())
    said = run(first)
    assert sorted(map(said.split().count, set(said.split()))) == [2, 2, 2]
    session = re.compile(r" +async with aiohttp.*\n(?: {16}.*\n)+")
    said = run(session.sub(second, first))
    assert re.search(r"next: 127\.\S+ zone-", said)


def test_the_readme_links_to_nothing_that_is_not_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert links


def test_every_event_is_in_its_table_with_its_level() -> None:
    source = "".join(path.read_text() for path in (ROOT / "discovery").rglob("*.py"))
    emitted = {
        *re.findall(r'Event\(\s*"([a-z.-]+)"', source),
        *(name for names in re.findall(r'= "([a-z.]+)" if .* else "([a-z]+\.[a-z.]+)"', source) for name in names),
    }
    rows = dict(ROW.findall((DOCS / "reference" / "events.md").read_text()))
    assert rows.keys() == emitted
    names = {20: "INFO", 30: "WARNING", 40: "ERROR"}
    levels = {name: row.split("|")[0].strip() for name, row in rows.items()}
    assert levels == {name: names.get(LEVELS.get(name, 0), "DEBUG") for name in emitted}


def test_the_tree_of_errors_is_whole() -> None:
    page, docstring = (DOCS / "reference" / "errors.md").read_text(), errors.__doc__
    assert docstring is not None
    kinds = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)} - {"Sequence"}
    for text in (page, docstring):
        drawn = re.findall(r"^(?:[│├└─ ]*)([A-Z][A-Za-z]+)(?: |$)", text.partition("\n\n")[2], re.MULTILINE)
        assert kinds <= set(drawn)


def test_every_command_and_exit_code_is_in_its_table() -> None:
    page = (DOCS / "reference" / "command-line.md").read_text()
    (commands,) = (action.choices for action in parser()._actions if action.choices)
    assert [name.split()[1] for name, _ in ROW.findall(page) if name.startswith("discovery ")] == list(commands)
    numbers = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == numbers
