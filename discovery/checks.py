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
