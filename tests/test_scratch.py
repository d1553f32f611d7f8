"""Unfinished files: no two processes share one, and those of killed processes do not stay."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bglab import scratch
from bglab.errors import BadInput, Unreadable
from bglab.files import whole_file

_HOLDS = """
import sys, time
from pathlib import Path
from bglab.scratch import scratch_file, scratch_folder
with scratch_file(Path(sys.argv[1]), "a.txt") as (file, path), scratch_folder(Path(sys.argv[1]), "set") as folder:
    file.write(b"half")
    (folder / "b.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, content=b"whole"):
    with whole_file(path, what="a text", remedy="choose another folder") as file:
        file.write(content)


@pytest.fixture
def holder(tmp_path):
    """Another process that is writing a file and a folder."""
    process = subprocess.Popen([sys.executable, "-c", _HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path, holder, how):
    assert len(names(tmp_path)) == 2
    write(tmp_path / "other.txt")
    assert len(names(tmp_path)) == 3  # it lives
    holder.send_signal(how)
    holder.wait()
    assert len(names(tmp_path)) == 3
    write(tmp_path / "other.txt")
    assert names(tmp_path) == ["other.txt"]


def test_files_are_whole_or_not_there(tmp_path):
    write(tmp_path / "a.txt", b"old")
    with pytest.raises(TypeError):
        write(tmp_path / "a.txt", "no bytes")
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_writers_of_one_process_id_do_not_meet(tmp_path, monkeypatch):
    """In two containers, both processes may have the id 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with (
        whole_file(tmp_path / "a.txt", what="a", remedy="-") as one,
        whole_file(tmp_path / "a.txt", what="a", remedy="-") as other,
    ):
        one.write(b"one" * 1000)
        other.write(b"other")
    assert (tmp_path / "a.txt").read_bytes() == b"one" * 1000
    assert names(tmp_path) == ["a.txt"]


def test_a_file_is_alive_until_it_has_its_name(tmp_path, monkeypatch):
    """Another process may look for what dead ones left after the file is closed and before it is renamed."""
    rename, looked_at = Path.replace, []

    def look_and_rename(path, target):
        looked_at.append(scratch.remove_dead(tmp_path))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", look_and_rename)
    write(tmp_path / "a.txt")
    assert looked_at == [1]
    assert names(tmp_path) == ["a.txt"]
    with (tmp_path / "a.txt").open("rb") as file:
        assert scratch._lock_now(file.fileno()) is True  # nothing holds it any more


def test_names_may_be_as_long_as_the_disk_allows(tmp_path):
    for name in ("n" * 255, "ü" * 127):
        write(tmp_path / name)
    assert names(tmp_path) == sorted(["n" * 255, "ü" * 127])
    with pytest.raises(BadInput, match="choose another folder"):
        write(tmp_path / ("n" * 256))
    assert len(names(tmp_path)) == 2


def test_without_locks_only_old_files_count_as_dead(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(scratch.fcntl, "flock", no_locks)
    old, new = tmp_path / f".a.txt.{'0' * 12}.part", tmp_path / f".a.txt.{'1' * 12}.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    with scratch.locked(tmp_path):
        write(tmp_path / "a.txt")
    assert names(tmp_path) == [new.name, ".lock", "a.txt"]


def test_hidden_files_of_others_stay(tmp_path):
    for name in (".a.txt-123", ".part", "a.0123456789ab.part", ".gitignore"):
        (tmp_path / name).write_bytes(b"")
    before = names(tmp_path)
    scratch.remove_dead(tmp_path)
    assert names(tmp_path) == before


def test_a_folder_that_another_process_takes_for_dead_is_created_again(tmp_path, monkeypatch):
    """Between its creation and its lock, an empty folder looks like what a killed process left."""
    real, created = Path.mkdir, []

    def mkdir(path, *options, **more):
        real(path, *options, **more)
        created.append(path)
        if len(created) == 1:
            scratch.remove_dead(tmp_path)
            assert not path.exists()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with scratch.scratch_folder(tmp_path, "set") as folder:
        (folder / "a.txt").write_text("half")
        scratch.remove_dead(tmp_path)
        assert (folder / "a.txt").exists()
    assert len(created) == 3
    assert names(tmp_path) == []


@pytest.mark.parametrize("failing", ["rmdir", "unlink"])
def test_what_is_left_of_an_interrupted_removal_is_removed_by_the_next_one(tmp_path, monkeypatch, failing):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with scratch.scratch_folder(tmp_path, "set") as folder:
        (folder / "a.txt").write_text("half")
        with monkeypatch.context() as patched:
            patched.setattr(Path, failing, fail)
            patched.setattr(os, failing, fail)
            scratch._remove_folder(folder.parent)
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []
    scratch.remove_dead(tmp_path)


def test_a_folder_without_a_lock_is_removed_when_it_is_old(tmp_path):
    begun = tmp_path / f".set.{'a' * 12}.part"
    begun.mkdir()
    (begun / "a.txt").write_text("half")
    scratch.remove_dead(tmp_path)
    assert begun.is_dir()
    os.utime(begun, (time.time() - 48 * 3600,) * 2)
    scratch.remove_dead(tmp_path)
    assert not begun.exists()


def test_a_failure_to_read_is_none_to_write(tmp_path):
    with pytest.raises(Unreadable, match="disk"), whole_file(tmp_path / "a.txt", what="a", remedy="-"):
        raise Unreadable("the disk of the images is away")
    assert names(tmp_path) == []


def test_large_folders_are_not_searched_at_each_write(tmp_path, monkeypatch):
    """Or writing a set of many files would take a time that grows with the square of their number."""
    searched = []
    search = scratch.remove_dead
    monkeypatch.setattr(scratch, "remove_dead", lambda folder: searched.append(folder) or search(folder))
    for number in range(1000):
        write(tmp_path / f"{number}.txt")
    assert 100 < len(searched) < 500
    dead = tmp_path / f".a.txt.{'0' * 12}.part"
    dead.write_bytes(b"half")
    for _ in range(20):
        write(tmp_path / "a.txt")
    assert not dead.exists()
