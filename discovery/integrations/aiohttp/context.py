"""A Discovery, and a client that uses it, for as long as an application runs.

The one place outside `discovery.client` that makes a Discovery: an application has no other place to open one in its
own loop, and to close it after the last request.
"""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from ...client import Discovery

DISCOVERY: "web.AppKey[Discovery]" = web.AppKey("DISCOVERY")
"""`request.app[DISCOVERY]`: the Discovery."""

CLIENT: web.AppKey[aiohttp.ClientSession] = web.AppKey("CLIENT")
"""`request.app[CLIENT]`: the client session, whose requests to Services go to backends chosen for them."""


def _session(disco: "Discovery") -> aiohttp.ClientSession:
    return aiohttp.ClientSession(middlewares=[disco.middleware()])


def discovery_context(
    *, session: "Callable[[Discovery], aiohttp.ClientSession]" = _session, **options: Any
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context: `app.cleanup_ctx.append(discovery_context())`.

    Both are opened when the application starts, and closed when it ends, the session first. Handlers find them at
    `request.app[DISCOVERY]` and `request.app[CLIENT]`.

    Args:
        session: makes the session, for one with options of its own; it must pass `disco.middleware()` itself.
        **options: those of `Discovery`. What is wrong with them is raised when the application starts.
    """

    async def run(app: web.Application) -> AsyncIterator[None]:
        from ...client import Discovery

        async with Discovery(**options) as disco, session(disco) as client:
            app[DISCOVERY] = disco
            app[CLIENT] = client
            yield

    return run
