"""Debian packages: fetched with stand-ins of apt-get and dpkg-deb, unpacked, and reduced to what serves."""

from __future__ import annotations

import os
import stat

import pytest

from bglab.errors import BadInput, MissingData
from bglab.scenes import downloads


def stand_in(folder, name, script):
    """Write a program that stands in for apt-get or dpkg-deb."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return tmp_path / "bin"


def test_a_damaged_debian_package_is_said(programs, tmp_path):
    stand_in(programs, "apt-get", "echo damaged > stamps_1_all.deb")
    stand_in(programs, "dpkg-deb", "echo 'dpkg-deb: error: not a Debian format archive' >&2; exit 2")
    with pytest.raises(BadInput) as caught:
        downloads.fetch("cutouts")
    assert str(caught.value) == (
        "expected a complete Debian package tuxpaint-stamps-default, but unpacking failed (dpkg-deb: error: not a "
        "Debian format archive); run bglab data fetch cutouts again"
    )
    assert list((tmp_path / "data").iterdir()) == []


def test_a_debian_package_that_cannot_be_downloaded_is_said(programs):
    stand_in(programs, "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    stand_in(programs, "dpkg-deb", "exit 0")
    with pytest.raises(MissingData, match=r"\(E: Unable to locate package\); run apt-get update first, or go online"):
        downloads.fetch("cutouts")


def test_a_debian_package_is_unpacked(programs, tmp_path):
    stand_in(programs, "apt-get", "echo whole > stamps_1_all.deb")
    stand_in(programs, "dpkg-deb", 'mkdir -p "$3/usr/share" && cp "$2" "$3/usr/share/stamps"')
    assert downloads.fetch("cutouts") == tmp_path / "data" / "cutouts"
    assert (tmp_path / "data" / "cutouts" / "usr" / "share" / "stamps").read_text() == "whole\n"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cutouts"]


def test_only_the_folders_of_a_package_that_serve_are_kept_with_its_copyright(programs, tmp_path):
    stand_in(programs, "apt-get", "echo whole > blender-data_1_all.deb")
    world = "usr/share/blender/datafiles/studiolights/world"
    folders = f'"$3/{world}" "$3/usr/share/doc/blender-data" "$3/usr/share/blender/fonts"'
    stand_in(programs, "dpkg-deb", f'for f in {folders}; do mkdir -p "$f"; echo it > "$f/file"; done')
    kept = downloads.fetch("scenery-blender")
    assert kept == tmp_path / "data" / "scenery" / "blender-data"
    files = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert files == [f"{world}/file", "usr/share/doc/blender-data/file"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["scenery"]


def test_a_package_without_the_expected_folder_is_said(programs, tmp_path):
    stand_in(programs, "apt-get", "echo whole > blender-data_9_all.deb")
    stand_in(programs, "dpkg-deb", 'mkdir -p "$3/usr/share/doc/blender-data"')
    with pytest.raises(BadInput, match="this version of it has no such folder"):
        downloads.fetch("scenery-blender")
    assert list((tmp_path / "data").iterdir()) == []
