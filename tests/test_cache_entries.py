"""Entries of the cache are complete and undamaged, or made again."""

from __future__ import annotations

import json
import logging
import os
import shutil

import pytest

from bglab import cache_entries
from bglab.cache_entries import CacheEntry, remove_entry
from bglab.errors import BadInput, Unreadable
from bglab.sealed import seal

CONTENT = {"a.raw": bytes(range(256)) * 40, "index.json": b'{"rows": []}'}


@pytest.fixture
def entry(data_folder):
    entry = CacheEntry("group/name", "stamp", "things")
    shutil.rmtree(entry.folder.parent, ignore_errors=True)
    return entry


def make(entry, content=CONTENT):
    with entry.make() as folder:
        for name, data in content.items():
            (folder / name).write_bytes(data)


def leftovers(entry):
    return sorted(path.name for path in entry.folder.parent.iterdir() if path.name not in {"name", ".lock"})


def test_an_entry_is_found_once_it_is_made(entry):
    assert entry.find() is None
    make(entry)
    assert entry.find() == entry.folder
    assert {path.name: path.read_bytes() for path in entry.folder.iterdir() if path.name in CONTENT} == CONTENT
    assert CacheEntry("group/name", "another stamp", "things").find() is None
    assert leftovers(entry) == []
    remove_entry("group/name")
    assert entry.find() is None
    remove_entry("group/name")


def test_nothing_is_kept_of_an_entry_that_fails(entry):
    def fail():
        with entry.make() as folder:
            (folder / "a.raw").write_bytes(b"half")
            raise Unreadable("the disk of the images is away")

    with pytest.raises(Unreadable, match="away"):
        fail()
    assert entry.find() is None
    assert leftovers(entry) == []


DAMAGE = {
    "a flipped bit": lambda folder: flip(folder / "a.raw", 5000),
    "zeros": lambda folder: patch(folder / "a.raw", 100, bytes(4096)),
    "cut short": lambda folder: (folder / "a.raw").write_bytes(CONTENT["a.raw"][:-1]),
    "longer": lambda folder: (folder / "a.raw").write_bytes(CONTENT["a.raw"] + b"\0"),
    "a file is gone": lambda folder: (folder / "index.json").unlink(),
    "another index": lambda folder: (folder / "index.json").write_bytes(b'{"rows": [1]}'),
    "a list of another form": lambda folder: (folder / "entry.json").write_text("[]"),
    "another sealed file": lambda folder: (folder / "entry.json").write_text(json.dumps(seal({"seconds": 2.5}))),
    "a list of other files": lambda folder: (folder / "entry.json").write_text(
        json.dumps(seal({"stamp": "stamp", "files": {"a.raw": [1]}}))
    ),
    "no list": lambda folder: (folder / "entry.json").unlink(),
    "a list that is cut short": lambda folder: (folder / "entry.json").write_bytes(b'{"stamp": "sta'),
    "a list that was edited": lambda folder: edit_list(folder / "entry.json"),
}


def patch(path, place, data):
    whole = bytearray(path.read_bytes())
    whole[place : place + len(data)] = data
    path.write_bytes(bytes(whole))


def flip(path, place):
    patch(path, place, bytes([path.read_bytes()[place] ^ 16]))


def edit_list(path):
    listed = json.loads(path.read_text())
    listed["files"]["a.raw"][2] = "0" * 32
    path.write_text(json.dumps(listed))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_again(entry, damage, caplog):
    make(entry)
    os.utime(entry.folder / "a.raw", (0, 0))  # as where the time of the damage is that of the writing
    assert entry.find() == entry.folder
    DAMAGE[damage](entry.folder)
    with caplog.at_level(logging.WARNING):
        assert entry.find() is None
    assert damage == "no list" or "making things again" in caplog.text
    make(entry)
    assert (entry.find() / "a.raw").read_bytes() == CONTENT["a.raw"]
    assert leftovers(entry) == []


def test_a_copied_entry_is_read_once_and_then_trusted(entry, monkeypatch):
    make(entry)
    os.utime(entry.folder / "a.raw", (0, 0))
    read = []
    digest = cache_entries._digest
    monkeypatch.setattr(cache_entries, "_digest", lambda path: read.append(path.name) or digest(path))
    assert entry.find() == entry.folder
    assert read == ["a.raw"]
    assert entry.find() == entry.folder
    assert read == ["a.raw"]


def test_an_entry_that_another_process_finished_first_stays(entry):
    with entry.make() as folder:
        (folder / "a.raw").write_bytes(b"later")
        make(entry, {"a.raw": b"first"})
    assert (entry.find() / "a.raw").read_bytes() == b"first"
    assert leftovers(entry) == []


def test_an_entry_of_another_stamp_or_a_file_in_its_place_is_replaced(entry):
    make(entry)
    newer = CacheEntry("group/name", "newer", "things")
    make(newer, {"b.raw": b"new"})
    assert newer.find()
    assert entry.find() is None
    shutil.rmtree(entry.folder)
    entry.folder.write_bytes(b"a file")
    make(entry)
    assert entry.find()


def test_a_cache_that_cannot_be_written_to_is_named(entry, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"no folder")
    monkeypatch.setenv("BGLAB_DATA", str(file))
    with pytest.raises(BadInput, match="expected a folder to write to"):
        make(entry)
