"""The few fields that are read of Kubernetes objects, typed as they are on the wire; no behaviour beyond reading.

One file a kind, and `wire` for what all have. Fields that nobody reads are not here: they are skipped as bytes.
"""

from .endpoints import EndpointsBody, decode_endpoints, decode_endpoints_line
from .nodes import NodeBody, decode_node, decode_node_line
from .pods import ContainerPort, PodBody, decode_pod, decode_pod_line, decode_pod_whole
from .services import ServiceBody, ServicePort, ServiceSpec, decode_service, decode_service_line
from .slices import (
    Conditions,
    Endpoint,
    EndpointPort,
    Hints,
    Named,
    ObjectReference,
    SliceBody,
    decode_slice,
    decode_slice_line,
)
from .wire import (
    DECODE_ERRORS,
    SERVICE_NAME,
    ZONE,
    ListMeta,
    Meta,
    Object,
    ObjectList,
    Status,
    StatusCause,
    StatusDetails,
    WatchEvent,
    Wire,
    decode_error,
    decode_event,
    decode_list,
    decode_status,
    decode_wire,
)

Body = SliceBody | ServiceBody | PodBody | NodeBody | EndpointsBody
"""What is read of an object, of whatever kind."""

__all__ = [
    "DECODE_ERRORS",
    "SERVICE_NAME",
    "ZONE",
    "Body",
    "Conditions",
    "ContainerPort",
    "Endpoint",
    "EndpointPort",
    "EndpointsBody",
    "Hints",
    "ListMeta",
    "Meta",
    "Named",
    "NodeBody",
    "Object",
    "ObjectList",
    "ObjectReference",
    "PodBody",
    "ServiceBody",
    "ServicePort",
    "ServiceSpec",
    "SliceBody",
    "Status",
    "StatusCause",
    "StatusDetails",
    "WatchEvent",
    "Wire",
    "decode_endpoints",
    "decode_endpoints_line",
    "decode_error",
    "decode_event",
    "decode_list",
    "decode_node",
    "decode_node_line",
    "decode_pod",
    "decode_pod_line",
    "decode_pod_whole",
    "decode_service",
    "decode_service_line",
    "decode_slice",
    "decode_slice_line",
    "decode_status",
    "decode_wire",
]
