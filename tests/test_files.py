"""Where data lives with and without a checkout, and copies that never overwrite what a person has changed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bglab import files
from bglab.errors import BadInput, Unreadable
from fixtures import ROOT


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Stand in for a package without a checkout, and name its user's cache folder."""
    monkeypatch.delenv("BGLAB_DATA")
    monkeypatch.setattr(files, "checkout", lambda: None)
    monkeypatch.setattr(files.platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / "cache" / name)
    return tmp_path / "cache" / "bglab"


def test_data_lives_in_the_checkout_unless_named_otherwise(monkeypatch, tmp_path):
    assert files.data_root() != ROOT / "data"
    monkeypatch.delenv("BGLAB_DATA")
    assert files.data_root() == ROOT / "data"
    monkeypatch.setenv("BGLAB_DATA", "~/elsewhere")
    assert files.data_root() == Path("~/elsewhere").expanduser()


def test_data_of_an_installed_package_lives_in_the_users_cache(installed):
    assert files.data_root() == installed


@pytest.mark.parametrize(
    ("project", "is_checkout"),
    [('[project]\nname = "bglab"\n', True), ('[project]\nname = "other"\n', False), ("[", False), (None, False)],
)
def test_a_checkout_is_known_by_its_project_file(tmp_path, monkeypatch, project, is_checkout):
    (tmp_path / "data").mkdir()
    if project:
        (tmp_path / "pyproject.toml").write_text(project)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "bglab" / "files.py"))
    assert files.checkout.__wrapped__() == (tmp_path if is_checkout else None)


def test_trained_results_of_a_checkout_are_its_own():
    assert files.trained_results() == ROOT / "data" / "results" / "trained"
    assert list(files.trained_results().glob("*/*.parquet"))


def test_trained_results_of_an_installed_package_are_copies(installed, tmp_path, monkeypatch):
    package = tmp_path / "bglab"
    shipped = package / "papers" / "trained_results" / "study"
    shipped.mkdir(parents=True)
    (shipped / "a.parquet").write_bytes(b"a")
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    assert files.trained_results() == installed / "results" / "trained"
    assert (installed / "results" / "trained" / "study" / "a.parquet").read_bytes() == b"a"
    assert [path.name for path in shipped.iterdir()] == ["a.parquet"]


@pytest.fixture
def folders(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "folder"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("a1")
    (source / "sub" / "b.txt").write_text("b1")
    (source / "c.other").write_text("c1")
    return source, folder


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.txt")}


def test_copies_follow_the_source_until_they_are_changed(folders):
    source, folder = folders
    assert files.update_copies(source, folder, "**/*.txt") == []
    assert texts(folder) == {"a.txt": "a1", "sub/b.txt": "b1"}
    (source / "a.txt").write_text("a2")  # a new version of the package
    assert files.update_copies(source, folder, "**/*.txt") == []
    assert texts(folder) == {"a.txt": "a2", "sub/b.txt": "b1"}
    (folder / "a.txt").write_text("mine")
    (source / "a.txt").write_text("a3")
    (folder / "sub" / "b.txt").unlink()
    for _ in range(2):
        assert files.update_copies(source, folder, "**/*.txt") == ["a.txt"]
        assert texts(folder) == {"a.txt": "mine", "sub/b.txt": "b1"}
    (folder / "a.txt").write_text("a3")  # what a person sets right by hand is a copy again
    assert files.update_copies(source, folder, "**/*.txt") == []
    (source / "a.txt").write_text("a4")
    assert files.update_copies(source, folder, "**/*.txt") == []
    assert texts(folder)["a.txt"] == "a4"


@pytest.mark.parametrize("record", [None, "{", "[]", '{"a.txt": "0"}'])
def test_files_of_unknown_origin_are_left_alone(folders, record):
    source, folder = folders
    folder.mkdir()
    (folder / "a.txt").write_text("mine")
    if record:
        (folder / ".bglab-copied.json").write_text(record)
    assert files.update_copies(source, folder, "*.txt") == ["a.txt"]
    assert texts(folder) == {"a.txt": "mine"}


def test_the_source_itself_is_left_alone(folders):
    source, _ = folders
    before = sorted(source.rglob("*"))
    assert files.update_copies(source, source / "sub" / "..", "**/*.txt") == []
    assert sorted(source.rglob("*")) == before


def test_nothing_is_written_when_nothing_has_changed(folders):
    source, folder = folders
    files.update_copies(source, folder, "*.txt")
    assert set(json.loads((folder / ".bglab-copied.json").read_text())) == {"a.txt"}
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert files.update_copies(source, folder, "*.txt") == []
    folder.chmod(stat.S_IRWXU)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_said(folders):
    source, folder = folders
    folder.write_text("a file")
    with pytest.raises(BadInput, match="; choose another folder, or set BGLAB_DATA$"):
        files.update_copies(source, folder, "*.txt")
    folder.unlink()
    (folder / "a.txt").mkdir(parents=True)
    with pytest.raises(BadInput, match="expected to read .*a.txt, but .*directory; choose another folder"):
        files.update_copies(source, folder, "*.txt")


def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path, unlistable):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.txt").write_text("")
    assert len(files.files_below(tmp_path)) == 1
    unlistable(tmp_path / "a" / "b")
    assert files.files_below(tmp_path, deepest=2) == []
    with pytest.raises(Unreadable, match="a/b, but Permission denied"):
        files.files_below(tmp_path)


def test_links_are_followed_to_a_depth_only_and_listed_if_they_lead_nowhere(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("")
    (tmp_path / "b").symlink_to(tmp_path)
    (tmp_path / "c.txt").symlink_to(tmp_path / "nowhere")
    names = [path.relative_to(tmp_path).as_posix() for path in files.files_below(tmp_path, deepest=2)]
    assert names == ["a/1.txt", "b/c.txt", "c.txt"]
    assert [path.name for path in files.files_below(tmp_path)] == ["1.txt", "c.txt"]
    assert files.files_below(tmp_path / "missing") == []
