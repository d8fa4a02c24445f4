"""The file is as the pool is, its reader knows, and neither is bothered for nothing."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from discovery import ConfigurationError, Discovery, Event, NotReady, Pool
from discovery.rendering import Renderer, RenderError, Template, renderer

from .. import virtual
from ..sources import Source, backend
from ..until import until

LINES = Template("{% for one in backends %}\n{{ one.address }}\n{% endfor %}\n", name="lines.j2")


class Scene:
    """A pool that a test fills, a file, a log of the commands that were run, and the events."""

    def __init__(self, folder: Path, source: Source, pool: Pool) -> None:
        self.folder, self.source, self.pool = folder, source, pool
        self.path = folder / "web.cfg"
        self.log = folder / "log"
        self.events: list[Event] = []

    def renderer(self, **options: Any) -> Renderer:
        return Renderer(LINES, to=self.path, on_event=self.events.append, **options)

    def says(self, what: str) -> tuple[str, ...]:
        """A command that adds a line to the log, unless there is a file `fail`."""
        script = f"echo {what} >> {self.log}; test ! -e {self.folder / 'fail'} || {{ echo no way; exit 1; }}"
        return "sh", "-c", script, "sh", "{}"

    @contextlib.contextmanager
    def failing(self) -> Any:
        (self.folder / "fail").touch()
        yield
        (self.folder / "fail").unlink()

    @property
    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    @property
    def written(self) -> list[str] | None:
        """The addresses' last parts in the file; None where there is none."""
        return [line.rpartition(".")[2] for line in self.path.read_text().split()] if self.path.exists() else None

    @property
    def left(self) -> list[str]:
        """What lies around beside the file, the log and the switch."""
        return sorted(one.name for one in self.folder.iterdir() if one.name not in ("web.cfg", "log", "fail"))

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def fill(self, *numbers: int) -> None:
        self.source.sink.replace([backend(number) for number in numbers])


@contextlib.asynccontextmanager
async def opened(folder: Path, *numbers: int) -> AsyncIterator[Scene]:
    source = Source(*(backend(number) for number in numbers))
    async with Discovery() as disco, disco.pool(source) as pool:
        await pool.turned()
        yield Scene(folder, source, pool)


@contextlib.asynccontextmanager
async def following(rendering: Renderer, pool: Pool) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(rendering.follow(pool))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path, 1, 2) as made:
        yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is not about the pace."""
    monkeypatch.setattr(renderer, "EVERY", 0.01)
    monkeypatch.setattr(renderer, "AGAIN", 0.1)


# Once


async def test_it_is_written_once_and_its_reader_told_once(scene: Scene) -> None:
    rendering = scene.renderer(run=scene.says("run"))
    assert await rendering.write(scene.pool) is True
    assert await rendering.write(scene.pool) is False
    assert (scene.written, scene.ran, scene.left) == (["1", "2"], ["run"], [])
    (written,), (reloaded,) = scene.named("render.written"), scene.named("render.reloaded")
    assert (written.subject, written.data) == (str(scene.path), {"target": "test://source", "backends": 2})
    assert reloaded.subject == str(scene.path)


async def test_a_restart_writes_and_reloads_nothing_that_is_so_already(scene: Scene) -> None:
    await scene.renderer(run=scene.says("run")).write(scene.pool)
    before = scene.path.stat()
    assert await scene.renderer(run=scene.says("run")).write(scene.pool) is False
    assert (scene.path.stat().st_ino, scene.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert scene.ran == ["run"]


async def test_a_reload_that_failed_is_made_good_by_the_next_process(scene: Scene) -> None:
    with scene.failing(), pytest.raises(RenderError) as raised:
        await scene.renderer(run=scene.says("one")).write(scene.pool)
    assert (raised.value.stage, raised.value.output, scene.written) == ("command", "no way\n", ["1", "2"])
    assert await scene.renderer(run=scene.says("two")).write(scene.pool) is False
    assert await scene.renderer(run=scene.says("three")).write(scene.pool) is False
    assert (scene.ran, scene.left) == (["one", "two"], [])


async def test_what_a_check_refuses_is_not_put_in_place(scene: Scene) -> None:
    rendering = scene.renderer(run=scene.says("run"), check=scene.says("check"))
    with scene.failing(), pytest.raises(RenderError, match="not put in place") as raised:
        await rendering.write(scene.pool)
    assert (raised.value.stage, scene.written, scene.ran, scene.left) == ("check", None, ["check"], [])
    await rendering.write(scene.pool)
    assert (scene.written, scene.ran) == (["1", "2"], ["check", "check", "run"])


async def test_a_check_sees_the_new_file_while_the_old_one_is_in_its_place(scene: Scene) -> None:
    scene.path.write_text("old\n")
    script = f'cat "$1" {scene.path} > {scene.log}'
    await scene.renderer(check=("sh", "-c", script, "sh", "{}")).write(scene.pool)
    assert scene.log.read_text() == "10.0.0.1\n10.0.0.2\nold\n"


async def test_a_pool_that_knows_nothing_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    async with Discovery() as disco, disco.pool(Source()) as pool:
        with pytest.raises(NotReady, match="nothing is written"):
            await Renderer(LINES, to=path).write(pool)
    assert not path.exists()


async def test_where_the_source_says_that_nothing_is_there_the_file_says_so(scene: Scene) -> None:
    await scene.renderer().write(scene.pool)
    scene.fill()
    assert await scene.renderer().write(scene.pool) is True
    assert scene.written == []


async def test_the_last_backends_may_be_kept_but_what_is_owed_is_paid(scene: Scene) -> None:
    with scene.failing(), pytest.raises(RenderError):
        await scene.renderer(run=scene.says("one")).write(scene.pool)
    scene.fill()
    rendering = scene.renderer(run=scene.says("two"), keep_last=True)
    assert await rendering.write(scene.pool) is False
    assert (scene.written, scene.ran) == (["1", "2"], ["one", "two"])
    scene.fill(3)
    assert await rendering.write(scene.pool) is True
    assert scene.written == ["3"]


async def test_where_there_is_no_last_file_an_empty_one_is_written(scene: Scene) -> None:
    scene.fill()
    assert await scene.renderer(keep_last=True).write(scene.pool) is True
    assert scene.written == []


async def test_while_the_source_cannot_be_read_the_file_says_what_was_last_known(scene: Scene) -> None:
    scene.source.sink.failed(OSError("gone"))
    assert await scene.renderer().write(scene.pool) is True
    assert scene.written == ["1", "2"]


async def test_a_name_or_a_path_will_do_for_a_template(scene: Scene) -> None:
    made = Renderer("haproxy", to=scene.path)
    await made.write(scene.pool)
    assert "    server 10.0.0.1:80 10.0.0.1:80 weight 1\n" in scene.path.read_text()
    assert repr(made) == f"<Renderer haproxy.cfg.j2 to {scene.path}>"
    assert made.path == scene.path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"template": "none.j2"}, "cannot be read"),
        ({"to": "/nowhere/web.cfg"}, "no directory"),
        ({"run": "no-such-program"}, "no program"),
        ({"check": "'"}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_made(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    made: dict[str, Any] = {"template": LINES, "to": tmp_path / "web.cfg"} | options
    with pytest.raises(ConfigurationError, match=says):
        Renderer(**made)


# Following


async def test_it_follows_until_the_pool_is_closed(scene: Scene, quick: None) -> None:
    async with following(scene.renderer(run=scene.says("run")), scene.pool) as task:
        await until(lambda: scene.written == ["1", "2"])
        scene.fill(2, 3)
        await until(lambda: scene.written == ["2", "3"])
        await until(lambda: len(scene.named("render.reloaded")) == 2)
        await scene.pool.aclose()
        await asyncio.wait_for(task, 5)
    assert (scene.ran, scene.left) == (["run", "run"], [])


async def test_what_is_not_in_the_file_changes_nothing(scene: Scene, quick: None) -> None:
    async with following(scene.renderer(run=scene.says("run")), scene.pool):
        await until(lambda: scene.named("render.reloaded"))
        scene.source.sink.replace([backend(1, zone="a"), backend(2, zone="b")])
        await asyncio.sleep(0.1)
        scene.fill(1)
        await until(lambda: len(scene.named("render.reloaded")) == 2)
    assert scene.ran == ["run", "run"]


async def test_a_reload_that_fails_is_tried_again_until_it_does_not_and_is_told_once(scene: Scene, quick: None) -> None:
    async with following(scene.renderer(run=scene.says("run")), scene.pool):
        with scene.failing():
            await until(lambda: len(scene.ran) >= 3)
        await until(lambda: scene.named("render.reloaded"))
        count = len(scene.ran)
        await asyncio.sleep(0.3)
    assert len(scene.ran) == count
    (written,), (failed,) = scene.named("render.written"), scene.named("render.failed")
    assert (written.data["backends"], failed.subject) == (2, str(scene.path))
    assert failed.data["error"] == "the command 'sh' ended with 1: 'no way'. It is run again until it succeeds"
    assert (failed.data["stage"], failed.data["output"]) == ("command", "no way\n")


async def test_a_change_is_tried_at_once_after_a_failure(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "EVERY", 0.01)
    async with following(scene.renderer(run=scene.says("run"), check=scene.says("check")), scene.pool):
        with scene.failing():
            await until(lambda: scene.named("render.failed"))
        scene.fill(3)
        await until(lambda: scene.written == ["3"], timeout=3)  # well before AGAIN


async def test_each_change_that_cannot_be_written_is_told(scene: Scene, quick: None) -> None:
    async with following(scene.renderer(check=scene.says("check")), scene.pool):
        with scene.failing():
            await until(lambda: len(scene.ran) >= 3)
            scene.fill(3)
            await until(lambda: len(scene.named("render.failed")) == 2)
        await until(lambda: scene.written == ["3"])
    assert len(scene.named("render.failed")) == 2


async def test_a_disk_that_fails_is_no_end(scene: Scene, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    rendering = scene.renderer()
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        async with following(rendering, scene.pool):
            await until(lambda: scene.named("render.failed"))
            assert repr(rendering).endswith(", failing>")
            broken.undo()
            monkeypatch.setattr(renderer, "EVERY", 0.01)
            await until(lambda: scene.written == ["1", "2"], timeout=10)
    assert "No space left on device" in scene.named("render.failed")[0].data["error"]
    assert scene.left == []


async def test_a_template_that_does_not_go_with_a_backend_leaves_the_file_as_it_is(scene: Scene, quick: None) -> None:
    template = Template("{% for one in backends %}\n{{ 4 // (4 - one.priority) }}\n{% endfor %}\n", name="odd.j2")
    rendering = Renderer(template, to=scene.path, on_event=scene.events.append)
    async with following(rendering, scene.pool):
        await until(lambda: scene.path.exists())
        scene.source.sink.replace([backend(1, priority=4)])
        await until(lambda: scene.named("render.failed"))
        assert scene.path.read_text() == "1\n1\n"
        scene.fill(1)
        await until(lambda: scene.path.read_text() == "1\n")
    assert "odd.j2 line 2: ZeroDivisionError" in scene.named("render.failed")[0].data["error"]


async def test_a_pool_that_knows_nothing_yet_is_waited_for(tmp_path: Path, quick: None) -> None:
    source = Source()
    async with Discovery() as disco, disco.pool(source) as pool:
        path = tmp_path / "web.cfg"
        async with following(Renderer(LINES, to=path), pool):
            await until(lambda: source.runs)
            source.sink.failed(OSError("away"))
            await asyncio.sleep(0.05)
            assert not path.exists()
            source.sink.replace([])
            await until(path.exists)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("stage", ["check", "run"])
async def test_a_cancellation_leaves_no_command_and_no_file_half_way(scene: Scene, stage: str) -> None:
    script = f"echo $$ > {scene.log}; exec sleep 600"
    options: dict[str, Any] = {stage: ("sh", "-c", script)}
    async with following(scene.renderer(**options), scene.pool) as task:
        await until(lambda: scene.ran)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int(scene.ran[0]), 0)
    assert scene.left == ([] if stage == "check" else [".web.cfg.owed"])


async def test_a_cancellation_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    async with opened(tmp_path, *range(1, 200)) as scene:
        path.write_text("old")
        whole = "".join(f"10.0.0.{number}\n" for number in sorted(map(str, range(1, 200))))
        for steps in range(12):
            task = asyncio.create_task(scene.renderer().write(scene.pool))
            for _ in range(steps):
                await asyncio.sleep(0.0003)
            task.cancel()
            await asyncio.wait([task])
            assert scene.left == []
            assert path.read_text() in ("old", whole)


# The pace


@pytest.fixture
def threadless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time does not wait for threads."""

    async def through(work: Callable[[], Any]) -> Any:
        return work()

    monkeypatch.setattr(renderer, "_through", through)


def in_virtual_time(play: Callable[[Scene], Any], folder: Path) -> None:
    async def main() -> None:
        async with opened(folder, 1) as scene:
            await play(scene)

    virtual.run(main())


def test_the_first_change_is_written_at_once_and_those_within_a_second_together(
    threadless: None, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        clock = asyncio.get_running_loop().time
        times: list[float] = []
        rendering = Renderer(LINES, to=scene.path, on_event=lambda _: times.append(clock()))
        began = clock()
        async with following(rendering, scene.pool):
            await asyncio.sleep(0.1)
            for number in range(2, 42):  # 40 changes in 2 s
                scene.fill(*range(1, number))
                await asyncio.sleep(0.05)
            await asyncio.sleep(10)
            assert len(scene.written or []) == 40
            scene.fill(1)
            at = clock()
            await asyncio.sleep(0.5)
            assert scene.written == ["1"]
        assert times[0] - began < 0.1
        assert times[-1] - at < 0.1
        assert 3 <= len(times) - 1 <= 4
        assert all(later - sooner >= 1.0 for sooner, later in itertools.pairwise(times))

    in_virtual_time(play, tmp_path)


def test_what_failed_is_tried_again_every_five_seconds(threadless: None, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        tried: list[float] = []

        class Failing(Template):
            def render(self, *_: Any) -> str:
                tried.append(clock())
                raise RenderError("not now", stage="template")

        clock = asyncio.get_running_loop().time
        began = clock()
        rendering = Renderer(Failing(""), to=scene.path, on_event=scene.events.append)
        async with following(rendering, scene.pool):
            await asyncio.sleep(16)
        assert [round(at - began) for at in tried] == [0, 5, 10, 15]
        assert len(scene.events) == 1

    in_virtual_time(play, tmp_path)
