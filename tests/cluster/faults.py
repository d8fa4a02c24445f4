"""What a client of the API server meets: versions that are gone, and accounts that may not.

Killing a server is in `servers`, losing a node in `kubelet` (`Kubelet.lost`), a stalled connection in `proxy`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from .admin import Admin, Object
from .cluster import API, Cluster
from .manifests import fresh_name

ETCD = "http://127.0.0.1:2379/v3/kv"


async def compact() -> int:
    """Make etcd forget every version before the present one, which is returned.

    The API server serves old versions from its own cache for a while even then: a real 410 needs a restart as well.
    """
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{ETCD}/range", data=json.dumps({"key": "AA=="})) as response:
            revision = int((await response.json(content_type=None))["header"]["revision"])
        wanted = json.dumps({"revision": revision, "physical": True})
        async with http.post(f"{ETCD}/compaction", data=wanted) as response:
            response.raise_for_status()
    return revision


async def kubeconfig_for(
    admin: Admin, cluster: Cluster, namespace: str, rules: Sequence[Object], *, server: str = API
) -> Path:
    """A kubeconfig of a new ServiceAccount that may do what `rules` say in its namespace, and nothing else."""
    name = fresh_name("account")
    meta: Object = {"name": name, "namespace": namespace}
    account = await admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    if rules:
        rbac = "rbac.authorization.k8s.io"
        await admin.create({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": list(rules)})
        subject = {"kind": "ServiceAccount", **meta}
        role = {"apiGroup": rbac, "kind": "Role", "name": name}
        binding = {"metadata": meta, "subjects": [subject], "roleRef": role}
        await admin.create({"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", **binding})
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account['metadata']['name']}/token"
    token = (await admin.post(path, wanted))["status"]["token"]
    return write_kubeconfig(cluster, name, namespace, token, server=server)


def write_kubeconfig(cluster: Cluster, name: str, namespace: str, token: str, *, server: str = API) -> Path:
    """A kubeconfig file of the cluster for one token. JSON is YAML."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(cluster.ca)}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
        "current-context": "test",
    }
    path = cluster.directory / f"{name}.kubeconfig"
    path.write_text(json.dumps(config))
    return path
