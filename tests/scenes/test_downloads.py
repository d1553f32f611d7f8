"""Downloads from a server on loopback: resumed, checked, and a sentence for whatever goes wrong."""

from __future__ import annotations

import errno
import functools
import gzip
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest

from bglab.__main__ import main
from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData
from bglab.scenes import downloads, transfers, unpacking
from fixtures import ROOT
from fixtures.archives import answer_ranges, packed

FILES = 40
SIZE = 20_000


def files():
    rng = np.random.default_rng(0)
    return {f"bg_challenge/val/{i:02d}.jpg": rng.integers(0, 256, SIZE, np.uint8).tobytes() for i in range(FILES)}


@functools.cache
def tar(mode="w:gz"):
    return packed(files(), mode)


def rangeless(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def cut_short(handler, content):
    """Promise everything, send half, and close."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def chunk_cut_short(handler, content):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n" % len(content) + content[:9999])


def no_http(handler, content):
    handler.wfile.write(b"garbage\r\n\r\n")


def no_length(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", "abc")
    handler.end_headers()
    handler.wfile.write(content)


def not_found(handler, content):
    handler.send_error(404)


def hung_up(handler, content):
    """Close without a word."""


class Server:
    """A server on loopback whose answer can be exchanged; remembers which ranges it was asked for."""

    def __init__(self):
        self.answer, self.content, self.ranges = answer_ranges, tar(), []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.ranges.append(self.headers.get("Range"))
                self.close_connection = True
                server.answer(self, server.content)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/archive.tar.gz"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    started = Server()
    yield started
    started.http.shutdown()
    started.http.server_close()


def described(address, sha256=""):
    return downloads.Archive(
        "in9", "archive", "t", folder="bg_challenge", opens_as="x", licence="x", address=address, sha256=sha256
    )


@pytest.fixture
def data(tmp_path, monkeypatch, server):
    """Name an empty data folder, with the server's archive as the only one."""
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    describe(monkeypatch, server)
    return tmp_path


def describe(monkeypatch, server, **changes):
    monkeypatch.setattr(
        downloads, "archives", lambda: Catalogue("archive", {"in9": described(server.address, **changes)})
    )


def left(data):
    return sorted(path.relative_to(data).as_posix() for path in data.rglob(".in9*/**/*"))


def complete(data):
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in (data / "bg_challenge").rglob("*.jpg")}


# --- what works


def test_an_archive_is_downloaded_once_and_unpacked(data, server):
    assert downloads.fetch("in9") == data / "bg_challenge"
    assert complete(data) == files()
    assert sorted(path.name for path in data.iterdir()) == ["bg_challenge", "in9.content.sha256", "in9.sha256"]
    assert (data / "in9.sha256").read_text() == hashlib.sha256(tar()).hexdigest() + "\n"
    assert (data / "in9.content.sha256").read_text() == downloads.content_digest(data / "bg_challenge") + "\n"
    assert downloads.fetch("in9") == data / "bg_challenge"
    assert server.ranges == [None]


def test_what_a_run_left_at_its_very_end_is_removed_by_the_next(data, server):
    downloads.fetch("in9")
    (data / ".in9-download" / "unpacked").mkdir(parents=True)
    (data / ".in9-download" / "unpacked" / "a.txt").write_text("left")
    assert downloads.fetch("in9").is_dir()
    assert not (data / ".in9-download").exists()


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:xz"])
def test_other_compressions_unpack(data, server, mode):
    server.content = tar(mode)
    downloads.fetch("in9")
    assert complete(data) == files()


def test_an_interrupted_download_is_resumed(data, server):
    server.answer = cut_short
    with pytest.raises(MissingData, match=r"the connection closed after [\d,]+ of [\d,]+ bytes"):
        downloads.fetch("in9")
    assert left(data) == [".in9-download/download.part"]
    server.answer = answer_ranges
    downloads.fetch("in9")
    assert server.ranges == [None, f"bytes={len(tar()) // 2}-"]
    assert complete(data) == files()
    assert left(data) == []


@pytest.mark.parametrize("have", ["half", "all"])
def test_a_server_without_ranges_sends_everything_again(data, server, have):
    (data / ".in9-download").mkdir()
    (data / ".in9-download" / "download.part").write_bytes(tar()[: len(tar()) // 2] if have == "half" else tar())
    server.answer = rangeless
    downloads.fetch("in9")
    assert complete(data) == files()


def test_a_part_as_long_as_the_archive_is_downloaded_again(data, server):
    (data / ".in9-download").mkdir()
    (data / ".in9-download" / "download.part").write_bytes(bytes(len(tar())))
    downloads.fetch("in9")
    assert server.ranges == [f"bytes={len(tar())}-", None]
    assert complete(data) == files()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_what_the_next_resumes_and_nothing_else(data, server, end):
    part = data / ".in9-download" / "download.part"

    def stall(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(2 * len(content)))
        handler.end_headers()
        handler.wfile.write(content[:-5])  # a whole tar archive would need these
        handler.wfile.flush()
        for _ in range(100):
            if ended.wait(0.1):
                break

    ended = threading.Event()
    server.answer = stall
    # reads a kilobyte at a time, so that something is written while the server stalls
    code = (
        "import http.client, sys\n"
        "from bglab.scenes import downloads as d\n"
        "from bglab.catalogue import Catalogue\n"
        "read = http.client.HTTPResponse.read\n"
        "http.client.HTTPResponse.read = lambda self, size=None: read(self, 1024)\n"
        f"one = d.Archive('in9', 'archive', 't', 'bg_challenge', 'x', 'x', address={server.address!r})\n"
        "d.archives = lambda: Catalogue('archive', {'in9': one})\n"
        "d.fetch('in9')\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, env=dict(os.environ))
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > 100_000):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(end)
    run.wait()
    ended.set()
    (data / ".in9-download" / "unpacked").mkdir()  # as a run that is killed later leaves it
    (data / ".in9-download" / "unpacked" / "half.jpg").write_bytes(b"h")
    (data / ".in9-download" / "tmp1234").write_bytes(b"")
    have = part.stat().st_size
    server.answer = answer_ranges
    downloads.fetch("in9")
    assert server.ranges == [None, f"bytes={have}-"]
    assert complete(data) == files()
    assert left(data) == []


def test_a_folder_that_seems_gone_for_a_moment_is_locked_again(data, server, monkeypatch):
    seen = iter([False])
    same = os.path.samestat
    monkeypatch.setattr(os.path, "samestat", lambda *of: next(seen, True) and same(*of))
    downloads.fetch("in9")
    assert next(seen, None) is None
    assert complete(data) == files()
    assert left(data) == []


def test_the_folder_in_an_archive_is_not_taken_for_missing_if_it_cannot_be_listed(data, server, unlistable):
    unlistable(data / ".in9-download" / "unpacked")
    with pytest.raises(BadInput, match="but unpacking failed|but Permission denied"):
        downloads.fetch("in9")
    assert not (data / "bg_challenge").exists()


# --- what is not the expected archive


def test_the_published_digest_must_match(data, server, monkeypatch):
    describe(monkeypatch, server, sha256=hashlib.sha256(tar()).hexdigest())
    server.content = tar("w:bz2")
    with pytest.raises(BadInput) as caught:
        downloads.fetch("in9")
    assert str(caught.value) == (
        f"expected in9 with sha256 {hashlib.sha256(tar()).hexdigest()}, got another file from {server.address}; "
        "the download was damaged or the archive has changed. Try again"
    )
    assert left(data) == []
    server.content = tar()
    downloads.fetch("in9")
    assert not (data / "in9.sha256").exists()


def test_a_changed_download_is_refused_until_its_digest_is_accepted(data, server):
    downloads.fetch("in9").rename(data / "elsewhere")
    server.content = tar("w:bz2")
    with pytest.raises(BadInput, match="expected in9 with sha256 .*, got another file") as caught:
        downloads.fetch("in9")
    assert str(caught.value).endswith(f"Try again, or remove {data / 'in9.sha256'} to accept the new one")
    (data / "in9.sha256").unlink()
    downloads.fetch("in9")
    assert complete(data) == files()


def damaged_within():
    content = bytearray(tar())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(byte ^ 255 for byte in content[middle : middle + 200])
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(damaged_within(), id="damaged within"),
        pytest.param(tar()[:-5], id="without its checksum"),
        pytest.param(tar("w")[: 20 * (512 + 20_480)], id="cut between two members"),
        pytest.param(tar("w")[: 20 * (512 + 20_480) + 5000], id="cut within a member"),
        pytest.param(gzip.compress(tar("w")[: 20 * (512 + 20_480)]), id="cut between two members, then compressed"),
        pytest.param(b"<html>please log in</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(10_240), id="no member"),
    ],
)
def test_a_damaged_archive_is_refused_and_its_digest_forgotten(data, server, content):
    server.content, server.answer = content, rangeless
    with pytest.raises(
        BadInput, match=r"^expected a complete tar archive from .*, but unpacking failed \(.+\); "
    ) as caught:
        downloads.fetch("in9")
    assert server.address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(data.iterdir()) == []
    server.content = tar()
    downloads.fetch("in9")
    assert complete(data) == files()


def test_a_member_that_leads_out_is_refused(data, server):
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("../outside"))
        server.content = buffer.getvalue()
    with pytest.raises(BadInput, match="would be extracted to .*, which is outside the destination"):
        downloads.fetch("in9")
    assert list(data.iterdir()) == []


# --- one sentence for each way to fail


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (cut_short, "the connection closed after"),
        (chunk_cut_short, "the reply broke off or is not HTTP: IncompleteRead"),
        (no_http, "the reply broke off or is not HTTP: BadStatusLine"),
        (not_found, "HTTP status 404, Not Found"),
        (hung_up, "Remote end closed connection without response"),
    ],
)
def test_a_failed_download_names_address_cause_and_remedy(data, server, capsys, answer, cause):
    server.answer = answer
    assert main(["data", "fetch", "in9"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"bglab: could not download in9 from {server.address} ({cause}")
    assert said.endswith(
        "); run bglab data fetch in9 again to resume, or download it on a machine that is online and unpack it to "
        f"{data / 'bg_challenge'}"
    )


def test_a_length_that_is_no_number_is_ignored(data, server):
    server.answer = no_length
    downloads.fetch("in9")
    assert complete(data) == files()


def test_a_silent_server_is_given_up(data, server, monkeypatch):
    ended = threading.Event()
    server.answer = lambda handler, content: ended.wait(20)
    monkeypatch.setattr(transfers, "_TIMEOUT_S", 0.2)
    with pytest.raises(MissingData, match=r"\(timed out\)"):
        downloads.fetch("in9")
    ended.set()
    assert list(data.iterdir()) == []


def test_no_server_is_said(data, server, monkeypatch):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(MissingData, match=r"\(Connection refused\)"):
        downloads.fetch("in9")
    monkeypatch.setattr(server, "address", "http://no-such-host.invalid/a")
    with pytest.raises(MissingData, match=r"could not download in9 from http://no-such-host\.invalid/a \(.+\)"):
        downloads.fetch("in9")


class Full(io.BytesIO):
    """A file on a disk without room."""

    def write(self, _):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_and_what_came_is_kept(data, server, monkeypatch, capsys):
    path = type(data)
    real = path.open
    with monkeypatch.context() as full:
        full.setattr(
            path, "open", lambda self, *a, **k: Full() if self.name == "download.part" else real(self, *a, **k)
        )
        assert main(["data", "fetch", "in9"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"bglab: expected to write in9 under {data}, but No space left on device; free some space, or set BGLAB_DATA "
        "to a folder on another disk, and run bglab data fetch in9 again"
    )

    def no_room(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(unpacking.TarFile, "extractall", no_room)
        with pytest.raises(BadInput, match="but No space left on device; free some space"):
            downloads.fetch("in9")
    assert left(data) == [".in9-download/download"]
    downloads.fetch("in9")
    assert server.ranges == [None, None]
    assert complete(data) == files()
    assert left(data) == []
