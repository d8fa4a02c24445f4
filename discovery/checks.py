"""Checks of options: what cannot work is said where it is written, not when it is used."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from .errors import ConfigurationError, quote

if TYPE_CHECKING:
    import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_seconds(value: object) -> bool:
    """Whether it is a positive, finite number."""
    return _is_number(value) and 0 < value <= sys.float_info.max


def is_weight(value: object) -> bool:
    """Whether it is a finite number of at least 0; True is none."""
    return _is_number(value) and 0 <= value <= sys.float_info.max


def check_timeout(value: object) -> None:
    """A number of seconds from 0 on, or None, which is for ever.

    Raises:
        ConfigurationError: it is not. A NaN would even put the event loop's timers out of order.
    """
    if value is not None and not (_is_number(value) and value >= 0):
        raise ConfigurationError(f"timeout={quote(value)} is not a number of seconds", next_step="None waits for ever")


def seconds(*, optional: bool = False) -> Validator:
    """A positive, finite number; with `optional`, None too."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and optional:
            return
        if not is_seconds(value):
            also = ", or None" if optional else ""
            raise ConfigurationError(f"{attribute.name}={quote(value)} is not a number of seconds above 0{also}")

    return check


def whole(*, least: int, optional: bool = False) -> Validator:
    """A whole number of at least `least`; with `optional`, None too."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and optional:
            return
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            also = ", or None" if optional else ""
            raise ConfigurationError(f"{attribute.name}={quote(value)} is not a whole number of at least {least}{also}")

    return check


def instance(kind: type, *, such_as: str = "") -> Validator:
    """A value of this class or protocol; not the class itself, which is an easy slip. `such_as`: what may be given."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if isinstance(value, type) or not isinstance(value, kind):
            raise ConfigurationError(
                f"{attribute.name}={quote(value)} is no {kind.__name__}",
                next_step=f"Give an instance, such as {such_as}"
                if such_as
                else f"Give an instance, {kind.__name__}(...)",
            )

    return check


def number(
    *, least: float | None = None, above: float | None = None, most: float = sys.float_info.max, optional: bool = False
) -> Validator:
    """A finite number of at least `least`, or above `above`, and at most `most`; with `optional`, None too."""
    bounds = [f"of at least {least}"] if least is not None else []
    bounds += [f"above {above}"] if above is not None else []
    bounds += [f"at most {most}"] if most < sys.float_info.max else []

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and optional:
            return
        fits = _is_number(value) and -sys.float_info.max <= value <= most
        if not fits or (least is not None and value < least) or (above is not None and value <= above):
            said = " and ".join(bounds)
            also = ", or None" if optional else ""
            raise ConfigurationError(f"{attribute.name}={quote(value)} is not a finite number {said}".rstrip() + also)

    return check


def text(*, optional: bool = False) -> Validator:
    """A text that is not empty; with `optional`, None too."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and optional:
            return
        if not isinstance(value, str) or not value:
            also = ", or None" if optional else ""
            raise ConfigurationError(f"{attribute.name}={quote(value)} is no text of at least one character{also}")

    return check
