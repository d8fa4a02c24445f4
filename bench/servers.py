"""The servers a benchmark asks: a real API server with its etcd, and one that replays recorded events."""

import contextlib
import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from .programs import CACHE, ROOT, anchor

TOKEN = "admintoken"

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: bench, cluster: {{server: "{server}"{trust}}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: bench, context: {{cluster: bench, user: admin}}}}]
current-context: bench
"""

RESOURCES = re.compile(r'resource="(endpointslices|endpoints|services|pods)"')


def binaries() -> Path:
    """Where etcd, kube-apiserver and consul are: the cluster tests' own build, made now where it has not been."""
    tools = ROOT / "tests" / "cluster"
    modules = b"".join(path.read_bytes() for path in sorted(tools.glob("tools/*/go.mod")))
    built = CACHE / "discovery-cluster" / hashlib.sha256(modules).hexdigest()[:16]
    if not all((built / name).exists() for name in ("etcd", "kube-apiserver", "consul")):
        subprocess.run([tools / "build.sh", built], check=True, stdout=subprocess.DEVNULL)
    return built


@attrs.frozen
class ApiServer:
    """A real one, on loopback; nothing runs beside it but its etcd."""

    url: str
    folder: Path
    etcd: str

    @property
    def kubeconfig(self) -> str:
        return str(self.folder / "kubeconfig")

    @property
    def certificate(self) -> Path:
        """Its own, which is its own CA."""
        return self.folder / "pki" / "apiserver.crt"

    def get(self, path: str) -> str:
        """The body of an answer."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"})
        trust = ssl.create_default_context(cafile=str(self.certificate))
        with urllib.request.urlopen(request, context=trust, timeout=30) as response:
            text: str = response.read().decode()
            return text

    def requests(self) -> float:
        """How many it has answered or is answering for what discovery reads: it counts a watch while it stands."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            counted = line.startswith("apiserver_request_total{") and 'verb="WATCH"' not in line
            if (counted or line.startswith("apiserver_longrunning_requests{")) and RESOURCES.search(line):
                total += float(line.rpartition(" ")[2])
        return total

    def load(self, services: int, endpoints: int) -> None:
        """Fill the namespace `bench` with Services' slices, of so many endpoints each."""
        counts = "-services", str(services), "-endpoints", str(endpoints)
        with anchor("load", "-kubeconfig", self.kubeconfig, *counts) as loading:
            assert loading.hear()["slices"] == services

    def load_pods(self, count: int) -> None:
        """Fill the namespace `bench` with pods of real size, labelled app=web."""
        with anchor("loadpods", "-etcd", self.etcd, "-pods", str(count)) as loading:
            assert loading.hear()["pods"] == count


@contextlib.contextmanager
def api_server() -> Iterator[ApiServer]:
    """A fresh one for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="discovery-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        client, peer, port = free_ports(3)
        etcd, url, key = f"http://127.0.0.1:{client}", f"https://127.0.0.1:{port}", folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL)
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        server = ApiServer(url, folder, etcd)
        trust = f", certificate-authority: {server.certificate}"
        (folder / "kubeconfig").write_text(KUBECONFIG.format(server=url, trust=trust, token=TOKEN))
        stack.enter_context(
            background(
                folder,
                "etcd",
                *("--data-dir", str(folder / "etcd.data"), "--listen-client-urls", etcd),
                *("--advertise-client-urls", etcd, "--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                *("--unsafe-no-fsync", "--log-level", "error"),
            )
        )
        process = stack.enter_context(
            background(
                folder,
                "kube-apiserver",
                *("--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", str(port)),
                # An address for documentation: nobody asks for it, and a loopback address is refused.
                *("--advertise-address", "192.0.2.1", "--endpoint-reconciler-type", "none"),
                *("--cert-dir", str(folder / "pki"), "--token-auth-file", str(folder / "tokens.csv")),
                *("--service-account-issuer", "https://kubernetes.default.svc"),
                *("--service-account-key-file", str(key), "--service-account-signing-key-file", str(key)),
                *("--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16"),
                *("--service-node-port-range", "20000-32767"),
                *("--disable-admission-plugins", "ServiceAccount"),
            )
        )
        _wait_until_ready(server, process)
        yield server


def _wait_until_ready(server: ApiServer, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):
        with contextlib.suppress(urllib.error.URLError, OSError):
            if server.get("/readyz") == "ok":
                return
        if process.poll() is not None:
            break
        time.sleep(0.25)
    log = (server.folder / "kube-apiserver.log").read_text(errors="replace")[-2000:]
    raise SystemExit(f"kube-apiserver did not start:\n{log}")


@contextlib.contextmanager
def background(folder: Path, name: str, *flags: str) -> Iterator["subprocess.Popen[bytes]"]:
    """One of the `binaries`, for the length of a block; what it says is in a file of the folder."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([binaries() / name, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> Sequence[int]:
    """Of 127.0.0.1, all different; nobody else has them yet."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@attrs.frozen
class ReplayServer:
    """A server that speaks a watch of EndpointSlices, in JSON over plain HTTP, as fast as it is read."""

    url: str
    kubeconfig: str
    events: int
    last: str

    def reset(self) -> None:
        """Back to the state before any event; streams end."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/bench/reset", method="POST"), timeout=30):
            pass


@contextlib.contextmanager
def replay_server(*services: str, rounds: int = 0) -> Iterator[ReplayServer]:
    """One that knows these services, as `NAME:COUNTxSLICESxENDPOINTS`, with so many events recorded for each slice."""
    with anchor("serve", "-record", str(rounds), *services) as program, tempfile.TemporaryDirectory() as folder:
        said = program.hear()
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.write_text(KUBECONFIG.format(server=said["url"], trust="", token=TOKEN))
        yield ReplayServer(said["url"], str(kubeconfig), said["events"], said["last"])
