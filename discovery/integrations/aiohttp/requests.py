"""What a request of aiohttp allows, and how it is made ready for one more attempt.

Whoever changes a request that is not his own puts it back: other middlewares, and aiohttp itself, go on with it.
"""

import copy

import aiohttp
from aiohttp.helpers import TimerNoop
from aiohttp.payload import BytesPayload


def is_in_memory(request: aiohttp.ClientRequest) -> bool:
    """Whether the body, if there is one, can be sent by two at a time."""
    return not request.body or isinstance(request.body, BytesPayload)


def is_used_up(request: aiohttp.ClientRequest) -> bool:
    """Whether there is a body that could be read only once, and was."""
    return bool(getattr(request.body, "consumed", False))


def copied(request: aiohttp.ClientRequest) -> aiohttp.ClientRequest:
    """A request of its own for a copy that goes out beside others; it has not been sent, nor has the given one.

    It shares what nobody changes. The timer of the total time stays with the task that it is to cancel: the others end
    with that one.
    """
    made = copy.copy(request)
    made._timer = TimerNoop()  # noqa: SLF001 - a test holds aiohttp to it
    return made


async def renew(request: aiohttp.ClientRequest) -> None:
    """Make a request ready to be sent, after it was or not."""
    if request.body:
        await request.close()  # the body's writer must have let go before it is sent again
    request.response = None
    request.update_expect_continue()  # the last attempt's future is over
