"""What keeps a file from being current."""

from typing import Literal

from ..errors import DiscoveryError

Stage = Literal["template", "check", "write", "command"]


class RenderError(DiscoveryError):
    """A file could not be rendered, checked or written, or its reader not be told; the file is whole in any case.

    `stage` tells them apart: `template`, `check` (the check refused what was rendered), `write`, `command` (the new
    file is in its place, and its reader does not know). `output` is the last of what a command said, as it said it.
    """

    def __init__(self, message: str, *, stage: Stage, output: str = "", next_step: str = "") -> None:
        self.stage: Stage = stage
        self.output = output
        super().__init__(message, next_step=next_step)
