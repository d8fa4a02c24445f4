"""How the simulated Consul server says no."""


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        what: Consul's own words, sent as the body.
        code: the HTTP status; 500 is what Consul says of most mistakes.
    """

    def __init__(self, what: str, code: int = 500) -> None:
        super().__init__(what)
        self.what = what
        self.code = code


def quoted(text: str) -> str:
    """As Go's `%q` has it."""
    escaped = "".join(_ESCAPES.get(char, char) for char in text)
    return f'"{escaped}"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
