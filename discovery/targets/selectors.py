"""Label selectors, as the API server reads them (apimachinery: labels.Parse), and their one spelling. Pure.

app=web            app==web           app!=web
tier in (a,b)      tier notin (a,b)   app      !app      replicas>2      replicas<5
"""

import re
from collections.abc import Mapping
from typing import Literal

import attrs

from ..errors import InvalidTarget
from ..errors import quote as quoted

Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]

LONGEST_SELECTOR = 2048

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_KEY = re.compile(rf"((?=[^/]{{1,253}}/){_LABEL}(\.{_LABEL})*/)?{_NAME}")
_VALUE = re.compile(rf"({_NAME})?")
_DIGITS = re.compile(r"[+-]?[0-9]{1,63}")
_TOKEN = re.compile(r"[ \t\r\n]*(?:(?P<mark>==|!=|[=!<>(),])|(?P<word>[^ \t\r\n=!<>(),]+))")


@attrs.frozen(order=True)
class Requirement:
    """One condition on the labels. `values` are sorted, each once."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil it. What is absent is not equal to anything, and in no set."""
        there = self.key in labels
        value = labels.get(self.key, "")
        match self.operator:
            case "exists":
                return there
            case "!":
                return not there
            case "=" | "in":
                return there and value in self.values
            case "!=" | "notin":
                return not there or value not in self.values
        number, bound = whole(value), int(self.values[0])
        if number is None:
            return False
        return number > bound if self.operator == ">" else number < bound


@attrs.frozen
class Selector:
    """Requirements that must all hold, sorted. `str` gives the one spelling."""

    requirements: tuple[Requirement, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil all of it."""
        return all(requirement.holds(labels) for requirement in self.requirements)


def whole(text: str) -> int | None:
    """A whole number of 64 bits, None where it is none."""
    number = int(text) if _DIGITS.fullmatch(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def read(text: str) -> Selector:
    """The selector that a text means.

    Raises:
        InvalidTarget: it is none, or empty: that would be every pod there is.
    """
    if len(text) > LONGEST_SELECTOR:
        raise InvalidTarget(f"a selector of {len(text)} characters is too long", part=text[:40])
    if not text.strip():
        raise InvalidTarget(
            "an empty selector would be every pod of the namespace",
            part=text,
            next_step="Write app=web, or a key alone",
        )
    return Selector(tuple(sorted(set(_Reader(text).requirements()))))


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def requirements(self) -> list[Requirement]:
        found = [self._requirement()]
        while self._next() == ",":
            self._take()
            found.append(self._requirement())
        if self._next():
            raise self._wrong(self._next(), "a comma is wanted between requirements")
        return found

    def _requirement(self) -> Requirement:
        if self._next() == "!":
            self._take()
            return Requirement(self._key(), "!")
        key, operator = self._key(), self._next()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._take()
        match operator:
            case "=" | "==":
                return Requirement(key, "=", (self._value(),))
            case "!=":
                return Requirement(key, "!=", (self._value(),))
            case ">" | "<":
                return Requirement(key, operator, (self._number(),))
            case "in" | "notin":
                return Requirement(key, operator, self._values())
        raise self._wrong(operator, "an operator is wanted: =, ==, !=, in, notin, > or <")

    def _key(self) -> str:
        key = self._take()
        if not _KEY.fullmatch(key):
            raise self._wrong(
                key, "a label's key is wanted: [PREFIX/]NAME, the name of at most 63 letters, digits, - _ ."
            )
        return key

    def _value(self) -> str:
        if self._next() in ("", ","):
            return ""
        return self._checked(self._take())

    def _values(self) -> tuple[str, ...]:
        if (mark := self._take()) != "(":
            raise self._wrong(mark, "a list is wanted: (a,b)")
        values = {self._member()}
        while (mark := self._take()) == ",":
            values.add(self._member())
        if mark != ")":
            raise self._wrong(mark, "the list is to end with )")
        return tuple(sorted(values))

    def _member(self) -> str:
        return "" if self._next() in (",", ")") else self._checked(self._take())

    def _number(self) -> str:
        word = self._take()
        number = whole(word)
        if number is None or not _VALUE.fullmatch(word):  # a label's value has no sign
            raise self._wrong(word, "a whole number is wanted, without a sign")
        return str(number)

    def _checked(self, word: str) -> str:
        if not _VALUE.fullmatch(word):
            raise self._wrong(word, "a label's value is wanted: at most 63 letters, digits, - _ .")
        return word

    def _next(self) -> str:
        """The token that comes next, "" at the end."""
        found = _TOKEN.match(self._text, self._at)
        return found["mark"] or found["word"] if found else ""

    def _take(self) -> str:
        found = _TOKEN.match(self._text, self._at)
        self._at = found.end() if found else len(self._text)
        return found["mark"] or found["word"] if found else ""

    def _wrong(self, part: str, wanted: str) -> InvalidTarget:
        where = quoted(part) if part.strip() else "its end"
        return InvalidTarget(f"the selector {quoted(self._text)} cannot be read at {where}: {wanted}", part=part)
