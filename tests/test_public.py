"""What users import: all of it is there, typed and documented, and costs nothing until it is used."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import discovery

ROOT = Path(discovery.__file__).parent
HEAVY = ("aiohttp", "kubernetes_asyncio", "tenacity", "msgspec", "attrs", "yaml", "asyncio", "pytest")


def loaded_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after it."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_the_public_names_are_sorted_and_are_those_that_come_on_first_use() -> None:
    assert discovery.__all__ == sorted(set(discovery.__all__))
    assert set(discovery.__all__) == set(discovery._HOME)
    assert set(discovery.__all__) < set(dir(discovery))


def test_what_a_type_checker_sees_is_what_there_is() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == discovery._HOME


@pytest.mark.parametrize("name", discovery.__all__)
def test_every_public_name_can_be_imported_and_is_the_one_of_its_home(name: str) -> None:
    home = importlib.import_module(f"discovery.{discovery._HOME[name]}")
    assert getattr(discovery, name) is getattr(home, name)


def test_a_name_that_is_not_public_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'discovery' has no attribute 'Disco'"):
        discovery.Disco  # noqa: B018
    with pytest.raises(ImportError, match="Disco"):
        exec("from discovery import Disco")


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert loaded_after("import discovery").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("name", "never"),
    [
        ("parse", {"aiohttp", "kubernetes_asyncio", "tenacity", "asyncio"}),
        ("NoBackends", {"aiohttp", "kubernetes_asyncio", "tenacity", "asyncio", "attrs"}),
        ("Discovery", {"kubernetes_asyncio", "tenacity", "yaml", "pytest"}),
    ],
)
def test_a_name_brings_no_more_than_it_needs(name: str, never: set[str]) -> None:
    assert loaded_after(f"from discovery import {name}").isdisjoint(never)


def test_a_discovery_that_needs_no_cluster_loads_no_kubernetes() -> None:
    code = (
        "import asyncio, discovery\n"
        "async def main():\n"
        "    async with discovery.Discovery() as disco:\n"
        "        await disco.pool('static://127.0.0.1:1').ready(5)\n"
        "        disco.middleware()\n"
        "asyncio.run(main())"
    )
    assert loaded_after(f"exec({code!r})").isdisjoint({"kubernetes_asyncio", "tenacity", "yaml"})


# Documented


def members() -> Iterator[tuple[str, Any]]:
    """Every public class and function of the package, and their public methods and properties."""
    for module in pkgutil.walk_packages(discovery.__path__, "discovery."):
        if module.name == "discovery.__main__":
            continue
        loaded = importlib.import_module(module.name)
        yield module.name, loaded
        for name, value in vars(loaded).items():
            ours = getattr(value, "__module__", None) == module.name and not name.startswith("_")
            if not (ours and (inspect.isclass(value) or inspect.isfunction(value))):
                continue
            yield f"{module.name}.{name}", value
            for inner, method in vars(value).items() if inspect.isclass(value) else ():
                if not inner.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                    yield f"{module.name}.{name}.{inner}", method


def test_everything_public_says_what_it_is() -> None:
    there = dict(members())
    assert len(there) > 300
    assert "discovery.pool.Pool.pick" in there
    assert [name for name, value in there.items() if not inspect.getdoc(value)] == []


@pytest.mark.parametrize("name", [name for name in discovery.__all__ if name != "Target"])
def test_a_public_name_has_words_of_its_own(name: str) -> None:
    value = getattr(discovery, name)
    assert value.__doc__, "a docstring that is inherited tells nothing of this one"
    assert not value.__doc__.startswith(f"{name}(")


# Typed


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "py.typed").read_bytes() == b""


def test_the_version_is_the_one_that_is_installed() -> None:
    assert discovery.__version__ == distribution("aiodiscovery").version


def test_a_type_checker_knows_every_public_name(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    lines = [f"from discovery import {name}" for name in discovery.__all__]
    uses = [
        "from typing import assert_type",
        "async def main(disco: Discovery) -> None:",
        "    pool: Pool = disco.pool('static://127.0.0.1:1', balancer=RoundRobin(), retry=RetryPolicy(attempts=2))",
        "    with pool.pick() as lease:",
        "        assert_type(lease.backend.port, int)",
        "    async for change in pool.changes():",
        "        assert_type(change.added, tuple[Backend, ...])",
        "    assert_type(await pool.call(asked), bytes)",
        "async def asked(backend: Backend) -> bytes:",
        "    return backend.netloc.encode()",
    ]
    program.write_text("\n".join([*lines, *uses]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "--no-error-summary", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
