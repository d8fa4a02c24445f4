"""How an operator says that what is held back for being too much may go: by a word that stands for just these entries.

The bridge tells the word; the operator writes it into Consul's key-value store, by hand or with `discovery sync
--approve WORD`, where whichever replica leads finds it. More entries, or others, are another word.
"""

import base64

from ...consul.api import Consul
from ..options import BridgeOptions
from ..plan.changes import word_of

__all__ = ["Approval", "word_of"]


class Approval:
    """The word as it stands in Consul.

    Attributes:
        key: where it is.
    """

    def __init__(self, consul: Consul, options: BridgeOptions) -> None:
        self._consul = consul
        self.key = f"{options.lock}/{options.owner}/approve"

    async def given(self) -> str:
        """The word that an operator has written, "" where there is none.

        Raises:
            ConsulError: it cannot be read.
        """
        entry = (await self._consul.key(self.key)).value
        if entry is None or not entry.value:
            return ""
        return base64.b64decode(entry.value).decode("ascii", "replace").strip()

    async def give(self, word: str) -> None:
        """Write it.

        Raises:
            ConsulError: it cannot be written.
        """
        await self._consul.put_key(self.key, word.encode())

    async def used(self) -> None:
        """It has been acted on.

        Raises:
            ConsulError: it cannot be removed.
        """
        await self._consul.delete_key(self.key)
