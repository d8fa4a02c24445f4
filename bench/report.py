"""The table of all figures, as the docs and the README show it."""

import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .figures import Figure
from .programs import ROOT

PAGE = """\
# Benchmarks

<!-- Written by `make bench`: change bench/report.py instead. -->

`make bench` measures every figure that this library promises, each beside what it is compared with, and writes this
page. It needs Linux, Go, HAProxy and openssl: it builds client-go programs and a real etcd, kube-apiserver and Consul
from their Go modules. A ratio comes from one run in which both sides took turns; of {runs} runs the median counts.

Measured with {python} on {cores} cores, Kubernetes 1.36.3 and client-go 0.36.3.

{table}

"""

NOTES = """\
What is timed:

- **First sync** begins in a process whose access is configured: credentials are read and one small request is made, on
  both sides. It ends when all 10,000 slices are held. Then 100 pools of services chosen at random must pick a backend
  with the right address, port, node, zone and pod, while the server's own count of requests stays as it is. Memory is
  the resident set over that same process before; the garbage collector is left alone.
- **Pods** have two containers, environment, probes, volumes, conditions and managedFields. The informer's transform
  keeps what discovery needs of each. Here the first sync ends with a pool that can be picked from, of which 100
  backends chosen at random must be right. Memory is the resident set two seconds later.
- **Event latency** is from just before a write is sent until a consumer has it: a handler of the informer, or the loop
  over `pool.changes()`. Both run at once and see the same events.
- **Replay** sends 50,000 events of 100 Services through one connection as fast as they are taken. client-go keeps
  each Service's usable backends in a map; here they are in 100 open pools, and all of these must be right at the end.
  A pool that is behind takes up the newest state of a slice and passes over those before it; client-go hands over each.
- **Big service** is the processor time of one event, from the socket to the pool, at a service of 5,000 endpoints in 50
  slices beside one of 100 endpoints in one slice. The same steps without an event are taken off both.
- **Pick** is `with pool.pick(): pass` beside the same with an object that does nothing.
- **Middleware** is GETs by 32 tasks in one process over 10 servers in another, for each second of the core that the
  client has. The sidecar is HAProxy with one thread, keep-alive to its servers and no log; it has the client's core, as
  both share the processor time of a pod, and what it uses counts. Where a core is idle, a HAProxy there costs the
  client nothing: that is told beside it. Hash policies are given the request's path as key.
- **Slow backend** is a closed loop of 40 clients over 10 servers that take 5 ms in the mean, exponentially distributed,
  and one of them 100 ms. All take turns of a second; the ratio is the median over the turns.
- **Failing backend**, **hanging half** and **outage** are open loops: requests come evenly, whatever becomes of those
  before. Attempts are counted where they arrive, and refused connections where they are made. "In a second" is any
  second, wherever it begins. Outlier detection, retries and their budget are on, as they are by default; for the
  hanging half a try may take 250 ms and a call 1 s.
- **Hedging** is a closed loop of 16 clients over 10 servers that take 5 ms in the mean; the delay is the default's.
- **Maglev** is the average over all backends that may leave.
- **TLS** is 10,000 requests by 16 clients from a cold start; at 1,000 backends a subset of 100 is the default.
- **DNS names** is the processor time of a whole process that keeps 1,000 names fresh for 60 s, with three A and three
  AAAA records each, from its first sync on. The server is another process. Every name changes once meanwhile, and at
  the end each pool must show what its name was changed to.
- **The bridge** runs in a process of its own, between that API server and a Consul server that keeps its data on disk;
  each fill is of a fresh Consul. It begins as the bridge does, so it holds the lists, the lock and the plan too; it
  ends when Consul has taken the last instance, and what Consul holds is then compared with the cluster. The bare
  transactions are the bridge's own, fence and all, made beforehand and sent by a loop of nothing else, as many at a
  time. Replaced pods are slices changed as fast as the API server takes it; every request counts, the renewals of the
  lock too. A change is a pod that becomes ready or unready or moves, a node or a Service that is deleted or created,
  one at a time: from just before it is written until blocking queries show it for every service that it concerns.
- **Steady state** (named only: it takes ten minutes) counts transactions, and which of Consul's tables of nodes,
  services and checks have another index than before. The bridge reads all that it owns once or twice meanwhile.
- **Import** is the sum of all modules' own times as `-X importtime` tells them, the best of 15.
"""

MARKS = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


def table(figures: Sequence[Figure]) -> str:
    """As Markdown."""
    rows = ["| what | value | ours | beside | to reach | met |", "| --- | --- | --- | --- | --- | --- |"]
    for figure in figures:
        value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
        met = ("yes" if figure.met else "**no**") if figure.bound else ""
        cells = figure.what, f"{value} {figure.unit}", figure.ours, figure.anchor, figure.bound, met
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def write(figures: Sequence[Figure], runs: int, root: Path = ROOT) -> None:
    """Into the docs, and into the README between its marks."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    page = PAGE.format(runs=runs, python=python, cores=len(os.sched_getaffinity(0)), table=table(figures))
    place = root / "docs" / "reference" / "benchmarks.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(page + NOTES)
    readme = root / "README.md"
    text, count = MARKS.subn(lambda found: f"{found[1]}\n{table(figures)}\n\n{found[2]}", readme.read_text())
    if count:
        readme.write_text(text)
    else:
        print("README.md has no <!-- bench --> and <!-- /bench -->: its table was not written", file=sys.stderr)
