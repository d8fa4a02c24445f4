"""The templates that come with it, read by the programs that they are for."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discovery import Backend, PodRef
from discovery.rendering import Template

from .proxy import HAPROXY, PATH

NGINX = shutil.which("nginx", path=PATH)
TARGET = "node-port://shop/web:http"

needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

SETS = {
    "none": [],
    "nodes": [Backend(address=f"192.0.2.{n}", port=30080, node=f"node-{n}", zone="a") for n in range(1, 4)],
    "both families": [Backend(address="2001:db8::1", port=80), Backend(address="192.0.2.1", port=80)],
    "weights": [Backend(address=f"192.0.2.{n}", port=80, weight=weight) for n, weight in enumerate((0.5, 3.0, 0.0))],
    "all weights 0": [Backend(address=f"192.0.2.{n}", port=80, weight=0.0) for n in range(2)],
    "priorities": [Backend(address=f"192.0.2.{n}", port=80, priority=n // 2) for n in range(6)],
    "a host name": [Backend(address="localhost", port=443)],
    "two pods in one place": [
        Backend(address="192.0.2.1", port=80, pod=PodRef(namespace="shop", name=name, uid=name)) for name in "ab"
    ],
    "one address, two ports": [Backend(address="192.0.2.1", port=port) for port in (80, 81)],
    "evil": [
        Backend(address="192.0.2.1", port=80, zone='"\n}', node="x;\n", labels=(("a\n", "b"),)),
        Backend(address="192.0.2.9\n    server mine 203.0.113.1:80", port=80),
        Backend(address="192.0.2.9; } evil {", port=80),
    ],
}
MAIN = (
    "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
    "frontend web\n    bind 127.0.0.1:1\n    default_backend shop-web-http\n"
)


def haproxy_says(folder: Path, rendered: str) -> str:
    """What it has to say against it: "" where it takes it."""
    (folder / "main.cfg").write_text(MAIN)
    (folder / "web.cfg").write_text(rendered)
    command = [str(HAPROXY), "-c", "-f", str(folder / "main.cfg"), "-f", str(folder / "web.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    said = done.stdout + done.stderr
    return said if done.returncode or "WARNING" in said or "ALERT" in said else ""


def nginx_says(folder: Path, rendered: str) -> str:
    (folder / "web.conf").write_text(rendered)
    main = (
        f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n"
        f"client_body_temp_path {folder}/a;\nproxy_temp_path {folder}/b;\nfastcgi_temp_path {folder}/c;\n"
        f"uwsgi_temp_path {folder}/d;\nscgi_temp_path {folder}/e;\n"
        f"include {folder}/web.conf;\n"
        "server { listen 127.0.0.1:8081; location / { proxy_pass http://shop-web-http; } }\n}\n"
    )
    (folder / "main.conf").write_text(main)
    command = [str(NGINX), "-t", "-q", "-p", str(folder), "-c", str(folder / "main.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stderr if done.returncode else ""


@needs_haproxy
@pytest.mark.parametrize("which", SETS)
def test_haproxy_takes(which: str, tmp_path: Path) -> None:
    assert haproxy_says(tmp_path, Template.named("haproxy").render(TARGET, SETS[which])) == ""


@needs_haproxy
def test_haproxy_says_where_a_variable_is_wrong(tmp_path: Path) -> None:
    made = Template.named("haproxy", variables={"server": "check nonsense"})
    assert "nonsense" in haproxy_says(tmp_path, made.render(TARGET, SETS["nodes"]))


@needs_nginx
@pytest.mark.parametrize("which", SETS)
def test_nginx_takes(which: str, tmp_path: Path) -> None:
    assert nginx_says(tmp_path, Template.named("nginx").render(TARGET, SETS[which])) == ""


def lines(template: str, which: str, **variables: str) -> list[str]:
    made = Template.named(template, variables=variables).render(TARGET, SETS[which])
    assert made.startswith(f'# "{TARGET}", kept by aiodiscovery')
    assert made.endswith("\n")
    return [line.strip() for line in made.splitlines()[1:]]


def test_a_backend_of_haproxy_line_by_line() -> None:
    assert lines("haproxy", "nodes") == [
        "backend shop-web-http",
        "default-server check",
        "server 192.0.2.1:30080 192.0.2.1:30080 weight 1",
        "server 192.0.2.2:30080 192.0.2.2:30080 weight 1",
        "server 192.0.2.3:30080 192.0.2.3:30080 weight 1",
    ]
    assert lines("haproxy", "both families", name="my web", server="check inter 5s") == [
        "backend my_web",
        "default-server check inter 5s",
        "server 192.0.2.1:80 192.0.2.1:80 weight 1",
        "server 2001:db8::1:80 [2001:db8::1]:80 weight 1",
    ]
    assert lines("haproxy", "weights")[2:] == [
        "server 192.0.2.0:80 192.0.2.0:80 weight 43",
        "server 192.0.2.1:80 192.0.2.1:80 weight 256",
        "server 192.0.2.2:80 192.0.2.2:80 weight 0",
    ]
    assert lines("haproxy", "priorities")[1:6] == [
        "option allbackups",
        "default-server check",
        "server 192.0.2.0:80 192.0.2.0:80 weight 1",
        "server 192.0.2.1:80 192.0.2.1:80 weight 1",
        "server 192.0.2.2:80 192.0.2.2:80 weight 1 backup",
    ]
    assert lines("haproxy", "a host name")[-1].endswith("weight 1 init-addr last,libc,none")


def test_an_upstream_of_nginx_line_by_line() -> None:
    assert lines("nginx", "weights") == [
        "upstream shop-web-http {",
        "server 192.0.2.0:80 weight=43;",
        "server 192.0.2.1:80 weight=256;",
        "server 192.0.2.2:80 down;",
        "}",
    ]
    assert lines("nginx", "both families", name="web")[1:3] == [
        "server 192.0.2.1:80 weight=1;",
        "server [2001:db8::1]:80 weight=1;",
    ]
    assert lines("nginx", "priorities")[3] == "server 192.0.2.2:80 weight=1 backup;"
    assert lines("nginx", "none")[1].startswith("server 127.0.0.1:9 down;")


def prometheus(backends: list[Backend]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(Template.named("prometheus").render(TARGET, backends))
    return found


def test_file_discovery_of_prometheus() -> None:
    pod = PodRef(namespace="shop", name="web-1")
    assert prometheus([Backend(address="2001:db8::1", port=80, zone="a", node="n", pod=pod)]) == [
        {
            "targets": ["[2001:db8::1]:80"],
            "labels": {
                "__meta_discovery_target": TARGET,
                "__meta_discovery_zone": "a",
                "__meta_discovery_node": "n",
                "__meta_discovery_namespace": "shop",
                "__meta_discovery_pod": "web-1",
            },
        }
    ]
    assert prometheus([]) == []
    assert prometheus(SETS["evil"])[0]["labels"] == {
        "__meta_discovery_target": TARGET,
        "__meta_discovery_zone": '"\n}',
        "__meta_discovery_node": "x;\n",
    }


odd = st.text(max_size=12)
no_place = odd.map("{}\n".format)  # a name would be looked up
backends = st.lists(
    st.builds(
        Backend,
        address=st.one_of(no_place, st.ip_addresses().map(str)),
        port=st.integers(1, 65535),
        weight=st.floats(0, 1000),
        priority=st.integers(0, 2),
        zone=odd,
        node=odd,
        hostname=odd,
        pod=st.one_of(st.none(), st.builds(PodRef, namespace=odd, name=odd, uid=odd)),
    ),
    max_size=6,
)


@given(backends, odd)
def test_whatever_a_cluster_says_there_is_a_line_for_each_place_and_none_of_its_own(
    given: list[Backend], target: str
) -> None:
    places = {one.netloc for one in given if one.address and all(c.isascii() for c in one.address)}
    for name, most in (("haproxy", 4), ("nginx", 4)):
        made = Template.named(name).render(target, given)
        assert made.isascii()
        servers = [line.split() for line in made.splitlines() if line.startswith("    server ")]
        at = [words[2 if name == "haproxy" else 1] for words in servers if "127.0.0.1:9" not in words]
        assert len(made.splitlines()) <= most + max(1, len(servers))
        assert len(at) == len(set(at))
        assert set(at) <= places
    for group in prometheus(given):
        assert set(group) == {"targets", "labels"}


@needs_haproxy
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(backends)
def test_haproxy_takes_whatever_a_cluster_says(tmp_path: Path, given: list[Backend]) -> None:
    assert haproxy_says(tmp_path, Template.named("haproxy").render(TARGET, given)) == ""
