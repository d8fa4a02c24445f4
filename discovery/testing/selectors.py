"""Label and field selectors, as the API server reads them. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Predicate = Callable[[Mapping[str, Any]], bool]
Labels = Mapping[str, str]

_WORD = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_WORD}"
_VALUE = rf"(?:{_WORD})?"
_SET = re.compile(rf"(?P<key>{_KEY})\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(rf"(?P<key>{_KEY})\s*(?P<operator>==?|!=)\s*(?P<value>{_VALUE})")
_THAN = re.compile(rf"(?P<key>{_KEY})\s*(?P<operator>[<>])\s*(?P<value>[0-9]{{1,18}})")
_EXISTS = re.compile(rf"(?P<operator>!?)\s*(?P<key>{_KEY})")
_COMMA = re.compile(r",(?![^()]*\))")


class BadSelector(ValueError):
    """It cannot be read; the text is what the server says of it."""


def labels_match(text: str) -> Predicate:
    """Whether an object's labels fulfil every requirement of a label selector.

    Raises:
        BadSelector: that is no selector.
    """
    requirements = [_requirement(part.strip()) for part in _COMMA.split(text)] if text.strip() else []

    def matches(body: Mapping[str, Any]) -> bool:
        labels = body["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


def fields_match(text: str) -> Predicate:
    """The same for a field selector, of the two fields that every resource has.

    Raises:
        BadSelector: another field, or no selector.
    """
    requirements = []
    for part in text.split(",") if text else ():
        path, operator, value = re.split(r"(!=|==?)", part, maxsplit=1) if "=" in part else (part, "", "")
        if path not in ("metadata.name", "metadata.namespace") or not operator:
            raise BadSelector(f"field label not supported: {path}")
        requirements.append((path.removeprefix("metadata."), operator == "!=", value))

    def matches(body: Mapping[str, Any]) -> bool:
        return all((body["metadata"].get(name, "") == value) is not unequal for name, unequal, value in requirements)

    return matches


def exact_name(text: str) -> str:
    """The only name that a field selector lets through, "" where it lets through several: RBAC goes by it."""
    found = re.search(r"(?:^|,)metadata\.name==?([^,=]+)(?:,|$)", text)
    return found[1] if found else ""


def _requirement(part: str) -> Callable[[Labels], bool]:
    if found := _SET.fullmatch(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if not all(re.fullmatch(_VALUE, value) for value in values):
            raise BadSelector(f"unable to parse requirement: {part!r}")
        if found["operator"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(part):
        key, value = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _THAN.fullmatch(part):
        return _than(found["key"], found["operator"] == ">", int(found["value"]))
    if found := _EXISTS.fullmatch(part):
        key, absent = found["key"], bool(found["operator"])
        return lambda labels: (key in labels) is not absent
    raise BadSelector(f"unable to parse requirement: {part!r}")


def _than(key: str, greater: bool, bound: int) -> Callable[[Labels], bool]:
    """A value that is no whole number is neither greater nor smaller."""

    def holds(labels: Labels) -> bool:
        value = labels.get(key, "")
        if not re.fullmatch(r"[0-9]{1,18}", value):
            return False
        return int(value) > bound if greater else int(value) < bound

    return holds
