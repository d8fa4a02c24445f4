"""Ways of finding backends that a test plays itself."""

import asyncio

from discovery import Backend, Sink


def backend(number: int, **more: object) -> Backend:
    """The `number`-th, on a node and in a pod of its own."""
    return Backend(address=f"10.0.0.{number}", port=80, **more)  # type: ignore[arg-type]


class Source:
    """A `Resolver` whose sink the test speaks to: `source.sink.replace([...])`."""

    def __init__(self, *first: Backend) -> None:
        self._first = first
        self.runs = 0
        self.stopped = asyncio.Event()
        self.sink: Sink

    def __str__(self) -> str:
        return "test://source"

    async def run(self, sink: Sink) -> None:
        self.runs += 1
        self.sink = sink
        try:
            if self._first:
                sink.replace(self._first)
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
