"""Whether the backends of a target can be connected to from here."""

import asyncio
from collections.abc import Sequence

from ..client import Discovery
from ..errors import NoBackends
from ..model import Backend
from ..targets import Target
from . import judging
from .finding import Finding, ok, warning

CONNECTING = 1.0
"""Seconds that a connection may take."""


async def reach(disco: Discovery, target: Target) -> Finding:
    """Connect to a few backends of a target. One that refuses is reached: its machine has answered.

    Raises:
        DiscoveryError: the target cannot be resolved, has nothing usable, or none of these backends can be reached.
    """
    async with disco.pool(target) as pool:
        if not await pool.settled():
            assert pool.status.last_error is not None  # or it would wait
            raise pool.status.last_error
        tried = judging.spread(pool.backends)
        if not tried:
            raise pool.status.last_error or pool.why_empty()
        silent = await _silent(tried)
        known = f"{len(tried)} of {len(pool.backends)} backends"
        if not silent:
            return ok(f"connected to {known}: {_listed(tried)}")
        if len(silent) < len(tried):
            return warning(
                f"of {known}, {_listed(silent)} cannot be connected to within {CONNECTING:g} s",
                "Look at these nodes and their routes, and at NetworkPolicies; the library tries another backend",
            )
        raise NoBackends(
            f"none of {known} can be connected to within {CONNECTING:g} s: {_listed(silent)}",
            next_step=pool.far or "Look at routes, firewalls and NetworkPolicies between here and there",
        )


def _listed(backends: Sequence[Backend]) -> str:
    return ", ".join(one.netloc for one in backends)


async def _silent(backends: Sequence[Backend]) -> list[Backend]:
    """Those of them that cannot be reached."""
    answers = await asyncio.gather(*map(_answers, backends))
    return [one for one, answered in zip(backends, answers, strict=True) if not answered]


async def _answers(backend: Backend) -> bool:
    try:
        async with asyncio.timeout(CONNECTING):
            _, writer = await asyncio.open_connection(backend.address, backend.port)
    except ConnectionRefusedError:
        return True
    except OSError:  # TimeoutError is one
        return False
    writer.transport.abort()
    return True
