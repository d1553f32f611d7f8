"""The commit a result was computed at, read from git's files in every layout that git itself makes."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from bglab.results import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git makes the checkouts to read")


def git(folder, *words):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always"]
    # a hook that runs the tests names its own repository in the environment
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    run = subprocess.run(
        ["git", *identity, *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return run.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--initial-branch=main")
    git(folder, "commit", "--allow-empty", "-m", "first")
    return folder


@pytest.fixture
def commit(monkeypatch):
    """Read the commit of a folder as if the package lay in it."""

    def read(folder):
        monkeypatch.setattr(provenance, "checkout", lambda: folder)
        return provenance.commit()

    return read


def expected(folder):
    return git(folder, "rev-parse", "HEAD")[:12]


def test_a_branch_loose_and_packed(repository, commit):
    assert commit(repository) == expected(repository)
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists()
    assert commit(repository) == expected(repository)


def test_a_packed_branch_is_not_taken_for_another_with_the_same_ending(repository, commit):
    first = expected(repository)
    git(repository, "branch", "a/refs/heads/main")
    git(repository, "commit", "--allow-empty", "-m", "second")
    git(repository, "pack-refs", "--all")
    assert commit(repository) == expected(repository) != first


def test_a_detached_head(repository, commit):
    git(repository, "checkout", "--detach")
    assert commit(repository) == expected(repository)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("options", [["-b", "other"], ["--detach"]])
def test_a_worktree_has_a_commit_of_its_own(repository, tmp_path, commit, packed, options):
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", *options, str(tree))
    git(tree, "commit", "--allow-empty", "-m", "second")
    if packed:
        git(repository, "pack-refs", "--all")
    assert commit(tree) == expected(tree) != expected(repository)
    assert commit(repository) == expected(repository)


def test_a_worktree_that_names_its_folder_relatively(repository, tmp_path, commit):
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", str(tree))
    (tree / ".git").write_text("gitdir: ../repository/.git/worktrees/tree\n")
    assert commit(tree) == expected(tree)


def test_a_submodule(repository, tmp_path, commit):
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init")
    git(outer, "submodule", "add", str(repository), "inner")
    assert (outer / "inner" / ".git").is_file()
    assert commit(outer / "inner") == expected(repository)


def test_no_commit_is_no_error(tmp_path, commit):
    assert commit(None) == ""
    assert commit(tmp_path) == ""
    git(tmp_path, "init")
    assert commit(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert commit(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/a\n")
    (tmp_path / ".git" / "refs" / "heads" / "a").write_text("ref: refs/heads/a\n")
    assert commit(tmp_path) == ""


def test_this_checkout_has_one():
    root = provenance.checkout()
    assert root is not None
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    assert provenance.commit() == expected(root)
