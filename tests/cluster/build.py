"""Builds the real servers once, into a cache keyed by the Go modules they are pinned to.

`python -m tests.cluster.build` does it ahead of the tests. A cold build takes about 18 minutes on two cores, so it is
kept outside the tree and is shared by all checkouts with the same pins.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMANDS = {
    "bash": "bash",
    "conntrack": "conntrack",
    "curl": "curl",
    "ip": "iproute2",
    "nft": "nftables",
    "openssl": "openssl",
    "setsid": "util-linux",
}
"""What up.sh and the faults run, and the Debian package that holds it."""

GO = (1, 26)


class BuildError(Exception):
    """The servers could not be built; says what to look at."""


def cache() -> Path:
    """The folder that holds one folder a key."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "discovery-cluster"


def key() -> str:
    """The same as `cat tools/*/go.mod | sha256sum | cut -c1-16`: other pins are other servers."""
    pins = b"".join(path.read_bytes() for path in sorted(HERE.glob("tools/*/go.mod")))
    return hashlib.sha256(pins).hexdigest()[:16]


def obstacle() -> str | None:
    """Why the real cluster cannot run here, and what to do about it; None when it can."""
    if sys.platform != "linux":
        return f"make cluster-test needs Linux: it is made of network namespaces, which {sys.platform} has not"
    lacks = []
    if os.geteuid() != 0:
        lacks.append("this user is not root, who alone may make network namespaces (run it with sudo)")
    packages = [package for command, package in COMMANDS.items() if shutil.which(command) is None]
    if packages:
        lacks.append(f"commands are missing (install with: apt-get install {' '.join(packages)})")
    if not (cache() / key()).is_dir() and (found := _go()) < GO:
        seen = "there is none" if found == (0, 0) else f"this one is {found[0]}.{found[1]}"
        lacks.append(f"the servers are not built yet and need Go, but {seen} (install from https://go.dev/dl/)")
    if not lacks:
        return None
    return "make cluster-test needs root and Go 1.26+, and cannot run here: " + "; ".join(lacks)


def _go() -> tuple[int, int]:
    if shutil.which("go") is None:
        return 0, 0
    said = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def build() -> Path:
    """The folder with the servers, built now if it is not there. Two at once build once.

    Raises:
        BuildError: the build failed; what it wrote is on stderr.
    """
    done = cache() / key()
    if done.is_dir():
        return done
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            _build_into(done)
    return done


def _build_into(done: Path) -> None:
    """Build beside the place and rename: a folder of that name is always a whole one."""
    half = Path(tempfile.mkdtemp(prefix=".building-", dir=cache()))
    try:
        ran = subprocess.run([HERE / "build.sh", half], stdout=sys.stderr, check=False)
        if ran.returncode != 0:
            raise BuildError(
                f"build.sh ended with {ran.returncode}; it needs Go 1.26+ and the Go module proxy (go env GOPROXY)"
            )
        half.chmod(0o755)
        half.rename(done)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def main() -> int:
    """Build, and print where the servers are; 1 with the reason where that is not possible."""
    if reason := obstacle():
        sys.stderr.write(f"{reason}\n")
        return 1
    try:
        sys.stdout.write(f"{build()}\n")
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
