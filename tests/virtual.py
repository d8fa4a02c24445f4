"""Virtual time: ten minutes pass in a millisecond, and no timer is late."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import looptime

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop whose clock jumps to the next timer."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner, ThreadPoolExecutor() as threads:
        loop: Any = runner.get_loop()
        loop.set_default_executor(threads)
        try:
            return runner.run(coroutine)
        finally:
            loop._default_executor = None  # the loop would wait for its threads in virtual time, which is over at once
