"""Places: which text is a path and which a URL, and a folder of a store, which does what one of a disk does."""

from __future__ import annotations

import errno
import hashlib
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest

from bglab import scratch
from bglab.errors import BadInput, MissingData, Unreadable, is_machine_failure
from bglab.files import files_below, sha256_of, whole_file, writable_file, writable_folder, write_text
from bglab.locations import StorePath, move, place_of
from fixtures import ROOT
from fixtures.stores import Bucket, ShakyStore, empty_stores, fail_at, restore, stored

URL = "shaky://lab/results"


@pytest.fixture(autouse=True)
def stores():
    with empty_stores():
        yield


@pytest.fixture
def bucket(monkeypatch):
    """Put the stand-in for a bucket in the place of the driver of S3."""
    monkeypatch.setitem(import_module("fsspec.registry")._registry, "s3", Bucket)


@pytest.fixture(params=["memory://lab/results", URL, "s3://bucket/results", "s3://bucket", "disk"])
def folder(request, tmp_path, bucket):
    """Return a folder of a store or of a disk, which does not exist yet."""
    return place_of(tmp_path / "results" if request.param == "disk" else request.param)


def write(path, content=b"whole", **options):
    with whole_file(path, what="a text", remedy="choose another folder", **options) as file:
        file.write(content)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("R", "R"),
        ("a b/c", "a b/c"),
        ("file:best.pt", "file:best.pt"),
        ("hf:https://hub/x", "hf:https:/hub/x"),
        ("C://x", "C:/x"),
        ("file:///data/R", "/data/R"),
    ],
)
def test_what_is_no_url_of_a_store_is_a_path(text, path):
    found = place_of(text)
    assert isinstance(found, Path)
    assert found == Path(path)


def test_a_path_stays_as_it_is(tmp_path):
    assert place_of(tmp_path) is tmp_path
    store = place_of(URL)
    assert place_of(store) is store


def test_a_url_that_was_made_a_path_is_no_folder_of_this_machine(tmp_path, monkeypatch):
    with pytest.raises(BadInput) as error:
        place_of(Path("s3://bucket/lab"))
    assert str(error.value) == (
        "expected a URL as text, got PosixPath('s3:/bucket/lab'), which has lost a slash; leave out Path(…)"
    )
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert place_of(Path("s3:/bucket")) == Path("s3:/bucket")


def test_a_place_in_a_store_has_the_names_of_its_url():
    place = place_of("shaky://lab/results/") / "predictions" / "a-b.parquet"
    assert (str(place), place.name, place.stem, place.suffix) == (
        "shaky://lab/results/predictions/a-b.parquet", "a-b.parquet", "a-b", ".parquet",
    )  # fmt: skip
    assert place.parts == ("shaky:", "lab", "results", "predictions", "a-b.parquet")
    assert place.parent == place_of(URL) / "predictions"
    assert place.parent.parent.parent.parent == place_of("shaky://")
    assert str(place_of("shaky://") / "x") == "shaky://x"
    assert place.relative_to(place_of(URL)).as_posix() == "predictions/a-b.parquet"
    assert len({place, place_of(URL) / "predictions/a-b.parquet"}) == 1


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        ("nowhere://x", BadInput, "expected a folder, or the URL of a store such as s3://bucket/lab, got nowhere://x, "
         "and fsspec knows no nowhere://; check how it begins"),
        ("oss://bucket/x", MissingData, "expected the driver of oss:// to be installed, to reach oss://bucket/x; "
         "pip install ossfs"),
        ("sftp://me:secret@host/x", BadInput, "expected a URL of sftp:// without a password, got one; put it into "
         "fsspec's configuration, which is read from ~/.config/fsspec"),
        ("memory://lab/*", BadInput, "expected the URL of one folder, got memory://lab/*; leave out chains (::) and "
         "the signs * ? ["),
        ("simplecache::memory://lab", BadInput, "expected the URL of one folder, got simplecache::memory://lab; leave "
         "out chains (::) and the signs * ? ["),
    ],
)  # fmt: skip
def test_a_url_that_leads_nowhere_is_said_in_one_sentence(url, kind, says):
    with pytest.raises(kind) as error:
        place_of(url)
    assert str(error.value) == says


def test_the_driver_of_s3_is_named_where_it_is_missing(monkeypatch):
    def absent(_scheme):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(import_module("fsspec.registry"), "get_filesystem_class", absent)
    with pytest.raises(MissingData, match=r"driver of s3:// to be installed, to reach s3://b/x; pip install s3fs"):
        place_of("s3://b/x")


def test_files_are_written_and_found_alike(folder):
    assert not folder.exists()
    assert files_below(folder) == []
    assert writable_folder(folder) == folder
    names = ["a-b/1.txt", "a/2.txt", "a/c/3.txt", "4.txt", "a/.hidden"]
    for name in names:
        write(folder / name, name.encode())
    assert [f.parts[len(folder.parts) :] for f in files_below(folder)] == [
        ("4.txt",), ("a", "2.txt"), ("a", "c", "3.txt"), ("a-b", "1.txt"),
    ]  # fmt: skip
    assert [f.name for f in files_below(folder, deepest=2)] == ["4.txt", "2.txt", "1.txt"]
    assert [f.name for f in files_below(folder, deepest=1)] == ["4.txt"]
    assert (folder / "a").is_dir()
    assert not (folder / "a").is_file()
    assert (folder / "4.txt").is_file()
    assert not (folder / "4.txt" / "5.txt").exists()
    assert (folder / "a" / "2.txt").read_bytes() == b"a/2.txt"
    assert sha256_of(folder / "4.txt") == hashlib.sha256(b"4.txt").hexdigest()
    assert sorted(p.name for p in (folder / "a").glob("*.txt")) == ["2.txt"]
    assert list((folder / "none").glob("*")) == []
    with pytest.raises(FileNotFoundError):
        (folder / "none").read_bytes()


def test_a_file_or_folder_is_moved_with_all_that_is_in_it(folder):
    for name in ("a/1.txt", "a/b/2.txt", "3.txt"):
        write(folder / name, name.encode())
    move(folder / "a", folder / "c")
    move(folder / "3.txt", folder / "4.txt")
    assert [f.parts[len(folder.parts) :] for f in files_below(folder)] == [
        ("4.txt",),
        ("c", "1.txt"),
        ("c", "b", "2.txt"),
    ]
    assert (folder / "c" / "b" / "2.txt").read_bytes() == b"a/b/2.txt"
    with pytest.raises(FileNotFoundError):
        move(folder / "a", folder / "d")


def test_a_store_that_can_rename_is_asked_to(monkeypatch):
    folder = place_of(URL)
    write(folder / "a.txt")
    moved = []

    def rename(store, path, target, **_options):
        moved.append((path, target))
        store.store[target] = store.store.pop(path)

    monkeypatch.setattr(ShakyStore, "mv", rename)
    monkeypatch.setattr(ShakyStore, "cp_file", None)
    move(folder / "a.txt", folder / "b.txt")
    write(folder / "c.txt")
    assert moved[0] == ("/lab/results/a.txt", "/lab/results/b.txt")
    assert moved[1][1] == "/lab/results/c.txt"
    assert set(stored(URL)) == {"b.txt", "c.txt"}


def test_a_folder_is_removed_with_all_that_is_in_it(folder):
    write(folder / "a" / "b" / "1.txt")
    scratch.remove_folder(folder / "a")
    assert not (folder / "a").exists()
    scratch.remove_folder(folder / "a")


def test_a_bucket_that_does_not_exist_is_said(bucket):
    with pytest.raises(BadInput, match="expected a folder to write to at s3://bukcet/lab, but No such file or directo"):
        writable_folder("s3://bukcet/lab")


def test_text_is_written_to_a_url(folder):
    assert writable_file(str(folder / "t.json")) == folder / "t.json"
    assert not (folder / "t.json").exists()
    write_text(str(folder / "t.json"), "é", what="numbers")
    assert (folder / "t.json").read_text(encoding="utf-8") == "é"
    with pytest.raises(BadInput, match="is a folder; name a file in it"):
        writable_file(folder)


def test_an_interrupted_writer_leaves_the_old_file_and_nothing_else(folder):
    write(folder / "a.txt", b"old")

    def interrupted():
        with whole_file(folder / "a.txt", what="a text", remedy="choose another folder") as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in folder.iterdir()] == ["a.txt"]
    assert (folder / "a.txt").read_bytes() == b"old"


def test_half_a_file_never_gets_its_final_name():
    path = place_of(URL) / "a.txt"
    failed = {}
    for number in range(1, 12):
        write(path, b"old")
        fail_at(number)
        try:
            write(path, b"new and longer")
        except Unreadable as problem:
            failed[number] = str(problem)
        restore()
        # the last request removes the unfinished file, when the new one is there already
        assert path.read_bytes() == (b"old" if number in failed and number < 6 else b"new and longer")
        assert [f.name for f in files_below(place_of(URL))] == ["a.txt"]
        write(path, b"new and longer")
        assert path.read_bytes() == b"new and longer"
    # only the second request, for what dead runs left, may fail
    assert list(failed) == [1, 3, 4, 5, 6]
    for said in failed.values():
        assert re.fullmatch(
            r"expected to reach shaky://lab/results\S*, but the connection was reset; what is finished is kept: check "
            "the connection and the credentials, and run again",
            said,
        )


def test_the_fault_is_in_the_middle_of_a_file(monkeypatch):
    """What the test above is worth: the store does hold a half, under an unfinished name."""
    path = place_of(URL) / "a.txt"
    monkeypatch.setattr(scratch, "_unlink", lambda _path: None)
    halves = []
    for number in range(1, 12):
        fail_at(number)
        try:
            write(path, b"new and longer")
        except Unreadable:
            halves += [name for name, content in stored(URL).items() if content == b"new and"]
        restore()
    assert halves
    assert all(name.startswith(".a.txt.") and name.endswith(".part") for name in halves)


def test_only_what_is_a_day_old_counts_as_left_by_a_dead_run():
    folder = place_of(URL)
    write(folder / "a.txt")
    for name, hours in ((".b.txt.0123456789ab.part", 25), (".c.txt.0123456789ab.part", 23), (".d.txt", 25)):
        ShakyStore().pipe_file(f"/lab/results/{name}", b"half")
        ShakyStore.store[f"/lab/results/{name}"].created = datetime.now(UTC) - timedelta(hours=hours)
    assert [f.name for f in files_below(folder)] == ["a.txt"]
    scratch._WRITES_LEFT.clear()
    write(folder / "a.txt")
    assert set(stored(URL)) == {"a.txt", ".c.txt.0123456789ab.part", ".d.txt"}


def test_a_store_that_is_away_is_neither_empty_nor_damaged():
    folder = place_of(URL)
    write(folder / "a.txt")
    fail_at(1, 1000)
    for ask in (folder.exists, folder.is_dir, (folder / "a.txt").is_file, (folder / "a.txt").read_bytes, folder.files):
        with pytest.raises(Unreadable, match="but the connection was reset") as error:
            ask()
        assert is_machine_failure(error.value)
    for refuse in (writable_folder, files_below, lambda place: list(place.glob("*"))):
        with pytest.raises(Unreadable, match="expected to reach shaky://lab/results"):
            refuse(folder)


def test_what_a_driver_says_about_a_file_is_what_a_disk_says(monkeypatch):
    place = place_of(URL) / "a.txt"

    def barred(_store, _path, **_options):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(ShakyStore, "cat_file", barred)
    with pytest.raises(PermissionError) as error:
        place.read_bytes()
    assert (error.value.errno, error.value.strerror, error.value.filename) == (
        errno.EACCES,
        "Access Denied",
        str(place),
    )
    monkeypatch.setattr(ShakyStore, "_open", barred)
    with pytest.raises(BadInput) as refused:
        writable_folder(URL)
    assert str(refused.value).startswith("expected a folder to write to at shaky://lab/results, but Access Denied; ")
    monkeypatch.setattr(ShakyStore, "info", barred)
    with pytest.raises(Unreadable, match="but Access Denied"):
        place.exists()


def test_errors_of_any_library_are_one_sentence(monkeypatch):
    class NoCredentials(Exception):
        """As botocore raises it, which is no error of the operating system."""

    def unknown(_store, _path, **_options):
        raise NoCredentials("Unable to locate credentials")

    monkeypatch.setattr(ShakyStore, "ls", unknown)
    with pytest.raises(Unreadable, match="expected to reach shaky://lab/results, but Unable to locate credentials; "):
        files_below(place_of(URL))


def test_a_store_that_only_reads_is_refused_before_the_work(monkeypatch):
    def never(_store, *_paths, **_options):
        raise NotImplementedError

    monkeypatch.setattr(ShakyStore, "_open", never)
    with pytest.raises(BadInput, match="expected a folder to write to at shaky://lab/results, but Permission denied; "):
        writable_folder(URL)


def test_buckets_are_not_created(monkeypatch):
    """A bucket whose name is mistyped would otherwise be made, and paid for."""
    from upath.implementations.cloud import S3Path

    monkeypatch.setattr(S3Path, "fs", None)  # nothing can be asked for
    StorePath("s3://bucket/x", S3Path("s3://bucket/x")).mkdir()


@pytest.mark.slow
def test_a_run_on_this_machine_imports_no_driver(tmp_path):
    code = (
        "import sys\nfrom bglab.__main__ import main\n"
        "run = ['--results', sys.argv[1]]\n"
        "scenes = ['--scenes', 'synthetic9?n=9&size=64', '--size', '64']\n"
        "model = 'lite:efficientnet_lite0'\n"
        "assert main(['predict', *scenes, '--models', model, '--variants', 'original', *run]) == 0\n"
        "assert main(['search', *scenes, '--model', model, *run]) == 0\n"
        "assert main(['accuracy', *run]) == 0\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('fsspec', 'upath')], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    run = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.splitlines()[-1] == "[]"


def test_a_path_imports_no_driver(tmp_path):
    code = (
        "import sys\nfrom bglab.files import writable_folder, write_text\n"
        "from bglab.results import read_predictions\n"
        "folder = writable_folder(sys.argv[1])\nwrite_text(f'{folder}/a.txt', 'a', what='text')\n"
        "sys.exit(any(name.split('.')[0] in ('fsspec', 'upath') for name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=ROOT, capture_output=True)
    assert run.returncode == 0, run.stderr
