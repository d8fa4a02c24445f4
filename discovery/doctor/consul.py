"""Consul: reached, led, recent enough, and with a token that it knows."""

import time

from ..consul.api import Consul
from ..errors import ConsulError, quote
from . import judging
from .finding import Finding, ok, warning


async def leads(consul: Consul) -> Finding:
    """Whether it can be reached, and has a leader: without one it only gives stale reads.

    Raises:
        ConsulError: it cannot, or has none.
    """
    began = time.monotonic()
    leader = await consul.leader()
    took = time.monotonic() - began
    if not leader:
        raise ConsulError(
            f"{consul.where} answers, but its servers have no leader",
            reason="no-leader",
            next_step="Look at them with consul operator raft list-peers: most of them must be up",
        )
    return ok(f"{consul.where} answers in {took * 1000:.0f} ms; the leader is {quote(leader)}")


async def version(consul: Consul) -> Finding:
    """Which version it is; a token that may not read it is no failure.

    Raises:
        ConsulError: it cannot be read for another reason.
    """
    try:
        return judging.consul_version(await consul.version())
    except ConsulError as error:
        if error.reason != "denied":
            raise
        return warning("the version may not be read", 'Allow agent_prefix "" { policy = "read" } to the token')


async def token(consul: Consul) -> Finding:
    """What token is used, without its secret.

    Raises:
        ConsulError: it is not known there, or not any more.
    """
    found = await consul.token_self()
    if found is None:
        return ok("ACLs are off: none is needed")
    granted = [one.name or one.id for one in (*(found.policies or ()), *(found.roles or ()))]
    text = f"the token {quote(found.accessor_id)}, with {', '.join(map(quote, granted)) or 'no policy'}"
    return ok(f"{text}, until {quote(found.expires)}" if found.expires else text)
