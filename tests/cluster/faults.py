"""What a client of the API server meets: versions that are gone, and accounts that may not.

Killing a server is in `servers`, losing a node in `kubelet` (`Kubelet.lost`), a stalled connection in `proxy`.
"""

import asyncio
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from .admin import Admin, Object
from .cluster import API, Cluster
from .manifests import fresh_name

RBAC = "rbac.authorization.k8s.io"
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
    role: Object = {"kind": "Role", "metadata": {"namespace": namespace}, "rules": list(rules)}
    return await kubeconfig_with(admin, cluster, namespace, [role] if rules else [], server=server)


async def kubeconfig_with(
    admin: Admin, cluster: Cluster, namespace: str, roles: Sequence[Object], *, server: str = API
) -> Path:
    """A kubeconfig of a new ServiceAccount that is bound to these Roles and ClusterRoles, once that is in force."""
    name = fresh_name("account")
    account = {"name": name, "namespace": namespace}
    await admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    for number, role in enumerate(roles):
        await _bind(admin, account, role, f"{name}-{number}")
        await in_force(admin, account, role)
    return write_kubeconfig(cluster, name, namespace, await token_of(admin, account), server=server)


async def token_of(admin: Admin, account: Object) -> str:
    """A token for a ServiceAccount, given as its name and namespace."""
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{account['namespace']}/serviceaccounts/{account['name']}/token"
    return str((await admin.post(path, wanted))["status"]["token"])


async def _bind(admin: Admin, account: Object, role: Object, name: str) -> None:
    """Create a role under a name of our own, and give it to an account."""
    meta = {"name": name, **_where(role)}
    await admin.create({**role, "apiVersion": f"{RBAC}/v1", "metadata": meta})
    binding = {
        "metadata": meta,
        "subjects": [{"kind": "ServiceAccount", **account}],
        "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": name},
    }
    await admin.create({"apiVersion": f"{RBAC}/v1", "kind": f"{role['kind']}Binding", **binding})


async def in_force(admin: Admin, account: Object, role: Object) -> None:
    """Wait until an account may do all that a role says: the API server learns of it as everybody does."""
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    for rule in role["rules"]:
        for words in itertools.product(*(rule[key] for key in ("apiGroups", "resources", "verbs"))):
            asked = dict(zip(("group", "resource", "verb"), words, strict=True)) | _where(role)
            if rule.get("resourceNames"):
                asked["name"] = rule["resourceNames"][0]
            await _until_allowed(admin, user, asked)


def _where(role: Object) -> dict[str, str]:
    return {key: value for key, value in role["metadata"].items() if key == "namespace"}


async def _until_allowed(admin: Admin, user: str, what: Object) -> None:
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}}
    spec = {"user": user, "resourceAttributes": what}
    async with asyncio.timeout(10):
        while True:
            said = await admin.create({**review, "spec": spec})
            if said["status"]["allowed"]:
                return
            await asyncio.sleep(0.02)


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
