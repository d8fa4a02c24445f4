"""The servers of one test session: started by up.sh under a name of their own, stopped by down.sh.

The test process itself joins the network namespace of the control plane, so that whatever a test opens reaches the
API server, the pods and the nodes, and nothing outside.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
API = "https://172.31.0.1:6443"
TOKEN = "admintoken"
NODES = ("node-1", "node-2", "node-3")
CLONE_NEWNET = 0x40000000

AUDIT = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: RequestResponse, verbs: [create], resources: [{group: discovery.k8s.io}]}
- {level: Request, verbs: [update, patch], resources: [{group: discovery.k8s.io}]}
- {level: Metadata, verbs: [delete], resources: [{group: discovery.k8s.io}]}
- {level: None}
"""
"""The API server notes to the microsecond when it wrote a slice, and what: tests measure from there."""


class ClusterError(Exception):
    """The cluster did not start; says which part, and what its log ends with."""


class Cluster:
    """Three nodes and a control plane. `directory` holds kubeconfig, logs and pids."""

    def __init__(self, directory: Path, binaries: Path, name: str) -> None:
        self.directory, self.binaries, self.name = directory, binaries, name
        self.kubeconfig = directory / "kubeconfig"
        self.ca = directory / "pki/apiserver/apiserver.crt"
        self.audit = directory / "logs/audit.log"
        self.children: list[subprocess.Popen[bytes]] = []
        self._hosts = {node: itertools.cycle(range(2, 251)) for node in NODES}

    def start(self) -> None:
        """Start everything and wait until each part answers.

        Raises:
            ClusterError: it did not; what had started is stopped.
        """
        policy = self.directory / "audit.yaml"
        policy.write_text(AUDIT)
        flags = f"--audit-policy-file {policy} --audit-log-path {self.audit}"
        with (self.directory / "up.log").open("wb") as log:
            ran = subprocess.run(
                [HERE / "up.sh", self.directory, self.binaries, self.name],
                env={**os.environ, "APISERVER_FLAGS": flags},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if ran.returncode != 0:
            said = self._logs()
            self.stop()
            raise ClusterError(f"up.sh ended with {ran.returncode}:\n{said}")

    def stop(self) -> None:
        """Stop all that runs in the namespaces, and remove them. The caller has left them."""
        subprocess.run([HERE / "down.sh", self.directory], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        for child in self.children:
            child.wait()

    @contextlib.contextmanager
    def entered(self, node: str | None = None) -> Iterator[None]:
        """This thread, and those it starts from now on, live in the network namespace of a node.

        None is the control plane's, which no kube-proxy serves.
        """
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.netns(node) if node else self.name}", os.O_RDONLY)
        try:
            _join(inside)
            yield
        finally:
            _join(outside)
            os.close(outside)
            os.close(inside)

    def tls(self) -> ssl.SSLContext:
        """Trusts this API server only."""
        return ssl.create_default_context(cafile=self.ca)

    def netns(self, node: str) -> str:
        """The network namespace of a node."""
        return f"{self.name}-{node.removeprefix('node-')}"

    def next_address(self, node: str) -> str:
        """A pod address on a node; one is not used again before 248 others were."""
        return f"10.1.{node.removeprefix('node-')}.{next(self._hosts[node])}"

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait until controllers, DNS and Consul answer: up.sh waits for the API server only. Blocks."""
        account = urllib.request.Request(f"{API}/api/v1/namespaces/default/serviceaccounts/default")
        account.add_header("Authorization", f"Bearer {TOKEN}")
        tls = self.tls()

        def controllers() -> bool:
            with urllib.request.urlopen(account, context=tls, timeout=2) as answer:
                return bool(answer.status == 200)

        def consul() -> bool:
            with urllib.request.urlopen("http://127.0.0.1:8500/v1/status/leader", timeout=2) as answer:
                return bool(answer.read() != b'""')

        until = time.monotonic() + timeout
        for part, answers in (("kube-controller-manager", controllers), ("CoreDNS", _dns), ("Consul", consul)):
            while not _holds(answers):
                if time.monotonic() > until:
                    raise ClusterError(f"{part} does not answer after {timeout:.0f} s:\n{self._logs()}")
                time.sleep(0.05)

    def _logs(self) -> str:
        logs = [self.directory / "up.log", *sorted((self.directory / "logs").glob("*.log"))]
        ends = (log.read_text(errors="replace").splitlines()[-5:] for log in logs if log.exists())
        return "\n".join(f"{log.name}: {line}" for log, lines in zip(logs, ends, strict=False) for line in lines)


@contextlib.contextmanager
def running(binaries: Path) -> Iterator[Cluster]:
    """A cluster under an unused name, with this thread inside; all of it is gone afterwards."""
    taken = {path.name for path in Path("/run/netns").glob("*")}
    name = next(name for n in itertools.count() if (name := f"aiodiscovery-{os.getpid()}-{n}") not in taken)
    directory = Path(tempfile.mkdtemp(prefix="aiodiscovery-cluster-"))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # or a CI that gives up leaves servers behind
    try:
        cluster = Cluster(directory, binaries, name)
        cluster.start()
        try:
            with cluster.entered():
                cluster.wait_until_ready()
                yield cluster
        finally:
            cluster.stop()
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(directory, ignore_errors=True)


def _join(namespace: int) -> None:
    """Python has os.setns from 3.12 on only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except OSError:
        return False


def _dns() -> bool:
    """Whether CoreDNS has read the cluster: it answers SERVFAIL before."""
    labels = b"".join(bytes([len(label)]) + label for label in b"kubernetes.default.svc.cluster.local".split(b"."))
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect(("127.0.0.1", 53))
        asking.send(query)
        return asking.recv(512)[3] & 0x0F in (0, 3)  # NOERROR, or NXDOMAIN while that Service is not made yet
