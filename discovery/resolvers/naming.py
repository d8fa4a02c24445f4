"""How errors name a Service. Pure."""

from ..errors import ServiceNotFound
from ..targets import OfService


def named(target: OfService) -> str:
    """As errors name it."""
    return f"the Service {target.service} in the namespace {target.namespace}"


def no_service(target: OfService) -> ServiceNotFound:
    """There is no such Service."""
    return ServiceNotFound(f"{named(target)} does not exist", next_step="Check its name and namespace")
