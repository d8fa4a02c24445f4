"""What a caller says of the requests made inside a block, whoever makes them and however deep.

It goes by a context variable, as a deadline must: through code that knows nothing of it, into the tasks that are
started there, and into no others. What a pool or a policy says is not kept here.
"""

import asyncio
import time
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

import attrs

from .checks import is_seconds
from .errors import ConfigurationError, quote


@attrs.frozen(kw_only=True)
class Options:
    """What holds now: of each thing the innermost word, of deadlines the earliest.

    `deadline` is a time of the event loop's clock. `outer` is what holds again afterwards.
    """

    idempotent: bool | None = None
    deadline: float | None = None
    key: bytes | str | None = None
    outer: "Options | None" = None


_current: ContextVar[Options | None] = ContextVar("discovery.options", default=None)

current = _current.get
"""`current()`: the `Options` that hold here, or None. Cheap enough for every request."""


def options(
    *, idempotent: bool | None = None, deadline: float | None = None, key: bytes | str | None = None
) -> AbstractContextManager[object]:
    """Speak for the calls and requests made inside a block: `with discovery.options(deadline=2.0):`.

    What is left out stays as the block around it says; of deadlines the earlier counts. The same value may be entered
    again, inside itself and by many tasks.

    Args:
        idempotent: whether a request may be sent twice, whatever its method says.
        deadline: seconds from when the block is entered, for all calls inside it: their tries and the pauses between
            them, up to the response's headers. After it they raise `DeadlineExceeded`. The code between the calls is
            not interrupted.
        key: what a hash policy places requests by.

    Raises:
        ConfigurationError: one cannot be used, such as a deadline that is not in the future.
    """
    if idempotent is not None and not isinstance(idempotent, bool):
        raise ConfigurationError(f"idempotent={quote(idempotent)} is neither True nor False")
    if deadline is not None and not is_seconds(deadline):
        raise ConfigurationError(
            f"deadline={quote(deadline)} is not a number of seconds above 0",
            next_step="Give the seconds that are left, not the time of a clock",
        )
    if key is not None and not isinstance(key, bytes | str):
        raise ConfigurationError(f"key is of {type(key).__name__}, neither bytes nor text")
    return _Block(idempotent, deadline, key)


@attrs.frozen
class _Block:
    """What to say inside. It remembers nothing of where it was entered, so it may be entered anywhere."""

    idempotent: bool | None
    seconds: float | None
    key: bytes | str | None

    def __enter__(self) -> Self:
        outer = current()
        around = Options() if outer is None else outer
        ends = [around.deadline] if around.deadline is not None else []
        if self.seconds is not None:
            ends.append(_now() + self.seconds)
        _current.set(
            Options(
                idempotent=around.idempotent if self.idempotent is None else self.idempotent,
                deadline=min(ends, default=None),
                key=around.key if self.key is None else self.key,
                outer=outer,
            )
        )
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        inside = current()
        _current.set(None if inside is None else inside.outer)


def _now() -> float:
    """The running loop's clock; outside of one, what loops go by."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
