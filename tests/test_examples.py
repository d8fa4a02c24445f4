"""Each example runs as it is, says what it promises, and leaves no warning behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"

SAYS = {
    "01_requests.py": r"requests to each pod: \[3, 3, 3\]\nand the URL stays http://alpaca-prod\.default\.svc/orders\n",
    "02_pool.py": r"answer: HTTP/1\.0 200 OK\nfrom a pod in zone-a on node-1\npicks from 2 backends; synced: True\n",
    "03_changes.py": r"\+2 -0 ~0: 2 ready\n\+1 -0 ~0: 3 ready\n\+0 -2 ~0: 1 ready\n(out not ready\n){2}in  ready\n",
    "04_call.py": r"20 calls, all answered: \{'HTTP/1\.0 200 OK'\}\n",
    "05_routes.py": r"orders\.internal 200 from alpaca-prod\nlegacy\.internal 200 from legacy\nnowhere: Service.+\n",
    "06_your_own.py": r"picked 192\.0\.2\.10:80 of \['192\.0\.2\.10', '192\.0\.2\.20'\]\n",
    "07_telemetry.py": r"watch\.failed .+\n.+ 2 backends are still offered\nwatch\.recovered .+\nand back: 2 .+\n",
    "08_gateway.py": r"20 pools ready; 2 lists before, 2 after\n",
    "09_testing.py": r"(?s).*1 passed.*",
    "10_dns.py": r"picked: True\n\+2 -0: 192\.0\.2\.1 192\.0\.2\.2\n\+1 -1: 192\.0\.2\.2 192\.0\.2\.3\n",
    "11_pods.py": r"pods of \['orders-v1', 'orders-v2'\]\nanswer: HTTP/1\.0 200 OK\n",
    "12_service.py": r"(?s)LoadBalancer \[\('http', 8080\)\].+endpoints://default/alpaca-prod:http\n.+has 2 backends\n"
    r"load balancer pending: True\nand then: \('127\.0\.0\.1',\)\n",
    "13_outside.py": r"assigned: \('127\.0\.0\.1',\)\nnodes\.internal 200\nbalancer\.internal 200\nnode-1 in ready\n"
    r"node-2 out: the node has the label .+\nnode-3 in ready\n",
}


def test_every_example_is_run_and_numbered() -> None:
    names = sorted(path.name for path in FOLDER.iterdir() if path.suffix == ".py")
    assert names == list(SAYS)
    assert [name[:2] for name in names] == [f"{number:02}" for number in range(1, len(names) + 1)]


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_as_it_is(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(SAYS[name], done.stdout), done.stdout
