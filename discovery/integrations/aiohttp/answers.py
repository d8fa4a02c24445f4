"""What an answer says of its backend, and whether another one should be asked instead.

Only its status and headers count here: they are what a request waits for. A backend is at work until the body ends.
"""

from functools import partial

import aiohttp

from ...attempts import Unwanted
from ...lease import Lease
from ...pool import Pool
from ...retrying import RetryPolicy
from .. import http

DOUBTFUL = 400
"""No status below says anything against a backend, nor asks for another attempt."""


def take(response: aiohttp.ClientResponse, lease: Lease, pool: Pool) -> None:
    """Judge the backend by the headers, and hold the lease until the body has been read or let go."""
    if response.status >= DOUBTFUL:
        http.judge_backend(lease, response.status, response.headers)
    pool.answered(lease)
    connection = response.connection
    if connection is None:  # the body came with the headers
        lease.release()
    else:
        connection.add_callback(partial(let_go, lease, response))


def let_go(lease: Lease, response: aiohttp.ClientResponse) -> None:
    """The response is over: it was read or closed, or its body broke off or stood still, the backend's failures."""
    error = response.content.exception()
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerTimeoutError):
        lease.fail(error)
    lease.release()


def unwanted(response: aiohttp.ClientResponse, policy: RetryPolicy) -> Unwanted | None:
    """The answer as one that asks for another attempt; None for one that is to be taken as it is."""
    if response.status < DOUBTFUL:
        return None
    return http.unwanted(response, response.status, response.headers, policy.statuses)
