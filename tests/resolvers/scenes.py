"""What the tests of derived sets share: a reader of deltas, and a resolver whose watches are played by hand."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discovery.errors import AccessDenied
from discovery.kube.objects import Object
from discovery.membership import Membership
from discovery.resolvers import Resolver
from discovery.resolvers.derived import Derived
from discovery.resolvers.following import Feed

if TYPE_CHECKING:
    from discovery.model import Backend, BackendId


class Kept:
    """A derived set, and what its deltas add up to, read as strictly as can be."""

    def __init__(self, found: Derived) -> None:
        self.found = found
        self.backends: dict[BackendId, Backend] = {}
        self.withheld: dict[BackendId, str] = {}

    def take(self) -> int:
        """Take up what changed; returns of how many it told."""
        delta = self.found.take()
        changed = [backend.id for backend in delta.changed]
        assert len(set(changed)) == len(changed)
        assert set(changed).isdisjoint(delta.removed), "one thing cannot have come and gone"
        assert delta.withheld.keys() <= set(changed)
        for key in delta.removed:
            del self.backends[key]
        for key in (*delta.removed, *changed):
            self.withheld.pop(key, None)
        self.backends.update((backend.id, backend) for backend in delta.changed)
        self.withheld.update(delta.withheld)
        return len(delta.changed) + len(delta.removed)

    @property
    def places(self) -> list[str]:
        """Those that may be picked."""
        return sorted(one.netloc for key, one in self.backends.items() if key not in self.withheld)

    @property
    def reasons(self) -> dict[str, str]:
        """Why others may not, by their address."""
        return {key.address: reason for key, reason in self.withheld.items()}


class Wire:
    """The watches of one resolver, played by hand: its kinds by their plural."""

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}
        self.asked: list[tuple[str, str, str]] = []

    def subscribe(self, kind: Any, namespace: str, group: str, reader: Feed, /) -> Callable[[], None]:
        self.feeds[kind.resource] = reader
        self.asked.append((kind.resource, namespace, group))
        return lambda: None

    def tell(self, resource: str, **bodies: object) -> None:
        """Objects by name; None is gone."""
        self.feeds[resource].changed({name: body and held(name, body) for name, body in bodies.items()})  # type: ignore[misc]

    def synced(self, *resources: str) -> None:
        for resource in resources or tuple(self.feeds):
            self.feeds[resource].synced()

    def deny(self, resource: str) -> None:
        self.feeds[resource].failed(AccessDenied("no", verb="list", resource=resource), 0.0)


def held(name: str, body: object) -> Object:
    """An object that is read as this."""
    return Object("shop", name, "", "1", "web", b"", lambda _: body)


class Following:
    """A resolver that runs, and what its pool would know: `async with Following(wire, resolver) as known`."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.membership = Membership("test://web", emit=lambda _: None, clock=lambda: 0.0)

    async def __aenter__(self) -> Membership:
        self._task = asyncio.create_task(self._resolver.run(self.membership))
        await asyncio.sleep(0)
        return self.membership

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
