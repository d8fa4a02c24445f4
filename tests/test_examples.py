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
    "14_policies.py": r"RoundRobin\(\): 5 of 20 requests wait for .+\nLeastRequest\(\): 1 of 20 requests wait for .+\n"
    r"RendezvousHash\(\): 252 users at the backend that leaves, 0 others move\n"
    r"Maglev\(table_size=1021\): 270 users at the backend that leaves, 22 others move\n",
    "15_outliers.py": r"100 requests, [56] of them failed\nout ejected for [12] s after 5 failures in a row.*\n"
    r"(in  ready\n){2}back: 3 of 3\n",
    "16_zones.py": r"everywhere: \{'zone-a': 30, 'zone-b': 30, 'zone-c': 30\}\nat home: \{'zone-a': 90\}\n"
    r"a subset of 2 of 6\nnobody at home: \{'zone-b': \d+, 'zone-c': \d+\}\n",
    "17_retries.py": r"one pod is broken: \{200: 20\} - retried: True\nall are: \{503: 100\}\n"
    r"most retries are refused: True\ntoo slow: DeadlineExceeded\n",
    "18_hedging.py": r"without: some took as long as a slow answer: True\nwith: fewer do: True\n"
    r"at most one request in twenty more: True\n",
    "19_http_calls.py": r"20 answers, none of them 503; second attempts: True\na POST is sent once.+True\n"
    r"unless its caller .+: 200 in time: True\none customer's requests reach 1 pod\n",
    "20_server.py": r"served: 200 ready: 200\nthe caller waits for 50 ms: 504\n"
    r"draining, served still: 200 ready: 503\nstopped\n",
    "21_httpx.py": r"statuses: \{200: 30\}\nand the URL stays http://alpaca-prod\.default\.svc/orders\n",
    "22_grpc.py": r"30 calls, all answered: \{'hello there'\}\n",
    "23_health_checks.py": r"both pass\nin  ready\nout health check failed: status 503 \(3 times\)\n",
    "24_consul.py": r"worker-1 in ready\nworker-2 out: the check 'readiness' is critical\n200 an order\n"
    r"(ready: worker-1\n)?ready: worker-1 worker-2\n",
    "25_haproxy_file.py": r"(render\.written render\.reloaded\nbackend alpaca\n    default-server check\n"
    r"(    server \.\.\.\n){2,3}){2}",
    "26_bridge.py": r"it would register \[\('alpaca-prod', 'passing'\), \('alpaca-prod', 'passing'\)\]\n"
    r"Consul knows 2 node ports\n"
    r"a pod has left its node, which passes no more: 1 left\nthe bridge has ended, its entries stay: True\n"
    r"it told of: bridge\.synced bridge\.wrote\n",
    "27_consul_import.py": r"made 2 objects: a Service and its EndpointSlice\n"
    r"found at 10\.0\.0\.7:5432 10\.0\.0\.8:5432\n",
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
