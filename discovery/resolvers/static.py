"""Fixed places: resolved by being read."""

from ..model import Backend
from ..targets import Static
from . import Sink


class StaticResolver:
    """Tells the places of a static target once."""

    def __init__(self, target: Static) -> None:
        self._backends = [Backend(address=host, port=port) for host, port in target.hosts]

    async def run(self, sink: Sink) -> None:
        """One telling is all; there is nothing to wait for."""
        sink.replace(self._backends)
