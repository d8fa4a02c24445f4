"""The nodes' addresses with a Service's node port. Pure.

Each node stands for itself, and a change costs what it touches: one node, or those whose endpoints came or went. Only
what concerns the Service as a whole is looked at again for all.
"""

from collections import defaultdict

from ..errors import DiscoveryError, NoBackends, quote
from ..kube.objects import NodeBody, ServiceBody, ServicePort, SliceBody
from ..model import Backend, BackendId
from ..targets import NodePort
from . import Remark
from .address_set import Shown, alias, headless, no_port
from .addresses import families, family_of, is_name
from .definition import cluster_ips
from .derived import Delta, Derived
from .local import LocalEndpoints
from .naming import named, no_service
from .nodes import Address, why_unfit, zone_of
from .ports import service_port

LOOK = "Look at its pods' readiness: kubectl get pods"

NO_ENDPOINT = "the Service has no usable endpoint, so every node refuses"
NOT_LOCAL = "the node has no usable endpoint, and the external traffic policy is Local"


class NodePortSet(Derived):
    """The nodes by which one target is reached from outside the cluster, and why others are not.

    Args:
        target: its namespace is settled.
    """

    def __init__(self, target: NodePort) -> None:
        self._target = target
        self._service: ServiceBody | None = None
        self._port: ServicePort | None = None
        self._families = families(target.family)
        self._nodes: dict[str, NodeBody] = {}
        self._unfit: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._backends: dict[str, Backend] = {}
        self._claims: defaultdict[str, set[str]] = defaultdict(set)
        self._local = LocalEndpoints()
        self._blind = False
        self._had_any = False, False
        self._touched: set[str] = set()
        self._told: dict[str, Shown] = {}

    # What is told of the cluster

    def serve(self, _name: str, body: ServiceBody | None) -> None:
        """Take the Service as it is now; None where there is none."""
        self._service = body
        before_port, self._port = self._port, self._meant(body)
        if before_port != self._port:
            self._backends.clear()
        self._local.serve(self._port.name if self._port is not None else None)
        before, self._families = self._families, self._wanted(body)
        if before != self._families:
            for name in self._nodes:
                self._locate(name)
        self._touched.update(self._claims)

    def put_node(self, name: str, body: NodeBody | None) -> None:
        """Take a node as it is now; None where it is gone."""
        if body == self._nodes.get(name):
            return
        self._unfit.pop(name, None)
        if body is None:
            del self._nodes[name]
        else:
            self._nodes[name] = body
            if (reason := why_unfit(body, cordoned=self._target.cordoned)) is not None:
                self._unfit[name] = reason
        self.unreadable += self._locate(name)

    def put_slice(self, name: str, body: SliceBody | None) -> None:
        """Take a slice of the Service as it is now; None where it is gone."""
        self._local.put(name, body)

    def see(self, denied: Exception | None) -> None:
        """Whether the slices may be read; where not, every node has to do."""
        if self._blind is not (denied is not None):
            self._blind = denied is not None
            self._touched.update(self._claims)

    # What it comes to

    def take(self) -> Delta:
        """What changed since it was last asked, once."""
        self._touch_by_endpoints()
        changed: list[Backend] = []
        removed: list[BackendId] = []
        withheld: dict[BackendId, str] = {}
        for address in self._touched:
            old, new = self._told.pop(address, None), self._shown(address)
            if new is not None:
                self._told[address] = new
            if old is not None and (new is None or old[0].id != new[0].id):
                removed.append(old[0].id)
            if new is not None and new != old:
                changed.append(new[0])
                if new[1] is not None:
                    withheld[new[0].id] = new[1]
        self._touched = set()
        return Delta(tuple(changed), tuple(removed), withheld)

    def problem(self) -> DiscoveryError | None:
        """Why there can be nothing to pick from, where that is so."""
        target, body = self._target, self._service
        if body is None:
            return no_service(target)
        wrong = alias(target, body) or headless(target, body) or no_port(target, body)
        return wrong or self._no_way_in(body)

    def remarks(self) -> tuple[Remark, ...]:
        """What is worth knowing of its nodes and its Service."""
        found = []
        without = len(self._nodes) - len(self._addresses)
        if without and self._addresses:
            found.append(Remark(f"{without} of {len(self._nodes)} nodes have no address {self._of_types()}"))
        if self._blind and self._keeps_local:
            found.append(
                Remark(
                    "the external traffic policy is Local, but the EndpointSlices may not be read, so all nodes are "
                    "used: those without a pod of the Service do not answer",
                    warning=True,
                )
            )
        return tuple(found)

    def _no_way_in(self, body: ServiceBody) -> DiscoveryError | None:
        what = named(self._target)
        if not self._port or not self._port.node_port:
            given = body.spec.type == "LoadBalancer"
            cause = "allocateLoadBalancerNodePorts is false" if given else f"its type is {quote(body.spec.type)[1:-1]}"
            return NoBackends(
                f"{what} has no node port: {cause}",
                next_step=f"{'Use load-balancer://' if given else 'Set its type to NodePort'}; in the cluster use "
                "endpoints:// or cluster-ip://",
            )
        if not self._families:
            return NoBackends(
                f"{what} has no address of the family {self._target.family}, so no node port either",
                next_step="Ask for prefer-ipv4 or prefer-ipv6, or make the Service dual-stack",
            )
        if not self._nodes:
            return NoBackends("the cluster has no nodes")
        if not self._addresses:
            return NoBackends(
                f"no node has an address {self._of_types()}",
                next_step="Name other kinds: ?address-types=InternalIP,Hostname",
            )
        if self._blind or any(why is None for _, why in self._told.values()):
            return None
        if not self._local.any_of(None):
            return NoBackends(f"{what} has no usable endpoint, and so no node that answers", next_step=LOOK)
        if any(why == NOT_LOCAL for _, why in self._told.values()):
            return NoBackends(
                f"{what} has the external traffic policy Local, and no node that is fit has a usable endpoint",
                next_step="pool.explain() tells it of each node: run pods on those, or set the policy to Cluster",
            )
        return None

    @property
    def _keeps_local(self) -> bool:
        return self._service is not None and self._service.spec.external_traffic_policy == "Local"

    def _of_types(self) -> str:
        family = "" if self._target.family.startswith("prefer-") else f" and the family {self._target.family}"
        return f"of the type {' or '.join(self._target.address_types)}{family}"

    def _meant(self, body: ServiceBody | None) -> ServicePort | None:
        if body is None or body.headless or body.spec.type == "ExternalName":
            return None
        return service_port(body, self._target.port)

    def _wanted(self, body: ServiceBody | None) -> tuple[str, ...]:
        """The families that are wanted, best first, as far as the Service has them: so far its node port is open."""
        wanted = families(self._target.family)
        if body is None:
            return wanted
        has = {one.lower() for one in body.spec.ip_families or ()} or set(map(family_of, cluster_ips(body)))
        return tuple(one for one in wanted if one in has) if has else wanted

    def _locate(self, name: str) -> int:
        """Note at which address a node is; returns how many it has that cannot be read."""
        self._backends.pop(name, None)
        before = self._addresses.pop(name, None)
        if before is not None:
            self._claims[before].discard(name)
            self._touched.add(before)
            if not self._claims[before]:
                del self._claims[before]
        if name not in self._nodes:
            return 0
        address = Address(self._nodes[name], self._target.address_types, self._families)
        if address.found is not None:
            self._addresses[name] = address.found
            self._claims[address.found].add(name)
            self._touched.add(address.found)
        return address.unreadable

    def _touch_by_endpoints(self) -> None:
        any_now = self._local.any_of("ipv4"), self._local.any_of("ipv6")
        if self._had_any != any_now:
            self._had_any = any_now
            self._touched.update(self._claims)
        self._touched.update(self._addresses[node] for node in self._local.changed if node in self._addresses)
        self._local.changed.clear()

    def _shown(self, address: str) -> Shown | None:
        """What an address comes to: two nodes with one address are one place, of the fitter of them."""
        claims = [(self._why_not(name, address), name) for name in self._claims.get(address, ())]
        if not claims or self._port is None or not self._port.node_port:
            return None
        reason, name = min(claims, key=lambda one: (one[0] is not None, one[1])) if len(claims) > 1 else claims[0]
        return self._backends.get(name) or self._made(name, address, self._port), reason

    def _made(self, name: str, address: str, port: ServicePort) -> Backend:
        made = self._backends[name] = Backend(
            address=address,
            port=port.node_port,
            node=name,
            zone=zone_of(self._nodes[name]),
            app_protocol=port.app_protocol or "",
        )
        return made

    def _why_not(self, name: str, address: str) -> str | None:
        """Why a node is left out; None where it is not."""
        unfit = self._unfit.get(name)
        if unfit is not None or self._blind:
            return unfit
        family = None if is_name(address) else family_of(address)
        if not self._local.any_of(family):
            return NO_ENDPOINT
        if self._keeps_local and not self._local.at(name, family):
            return NOT_LOCAL
        return None
