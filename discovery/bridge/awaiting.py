"""Several things awaited at once: all end before this does, and what is raised is the error of one, as it was."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def all_of(ways: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each comes to, in their order. After the first that fails the others are cancelled and awaited.

    Raises:
        Exception: what the first of them raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(way) for way in ways]
    except ExceptionGroup as failed:
        error: Exception = failed
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return [task.result() for task in tasks]
