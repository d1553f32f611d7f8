"""Files of results: written whole or not at all, and checked before the work that fills them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bglab import files
from bglab.errors import BadInput
from bglab.figures import save
from bglab.files import writable_file, write_text


def full_disk(monkeypatch):
    """Let every file fail when it is flushed, as on a full disk."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "scratch_file", fail)


def test_a_folder_is_created_and_a_file_that_is_there_stays(tmp_path):
    old = tmp_path / "old.csv"
    old.write_text("earlier numbers")
    assert writable_file(old) == old
    assert old.read_text() == "earlier numbers"
    writable_file(tmp_path / "new" / "folder" / "a.csv")
    assert (tmp_path / "new" / "folder").is_dir()
    assert not list((tmp_path / "new" / "folder").iterdir())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is a folder"),
        ("x" * 300, "File name too long"),
        ("a\0b.csv", "null byte"),
        ("file/a.csv", "Not a directory|File exists"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path, name, reason):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match=reason):
        writable_file(f"{tmp_path}/{name}")


def test_an_earlier_file_survives_a_full_disk(tmp_path, monkeypatch):
    names = ("a.csv", "a.png", "a.pdf", "a.svg")
    for name in names:
        (tmp_path / name).write_text("earlier")
    full_disk(monkeypatch)
    with pytest.raises(BadInput, match=r"expected to write a table to .*a\.csv, but No space left"):
        write_text(tmp_path / "a.csv", "new", what="a table")
    figure = plt.figure()
    for name in names[1:]:
        with pytest.raises(BadInput, match="expected to write the figure to .*, but No space left"):
            save(figure, tmp_path / name)
    plt.close(figure)
    assert {(tmp_path / name).read_text() for name in names} == {"earlier"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_written_to_rather_than_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(writable_file(pipe), "numbers", what="a table")
    reader.join(10)
    assert read == ["numbers"]
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices in the file system")
def test_what_the_system_has_opened_is_never_replaced():
    special = ["/dev/stdout", "/dev/null", "/dev/fd/1", "/proc/self/fd/1"]
    assert all(files._is_special(Path(path)) for path in special if Path(path).exists())
    assert not files._is_special(Path("/dev/shm"))
    assert not files._is_special(Path(__file__))
