"""How a bridge stands: what its probes, its metrics and an operator read. No behaviour."""

from collections.abc import Mapping

import attrs

from .records import ServiceKey


@attrs.frozen(kw_only=True)
class BridgeStatus:
    """How a bridge stands now.

    Attributes:
        owner: the id under which it owns its entries.
        synced: Services, EndpointSlices and nodes have each been listed whole once.
        stale_for: seconds since the source that has been silent longest last spoke; 0 while all speak.
        leading: it is this one that writes.
        leader_known: some replica leads.
        leader: which one says so, as it calls itself; "" where none is known.
        owned: instances in Consul that are ours.
        passing: of these, how many pass.
        services: of Kubernetes that have instances there.
        withheld: by reason, how many changes are held back.
        asks: the word that approves what is held back for being too much (see `approve`), "" where nothing is.
        unusable: Services that cannot be registered as they are, and why; their last good registration is kept.
        filtered: Consul leaves out of its answers what the token may not see: what they lack is not taken for gone.
        passes: differences that were worked out.
        transactions: that were sent.
        changes: by action, instances that were written.
        errors: by reason, passes that ended early.
        behind_for: seconds for which Consul has lacked something that is wanted; 0 where we lead and it lacks nothing.
        last_error: why the last pass ended early, "" where it did not.
    """

    owner: str = ""
    synced: bool = False
    stale_for: float = 0.0
    leading: bool = False
    leader_known: bool = False
    leader: str = ""
    owned: int = 0
    passing: int = 0
    services: int = 0
    withheld: Mapping[str, int] = attrs.field(factory=dict)
    asks: str = ""
    unusable: Mapping[ServiceKey, str] = attrs.field(factory=dict)
    filtered: bool = False
    passes: int = 0
    transactions: int = 0
    changes: Mapping[str, int] = attrs.field(factory=dict)
    errors: Mapping[str, int] = attrs.field(factory=dict)
    behind_for: float = 0.0
    last_error: str = ""

    @property
    def ready(self) -> bool:
        """Whether it can do its work now, or stands by to: synced, and a leader is known."""
        return self.synced and self.leader_known
