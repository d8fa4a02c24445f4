"""Checks of options: what cannot work is said where it is written, not when it is used."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, quote

if TYPE_CHECKING:
    import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def is_seconds(value: object) -> bool:
    """Whether it is a positive, finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= sys.float_info.max  # type: ignore[operator] # a number


def check_timeout(value: object) -> None:
    """A number of seconds from 0 on, or None, which is for ever.

    Raises:
        ConfigurationError: it is not. A NaN would even put the event loop's timers out of order.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and value >= 0):  # type: ignore[operator] # a number
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


def whole(*, least: int) -> Validator:
    """A whole number of at least `least`."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{attribute.name}={quote(value)} is not a whole number of at least {least}")

    return check


def instance(kind: type) -> Validator:
    """A value of this class or protocol; not the class itself, which is an easy slip."""

    def check(_instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if isinstance(value, type) or not isinstance(value, kind):
            raise ConfigurationError(
                f"{attribute.name}={quote(value)} is no {kind.__name__}",
                next_step=f"Give an instance, {kind.__name__}(...)",
            )

    return check
