"""Policies: what a backend that does not answer gets from each, and where keys go when a backend leaves."""

import asyncio

import discovery

FOUR = "static://192.0.2.1:80,192.0.2.2:80,192.0.2.3:80,192.0.2.4:80"
THREE = FOUR.removesuffix(",192.0.2.4:80")
USERS = [f"user-{number}" for number in range(1000)]


async def caught(disco: discovery.Discovery, policy: discovery.Balancer) -> int:
    """Of twenty requests, those that one backend gets which answers none; the others answer at once."""
    async with disco.pool(FOUR, balancer=policy) as pool:
        await pool.ready(timeout=5)
        waiting = []
        for _ in range(20):
            lease = pool.pick()
            if lease.backend.address == "192.0.2.1":
                waiting.append(lease)
            else:
                lease.release()
        for lease in waiting:
            lease.ignore()
            lease.release()
    return len(waiting)


async def homes(disco: discovery.Discovery, target: str, policy: discovery.Balancer) -> dict[str, str]:
    """Where each user's requests go."""
    found = {}
    async with disco.pool(target, balancer=policy) as pool:
        await pool.ready(timeout=5)
        for user in USERS:
            with pool.pick(user) as lease:
                found[user] = lease.backend.address
    return found


async def main() -> None:
    async with discovery.Discovery() as disco:
        for policy in (discovery.RoundRobin(), discovery.LeastRequest()):
            print(f"{policy}: {await caught(disco, policy)} of 20 requests wait for the backend that does not answer")
        for keyed in (discovery.RendezvousHash(), discovery.Maglev(table_size=1021)):
            before, after = await homes(disco, FOUR, keyed), await homes(disco, THREE, keyed)
            own = sum(address == "192.0.2.4" for address in before.values())
            moved = sum(before[user] != after[user] for user in USERS)
            print(f"{keyed}: {own} users at the backend that leaves, {moved - own} others move")


asyncio.run(main())
