"""Plain Endpoints, from a server without slices, taken as the slices that they would be. Pure."""

from collections.abc import Callable

from ..kube.objects import EndpointsBody, SliceBody


class PlainEndpoints:
    """Feeds what takes slices by name (None where one is gone)."""

    def __init__(self, put: Callable[[str, SliceBody | None], None]) -> None:
        self._put = put
        self._told: dict[str, set[str]] = {}

    def put(self, name: str, body: EndpointsBody | None) -> None:
        """Take the Endpoints of this name as they are now; None where they are gone."""
        slices = {f"{name} {part}": one for part, one in (body.slices() if body is not None else ())}
        for gone in self._told.get(name, set()) - slices.keys():
            self._put(gone, None)
        self._told[name] = set(slices)
        for part, one in slices.items():
            self._put(part, one)
