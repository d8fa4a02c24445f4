"""TLS: how many requests over 1,000 backends go out on a connection that was there already.

A handshake costs both sides more than a small request does. By default a client of so many keeps to 100 of them.
"""

import asyncio
import itertools
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

import discovery

from .figures import Figure, amount
from .programs import ours, say
from .traffic.backends import allow_files
from .traffic.behaviour import Remote
from .traffic.load import closed_loop
from .traffic.through import HOST, through

BACKENDS = 1000
CLIENTS = 16
REQUESTS = 10_000


def measure(runs: int) -> Iterator[Figure]:
    said = []
    with TemporaryDirectory(prefix="discovery-bench-") as folder:
        certificate = str(_certificate(Path(folder)))
        for _ in range(runs):
            with ours("traffic.backends", str(BACKENDS), certificate) as backends:
                control = str(backends.hear()["control"])
                with ours("tls_reuse", control, certificate) as program:
                    said.append(program.hear())
    yield Figure(
        name="tls_reuse",
        what=f"requests on a connection that was there, {BACKENDS:,} TLS backends",
        unit="%",
        runs=tuple(_reused(one["default"]) for one in said),
        at_least=90,
        ours=amount((one["default"] for one in said), "connections"),
        anchor=f"to all of them: {amount((_reused(one['all']) for one in said), '%')}",
    )


def _reused(connections: int) -> float:
    return 100 * (1 - connections / REQUESTS)


def _certificate(folder: Path) -> Path:
    """A file with a key and a certificate for `HOST`, which is its own authority."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    kind = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"
    name = "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"
    try:
        made = subprocess.run(
            ["openssl", "req", "-x509", *kind, *name, "-keyout", key, "-out", certificate], capture_output=True
        )
    except FileNotFoundError:
        raise SystemExit("this benchmark needs a certificate: install openssl") from None
    if made.returncode:
        raise SystemExit(f"openssl made no certificate: {made.stderr.decode()}")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


async def drive(control: int, certificate: str) -> None:
    backends = await Remote.connect(control)
    trust = ssl.create_default_context(cafile=certificate)
    made = {}
    for name, subset in {"default": None, "all": discovery.Subset(size=None)}.items():
        before = await backends.connections()
        connector = aiohttp.TCPConnector(limit=0, ssl=trust)
        async with through(backends.ports, connector=connector, subset=subset) as session:
            urls = itertools.repeat(f"https://{HOST}/orders", REQUESTS)
            done = await closed_loop(session, urls, clients=CLIENTS)
        assert len(done) == REQUESTS, len(done)
        assert all(one.well for one in done), [one for one in done if not one.well][:3]
        made[name] = await backends.connections() - before
    await backends.aclose()
    say(**made)


if __name__ == "__main__":
    allow_files()
    asyncio.run(drive(int(sys.argv[1]), sys.argv[2]))
