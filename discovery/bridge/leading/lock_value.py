"""What the key of the lock says of its holder. It is for people and for `known`: the session alone decides."""

import base64
import binascii

import msgspec

from ...consul.objects import KvEntry


class LockValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who holds the lock, and since when.

    Attributes:
        holder: its name among the candidates.
        since: by its wall clock, as RFC 3339 has it.
        for_now: it is no leader: it holds the lock for one write, see `freshness`.
    """

    holder: str = ""
    since: str = ""
    for_now: bool = False

    def encode(self) -> bytes:
        """As it is written."""
        return msgspec.json.encode(self)


def read_value(entry: KvEntry) -> LockValue:
    """What the key says; of a holder that is none of ours, the beginning of its session."""
    try:
        value = msgspec.json.decode(base64.b64decode(entry.value or "", validate=True), type=LockValue)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        value = LockValue()
    return value if value.holder else LockValue(holder=f"session {entry.session[:8]}")
