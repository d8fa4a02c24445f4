"""A file is replaced whole or not at all, and belongs to whom it belonged."""

import errno
import os
import stat
from pathlib import Path

import pytest

from discovery import ConfigurationError
from discovery.rendering import RenderError
from discovery.rendering.writing import Place

ROOT = os.geteuid() == 0


def write(place: Place, data: bytes, *, owe: bool = False) -> None:
    place.stage(data)
    place.put(owe=owe)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_can_be_read_by_all_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    before = os.umask(0o077)
    try:
        write(Place(path), b"one")
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path)) == (b"one", 0o644)


def test_another_one_has_the_mode_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    path.write_text("zero")
    path.chmod(0o640)
    write(Place(path), b"one")
    assert (path.read_bytes(), mode(path)) == (b"one", 0o640)


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_another_one_has_the_owner_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    path.write_text("zero")
    os.chown(path, 4321, 1234)
    write(Place(path), b"one")
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 1234)


def test_a_file_whose_owner_cannot_be_kept_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web.cfg"
    path.write_text("zero")

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    place = Place(path)
    with pytest.raises(RenderError, match=r"web\.cfg' cannot be kept: Operation not permitted\. .*owners") as raised:
        place.stage(b"one")
    place.discard()
    assert raised.value.stage == "write"
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("web.cfg", "zero")]


def test_a_reader_has_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    path.write_bytes(b"zero")
    place = Place(path)
    with path.open("rb") as old:
        staged = place.stage(b"one")
        assert (path.read_bytes(), staged.read_bytes()) == (b"zero", b"one")
        place.put(owe=False)
        assert (path.read_bytes(), old.read()) == (b"one", b"zero")
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_staged_is_not_found_by_those_who_read_a_whole_directory(tmp_path: Path) -> None:
    staged = Place(tmp_path / "web.cfg").stage(b"one")
    assert staged.parent == tmp_path, "another file system has no atomic rename"
    assert staged.name.startswith(".")
    assert list(tmp_path.glob("[!.]*")) == list(tmp_path.glob("*.cfg")) == []


def test_what_is_discarded_or_staged_anew_is_gone(tmp_path: Path) -> None:
    place = Place(tmp_path / "web.cfg")
    first = place.stage(b"one")
    second = place.stage(b"two")
    assert not first.exists()
    place.discard()
    place.discard()
    assert not second.exists()
    assert list(tmp_path.iterdir()) == []


def test_it_knows_what_it_holds(tmp_path: Path) -> None:
    place = Place(tmp_path / "web.cfg")
    assert (place.exists, place.holds(b"")) == (False, False)
    write(place, b"one")
    assert (place.exists, place.holds(b"one"), place.holds(b"two")) == (True, True, False)


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    (there / "web.cfg").write_text("zero")
    (here / "web.cfg").symlink_to(there / "web.cfg")
    write(Place(here / "web.cfg"), b"one")
    assert (here / "web.cfg").is_symlink()
    assert (there / "web.cfg").read_text() == "one"
    assert list(there.iterdir()) == [there / "web.cfg"]


def test_what_its_reader_is_owed_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "web.cfg"
    write(Place(path), b"one", owe=False)
    assert not Place(path).owes
    write(Place(path), b"two", owe=True)
    after = Place(path)
    assert after.owes
    after.settle()
    after.settle()
    assert (after.owes, Place(path).owes) == (False, False)
    assert list(tmp_path.iterdir()) == [path]


def test_where_no_file_can_be_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no directory .*nowhere"):
        Place(tmp_path / "nowhere" / "web.cfg")
    with pytest.raises(ConfigurationError, match="is no regular file"):
        Place(tmp_path)
    with pytest.raises(ConfigurationError, match="is no regular file"):
        Place("/dev/null")


def test_a_directory_that_is_gone_is_an_error_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    place = Place(tmp_path / "there" / "web.cfg")
    (tmp_path / "there").rmdir()
    with pytest.raises(RenderError, match="No such file or directory"):
        place.stage(b"one")
    place.discard()
