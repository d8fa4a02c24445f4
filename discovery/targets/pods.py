"""Pods, without a Service."""

import attrs

from ..errors import InvalidTarget
from ..errors import quote as quoted
from . import checks, selectors
from .checks import Family
from .services import print_options


def _selector(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidTarget(f"{quoted(text)} is not the text of a selector", next_step='Write Pods("app=web")')
    return str(selectors.read(text))


@attrs.frozen(kw_only=True)
class Pods:
    """The usable pods that match a label selector; no Service is needed.

    Args:
        selector: the whole grammar of Kubernetes, kept in its one spelling.
        namespace: the pods'; None is the client's own.
        port: a number, or the name of a container's port; None where the containers have only one.
        family: which address a pod with both is called by, or the only kind wanted.

    Raises:
        InvalidTarget: a selector that cannot be read or is empty, or a namespace, port or family that cannot be one.
    """

    selector: str = attrs.field(kw_only=False, converter=_selector)
    namespace: str | None = attrs.field(default=None, validator=checks.label("namespace"))
    port: str | int | None = attrs.field(default=None, converter=checks.port)
    family: Family = attrs.field(default="prefer-ipv4", validator=checks.family)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        options = {} if self.family == "prefer-ipv4" else {"family": self.family}
        return f"pods://{self.namespace or ''}/{self.selector}{port}{print_options(options)}"
