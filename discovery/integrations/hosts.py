"""Which host name means which Service. Pure.

SVC.NS.svc   SVC.NS.svc.DOMAIN   POD.SVC.NS.svc   with short names also   SVC.NS   SVC
"""

from typing import Literal

import attrs

from ..targets import LABEL, ClusterIP, Endpoints

Via = Literal["endpoints", "cluster-ip"]
"""Where a Service's requests go: to its pods, or to its own address."""

LOCALHOST = "localhost"


@attrs.frozen
class Name:
    """A Service by its DNS name. `pod` is a hostname within it; `short` says that others could mean another thing."""

    service: str
    namespace: str | None
    pod: str | None = None
    short: bool = False

    def cluster_ip(self, port: int) -> ClusterIP | None:
        """The Service's own address at a port; None where a pod is named, which has none."""
        return None if self.pod else ClusterIP(self.service, namespace=self.namespace, port=port)

    def target(self, port: int) -> Endpoints:
        """The target of this name at a port of the Service."""
        return Endpoints(self.service, namespace=self.namespace, port=port, hostname=self.pod)


def name_of(host: str, domain: str, *, short_names: bool) -> Name | None:
    """The Service that a host names, in any case, with or without the last dot; None where it names none.

    Args:
        host: of a URL.
        domain: the cluster's, such as `cluster.local`.
        short_names: whether `SVC.NS` and `SVC` are names too; `localhost` never is.
    """
    bare = host.lower().removesuffix(".")
    labels = bare.removesuffix(f".{domain.lower()}").split(".")
    if not all(LABEL.fullmatch(label) for label in labels):
        return None
    if labels[-1] == "svc" and len(labels) in (3, 4):
        return Name(labels[-3], labels[-2], labels[0] if len(labels) == 4 else None)
    if short_names and bare == ".".join(labels) and len(labels) <= 2 and bare != LOCALHOST:
        return Name(labels[0], labels[1] if len(labels) == 2 else None, short=True)
    return None
