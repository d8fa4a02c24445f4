"""The metadata of instances: who wrote them, for what, and what their Service's annotations add. Pure."""

from ...errors import quote
from ...kube.objects import ServicePort
from ..records import (
    K8S_NODE,
    MANAGED_BY,
    NAME,
    NAMESPACE,
    OWNER,
    PORT,
    SOURCE,
    UID,
    US,
    ZONE_OF,
    Pairs,
)
from .annotations import META
from .unusable import Unusable
from .ways import Place, ServiceView

MOST_PAIRS = 64
"""Pairs of metadata that Consul takes."""

KUBERNETES = "kubernetes"
"""The value of `external-source`: Consul's own UI shows such entries with that mark."""

PROTOCOL = "external-k8s-protocol"
"""The key that a port has which is not for TCP, such as UDP: no TCP check can reach it."""

OURS = frozenset({MANAGED_BY, OWNER, SOURCE, NAMESPACE, NAME, UID, PORT, PROTOCOL, K8S_NODE, ZONE_OF})


class Metadata:
    """That of all instances of one Service.

    Args:
        view: the Service.
        owner: the bridge's owner id.
        asked: by annotation.
        remarks: added to, where not all can be said.

    Raises:
        Unusable: the annotations ask for a key of ours, or for too many.
    """

    def __init__(self, view: ServiceView, owner: str, asked: Pairs, remarks: list[str]) -> None:
        by_port = {f"port-{port.name}": str(port.port) for port in view.body.ports if port.name}
        for key, _ in asked:
            if key in OURS or key in by_port:
                raise Unusable(
                    f"the annotation {quote(META + key)[1:-1]} names a key that the bridge writes itself",
                    reason="metadata",
                    next_step="Give it another key",
                )
        room = MOST_PAIRS - len(OURS) - len(asked)
        if room < 0:
            raise Unusable(
                f"its annotations ask for {len(asked)} pairs of metadata",
                reason="metadata",
                next_step=f"Consul takes {MOST_PAIRS}, of which {len(OURS)} are the bridge's",
            )
        if len(by_port) > room:
            remarks.append(f"its {len(by_port)} port numbers are not in its metadata: Consul takes {MOST_PAIRS} pairs")
            by_port = {}
        ours = {MANAGED_BY: US, OWNER: owner, SOURCE: KUBERNETES, UID: view.uid}
        ours |= {NAMESPACE: view.namespace, NAME: view.name}
        self._common = (*asked, *by_port.items(), *ours.items())

    def of(self, port: ServicePort, place: Place) -> Pairs:
        """Those of one port at one place, sorted."""
        pairs = [*self._common, (PORT, port.name)]
        if port.protocol != "TCP":
            pairs.append((PROTOCOL, port.protocol))
        if place.node:
            pairs.append((K8S_NODE, place.node))
        if place.zone:
            pairs.append((ZONE_OF, place.zone))
        return tuple(sorted(pairs))
