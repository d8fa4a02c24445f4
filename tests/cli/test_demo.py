"""`discovery demo` does what it says: a rolling restart and an unnoticed death under load, and no request fails."""

import os

from .command import Ran, run, started


async def test_the_verdict_is_that_no_request_failed() -> None:
    ran = await run("demo", "--output", "json")
    assert (ran.code, ran.err) == (0, "")
    verdict = ran.json
    assert (verdict["failures"], verdict["errors"]) == (0, [])
    assert verdict["requests"] >= 2000
    assert verdict["retried"] >= 1, "somebody met the dead backend"
    assert 0 < verdict["time_to_notice_ms"] < verdict["seconds"] * 1000
    assert 0 <= verdict["spread_percent"] <= 5


async def test_a_pipe_that_nobody_reads_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    async with started("demo", stdout=writing) as running:
        os.close(writing)
        assert await running.end() == Ran(0, "", "")
