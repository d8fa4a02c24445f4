"""What a caller says of the requests inside a block: how blocks combine, how far it reaches, and when it ends."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.attempts import Rules
from discovery.caller import Options, current, options
from discovery.errors import ConfigurationError, DeadlineExceeded
from discovery.retrying import RetryPolicy, classify

from . import virtual


def said() -> tuple[bool | None, float | None, bytes | str | None]:
    now = current()
    return (None, None, None) if now is None else (now.idempotent, now.deadline, now.key)


def test_outside_of_any_block_nothing_is_said() -> None:
    assert current() is None


def test_inside_a_block_what_it_says_holds_and_afterwards_what_held_before() -> None:
    with options(idempotent=True, key=b"a"):
        assert said() == (True, None, b"a")
    assert current() is None


def test_an_inner_block_overrides_what_it_gives_and_leaves_the_rest() -> None:
    with options(idempotent=True, key="outer"):
        with options(key="inner"):
            assert said() == (True, None, "inner")
            with options(idempotent=False):
                assert said() == (False, None, "inner")
        assert said() == (True, None, "outer")


@pytest.mark.parametrize(("outer", "inner", "counts"), [(1.0, 5.0, 1.0), (5.0, 1.0, 1.0), (2.0, None, 2.0)])
def test_of_two_deadlines_the_earlier_counts(outer: float, inner: float | None, counts: float) -> None:
    async def scene() -> None:
        began = asyncio.get_running_loop().time()
        with options(deadline=outer), options(deadline=inner):
            assert said()[1] == pytest.approx(began + counts, abs=1e-6)

    virtual.run(scene())


def test_a_deadline_counts_from_when_the_block_is_entered() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        block = options(deadline=2.0)
        await asyncio.sleep(10)
        for _ in range(2):
            with block:
                assert said()[1] == pytest.approx(loop.time() + 2, abs=1e-6)
            await asyncio.sleep(5)

    virtual.run(scene())


def test_a_deadline_may_be_given_before_there_is_a_loop() -> None:
    async def left() -> float:
        now = current()
        assert now is not None
        assert now.deadline is not None
        return now.deadline - asyncio.get_running_loop().time()

    with options(deadline=60.0):
        assert 0 < asyncio.run(left()) <= 60


def test_a_block_may_be_entered_within_itself() -> None:
    block = options(key="k")
    with block:
        with block:
            assert said() == (None, None, "k")
        assert said() == (None, None, "k")
    assert current() is None


@given(st.lists(st.sampled_from(["a", "b", "out"]), max_size=20))
def test_however_blocks_are_nested_each_exit_restores_what_was_before(steps: list[str]) -> None:
    blocks: Any = {"a": options(key="a", idempotent=True), "b": options(key="b")}
    entered: list[Any] = []
    before: list[Options | None] = []
    for step in steps:
        if step != "out":
            before.append(current())
            entered.append(blocks[step])
            entered[-1].__enter__()
            assert said()[2] == step
        elif entered:
            entered.pop().__exit__(None, None, None)
            assert current() is before.pop()
    while entered:
        entered.pop().__exit__(None, None, None)
    assert current() is None


async def test_tasks_started_inside_take_it_with_them_and_others_see_nothing_of_it() -> None:
    block, inside = options(key="mine"), asyncio.Event()

    async def within() -> None:
        with block:
            await inside.wait()
            assert said()[2] == "mine"
            await asyncio.create_task(child())
        assert current() is None

    async def child() -> None:
        assert said()[2] == "mine"

    tasks = [asyncio.create_task(within()) for _ in range(3)]
    await asyncio.sleep(0)
    assert current() is None
    inside.set()
    await asyncio.gather(*tasks)


def test_an_error_leaves_the_block_and_ends_what_it_said() -> None:
    with pytest.raises(KeyError), options(key="k"):
        raise KeyError
    assert current() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline": 0},
        {"deadline": -1.0},
        {"deadline": math.nan},
        {"deadline": math.inf},
        {"deadline": "2"},
        {"deadline": True},
        {"idempotent": 1},
        {"idempotent": "yes"},
        {"key": 7},
        {"key": bytearray(b"k")},
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    ((name, _),) = wrong.items()
    with pytest.raises(ConfigurationError, match=f"^{name}"):
        options(**wrong)


# What becomes of a deadline


def rules(deadline: float | None = None) -> Rules:
    return Rules(
        policy=RetryPolicy(deadline=deadline, per_try_timeout=3.0),
        judge=classify,
        rng=None,  # type: ignore[arg-type]
        emit=lambda _: None,
        clock=asyncio.get_running_loop().time,
        name="test://web",
    )


@pytest.mark.parametrize(
    ("policy", "block", "counts"),
    [(None, None, None), (2.0, None, 2.0), (None, 2.0, 2.0), (1.0, 2.0, 1.0), (2.0, 1.0, 1.0)],
)
def test_a_call_ends_at_the_earlier_of_its_policys_deadline_and_the_callers(
    policy: float | None, block: float | None, counts: float | None
) -> None:
    async def scene() -> None:
        began = asyncio.get_running_loop().time()
        with options(deadline=block):
            end = rules(policy).end()
        assert end == (None if counts is None else pytest.approx(began + counts, abs=1e-6))

    virtual.run(scene())


def test_a_call_whose_time_is_over_is_not_begun() -> None:
    async def scene() -> None:
        with options(deadline=1.0):
            await asyncio.sleep(1.0)
            with pytest.raises(DeadlineExceeded, match="test://web: no time was left"):
                rules().end()

    virtual.run(scene())


@pytest.mark.parametrize(("left", "limit"), [(None, 3.0), (1.0, 1.0), (10.0, 3.0)])
def test_an_attempt_ends_with_its_own_limit_or_with_the_call(left: float | None, limit: float) -> None:
    async def scene() -> None:
        now = asyncio.get_running_loop().time()
        by = rules().limit(None if left is None else now + left)
        assert by == pytest.approx(now + limit, abs=1e-6)

    virtual.run(scene())
