"""The pods behind a Service: what is followed of them, and what stands in where the server or RBAC does not give it."""

from collections.abc import Sequence

from ..events import Hook
from ..kube.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from ..targets import Endpoints
from .derived import Derived
from .following import Following, Source, Subscribe
from .plain import PlainEndpoints
from .readiness import EndpointSet
from .topology import Place


def endpoints_resolver(target: Endpoints, place: Place, subscribe: Subscribe, emit: Hook) -> Following:
    """Follows EndpointSlices, or plain Endpoints on a server without them, and the Service itself.

    The Service says what a port's number means, and whether only endpoints on our node may be used. Where the port has
    a name and RBAC hides the Service, it is done without.

    Args:
        target: its namespace is settled.
        place: where this client is.
        subscribe: opens the watches.
        emit: takes events.
    """
    namespace, service = target.namespace, target.service
    assert namespace is not None

    def plan() -> tuple[Derived, Sequence[Source]]:
        found = EndpointSet(target, place)
        old = Source(ENDPOINTS, namespace, service, PlainEndpoints(found.put).put)
        denied = None if isinstance(target.port, int) else found.unserved
        return found, (
            Source(ENDPOINT_SLICES, namespace, service, found.put, instead=old),
            Source(SERVICES, namespace, service, lambda _, body: found.serve(body), denied),
        )

    return Following(str(target), plan, subscribe, emit)
