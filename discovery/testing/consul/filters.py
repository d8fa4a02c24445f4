"""The filter expressions of Consul's reads (go-bexpr), as far as they are used: on rows as they are answered.

`==`, `!=`, `in`, `not in`, `contains`, `not contains`, `is empty`, `is not empty`, `matches`, `not matches`, `and`,
`or`, `not` and brackets; a selector is `Service.Meta["key"]` or `Service.Meta.key`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .refusals import Refused, quoted
from .tables import Json

Predicate = Callable[[Json], bool]

Fields = Mapping[str, "Fields | None"]
"""What a row may be asked for; None where anything below may be."""

_TOKEN = re.compile(r"""\s*(?:(==|!=|[()\[\].])|"((?:[^"\\]|\\.)*)"|`([^`]*)`|([A-Za-z0-9_][A-Za-z0-9_/-]*))""")
_ABSENT = object()
_COMPLAINT = "Failed to create boolean expression evaluator: "


def _fields(names: str) -> Fields:
    return dict.fromkeys(names.split())


NODE = _fields("ID Node Address Datacenter Partition PeerName TaggedAddresses Meta")
SERVICE = _fields(
    "Kind ID Service Tags Address TaggedAddresses Meta Port SocketPath Weights EnableTagOverride Proxy Connect PeerName"
)
CHECK = _fields(
    "Node CheckID Name Status Notes Output ServiceID ServiceName ServiceTags Type Interval Timeout ExposedPort PeerName"
)
ENTRY: Fields = {"Node": NODE, "Service": SERVICE, "Checks": CHECK}
SERVICE_NODE = _fields(
    "ID Node Address Datacenter TaggedAddresses NodeMeta ServiceKind ServiceID ServiceName ServiceTags ServiceAddress "
    "ServiceTaggedAddresses ServiceWeights ServiceMeta ServicePort ServiceSocketPath ServiceEnableTagOverride "
    "ServiceProxy ServiceConnect PeerName"
)


def compiled(text: str, fields: Fields) -> Predicate:
    """What an expression asks of a row; "" asks nothing.

    Raises:
        Refused: it is no expression, or asks for what no such row has.
    """
    if not text.strip():
        return lambda _: True
    parser = _Parser(_tokens(text), text, fields)
    predicate = parser.either()
    parser.end()
    return predicate


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kinds (`mark`, `text`, `word`) and values."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _bad(text)
        mark, escaped, raw, word = match.groups()
        if mark is not None:
            found.append(("mark", mark))
        elif word is not None:
            found.append(("word", word))
        else:
            found.append(("text", raw if escaped is None else re.sub(r"\\(.)", r"\1", escaped)))
        at = match.end()
    return found


def _bad(text: str) -> Refused:
    return Refused(f"{_COMPLAINT}no match found in {quoted(text)}")


class _Parser:
    """Descends through `or`, `and`, `not` to one match."""

    def __init__(self, tokens: list[tuple[str, str]], text: str, fields: Fields) -> None:
        self._tokens = tokens
        self._text = text
        self._fields = fields
        self._at = 0

    def either(self) -> Predicate:
        found = [self._all()]
        while self._took("word", "or"):
            found.append(self._all())
        return found[0] if len(found) == 1 else lambda row: any(holds(row) for holds in found)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise _bad(self._text)

    def _all(self) -> Predicate:
        found = [self._one()]
        while self._took("word", "and"):
            found.append(self._one())
        return found[0] if len(found) == 1 else lambda row: all(holds(row) for holds in found)

    def _one(self) -> Predicate:
        if self._took("word", "not"):
            return _not(self._one())
        if self._took("mark", "("):
            inner = self.either()
            self._need("mark", ")")
            return inner
        return self._match()

    def _match(self) -> Predicate:
        kind, value = self._next()
        if kind == "text" or self._sees("in") or self._sees("not", "in"):
            negated = self._took("word", "not")
            self._need("word", "in")
            return _maybe(negated, _contains(self._selector(*self._next()), value))
        return self._about(self._selector(kind, value))

    def _about(self, path: list[str]) -> Predicate:
        if self._took("mark", "=="):
            return _equals(path, self._value())
        if self._took("mark", "!="):
            return _not(_equals(path, self._value()))
        if self._took("word", "is"):
            negated = self._took("word", "not")
            self._need("word", "empty")
            return _maybe(negated, lambda row: not any(found for found in _values(row, path) if found is not _ABSENT))
        negated = self._took("word", "not")
        if self._took("word", "contains"):
            return _maybe(negated, _contains(path, self._value()))
        self._need("word", "matches")
        pattern = re.compile(self._value())
        return _maybe(negated, lambda row: any(pattern.search(str(value)) for value in _values(row, path)))

    def _selector(self, kind: str, value: str) -> list[str]:
        if kind != "word":
            raise _bad(self._text)
        path = [value]
        while True:
            if self._took("mark", "."):
                path.append(self._need("word"))
            elif self._took("mark", "["):
                path.append(self._need("text"))
                self._need("mark", "]")
            else:
                self._check(path)
                return path

    def _check(self, path: list[str]) -> None:
        fields: Fields | None = self._fields
        for name in path:
            if fields is None:
                return
            if name not in fields:
                raise Refused(f"{_COMPLAINT}Selector {quoted('.'.join(path))} is not valid")
            fields = fields[name]

    def _value(self) -> str:
        kind, value = self._next()
        if kind == "mark":
            raise _bad(self._text)
        return value

    def _sees(self, *words: str) -> bool:
        return self._tokens[self._at : self._at + len(words)] == [("word", word) for word in words]

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _bad(self._text)
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, kind: str, value: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (kind, value):
            self._at += 1
            return True
        return False

    def _need(self, kind: str, value: str | None = None) -> str:
        found = self._next()
        if found[0] != kind or value not in (None, found[1]):
            raise _bad(self._text)
        return found[1]


def _values(row: Any, path: list[str]) -> list[Any]:
    """What a selector leads to; through a list, to something of each of its elements."""
    for at, name in enumerate(path):
        if isinstance(row, list):
            return [value for element in row for value in _values(element, path[at:])]
        if not isinstance(row, dict) or name not in row:
            return [_ABSENT]
        row = row[name]
    return [row]


def _equals(path: list[str], wanted: str) -> Predicate:
    return lambda row: any(_text(value) == wanted for value in _values(row, path))


def _contains(path: list[str], wanted: str) -> Predicate:
    def holds(row: Json) -> bool:
        return any(isinstance(value, list | dict | str) and wanted in value for value in _values(row, path))

    return holds


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _not(predicate: Predicate) -> Predicate:
    return lambda row: not predicate(row)


def _maybe(negated: bool, predicate: Predicate) -> Predicate:
    return _not(predicate) if negated else predicate
