"""Bytes of a stream cut into lines, of any length and wherever the chunks end. No I/O."""


class Lines:
    """Feed chunks, get the lines that are whole. A long line is kept in parts and joined once, at its end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends; empty ones are left out."""
        if b"\n" not in chunk:
            if chunk:
                self._parts.append(chunk)
            return []
        first, *lines = chunk.split(b"\n")
        rest = lines.pop() if lines else b""
        self._parts.append(first)
        whole = [b"".join(self._parts), *lines]
        self._parts = [rest] if rest else []
        return [line for line in whole if line]

    def finish(self) -> list[bytes]:
        """What is left when the stream has ended: a last line without an end."""
        last = b"".join(self._parts)
        self._parts = []
        return [last] if last else []
