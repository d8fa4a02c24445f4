"""The pytest plugin costs its users nothing until they use it, and works in either mode of pytest-asyncio."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from discovery.testing import FakeCluster


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, discovery.testing.plugin\n"
        "print([name for name in ('aiohttp', 'attrs', 'msgspec', 'discovery.client') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixture_is_a_started_cluster_in_either_mode(tmp_path: Path, mode: str) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.asyncio\nasync def test_it(fake_cluster):\n"
        "    web = await fake_cluster.deploy('web', replicas=2)\n    assert len(web.pods) == 2\n"
    )
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "test_it.py"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 passed" in said.stdout, said.stdout + said.stderr


async def test_leaving_leaves_no_task_and_no_file() -> None:
    async with FakeCluster() as cluster:
        await cluster.deploy("web", replicas=2)
        kubeconfig = cluster.kubeconfig
        assert kubeconfig.exists()
    assert not kubeconfig.exists()
    assert asyncio.all_tasks() == {asyncio.current_task()}
