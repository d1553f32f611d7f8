"""Downloads from servers and of archives that mean no good, or that changed in between."""

from __future__ import annotations

import io
import tarfile
import threading

import pytest

from bglab.errors import BadInput, MissingData
from bglab.scenes import downloads, transfers
from fixtures.archives import answer_ranges
from scenes.test_downloads import FILES, complete, data, files, left, server, tar

__all__ = ["data", "server"]  # fixtures


def send(handler, content, **headers):
    handler.send_response(200)
    for name, value in {"Content_Length": len(content), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"Content_Type": "text/html; charset=utf-8"}, "a web page came instead of the file"),
        ({"Content_Encoding": "gzip"}, "the file came in the encoding 'gzip'"),
    ],
)
def test_what_is_not_the_file_is_refused(data, server, headers, cause):
    server.answer = lambda handler, content: send(handler, content, **headers)
    with pytest.raises(MissingData, match=cause):
        downloads.fetch("in9")
    assert not (data / "bg_challenge").exists()
    server.answer = answer_ranges
    downloads.fetch("in9")
    assert complete(data) == files()


def test_a_part_of_another_version_is_replaced_and_not_continued(data, server):
    versions = []

    def tagged(handler, content):
        versions.append(handler.headers.get("If-Range"))
        tag = f'"{len(content)}"'
        if handler.headers.get("If-Range") not in {None, tag}:
            return send(handler, content, ETag=tag)
        return send(handler, content[:9000], ETag=tag, Content_Length=len(content))

    server.answer, server.content = tagged, b"old" * 9000
    with pytest.raises(MissingData):
        downloads.fetch("in9")
    server.content = tar()
    downloads.fetch("in9")
    assert versions == [None, '"27000"']
    assert complete(data) == files()
    assert left(data) == []


def test_a_server_that_trickles_is_given_up(data, server, monkeypatch):
    monkeypatch.setattr(transfers, "_SLOW_S", 0.3)
    ended = threading.Event()

    def trickle(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for byte in content[:200]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if ended.wait(0.05):
                return

    server.answer = trickle
    with pytest.raises(MissingData, match=r"\(only \d+ bytes came in 0 s\); run bglab data fetch in9 again to resume"):
        downloads.fetch("in9")
    ended.set()


def test_a_header_that_trickles_is_given_up(data, server, monkeypatch):
    monkeypatch.setattr(transfers, "_SLOW_S", 0.2)
    monkeypatch.setattr(transfers, "_TIMEOUT_S", 0.3)
    ended = threading.Event()

    def trickle(handler, _content):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 50:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if ended.wait(0.1):
                return

    server.answer = trickle
    with pytest.raises(MissingData, match=r"no whole answer within 0\.5 s"):
        downloads.fetch("in9")
    ended.set()


def archive(*members: tuple[str, int, bytes | None]) -> bytes:
    """Write a tar archive; a member is a name, its size or the size that it declares, and its content."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as made:
            for name, size, content in members:
                member = tarfile.TarInfo(name)
                member.size = size
                made.addfile(member, None if content is None else io.BytesIO(content))
                if content is None:
                    break
        return buffer.getvalue()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("bg_challenge/a.jpg", 1, b"a"), ("bg_challenge/A.jpg", 1, b"b")], "twice, as some disks compare names"),
        ([("bg_challenge/a.jpg", 1, b"a"), ("bg_challenge/a.jpg", 1, b"b")], "twice"),
        ([("/abs/a.jpg", 1, b"a"), ("../../a.jpg", 1, b"a")], "outside the destination"),
    ],
)
def test_members_that_replace_others_or_lead_out_are_refused(data, server, members, reason):
    server.content = archive(*members)
    with pytest.raises(BadInput, match=reason):
        downloads.fetch("in9")
    assert not (data / "bg_challenge").exists()
    assert left(data) == []


def test_an_archive_that_declares_more_than_the_disk_holds_is_refused_before_it_is_written(data, server):
    server.content = archive(("bg_challenge/a.jpg", 2**60, None))
    with pytest.raises(BadInput, match="No space left on device for what the archive holds; free some space"):
        downloads.fetch("in9")
    assert left(data) == [".in9-download/download"]


def test_a_file_larger_than_the_disk_is_not_begun(data, server):
    server.answer = lambda handler, content: send(handler, content, Content_Length=2**60)
    with pytest.raises(BadInput, match="No space left on device for 1,152,"):
        downloads.fetch("in9")


def test_a_folder_around_the_folder_is_left_out(data, server):
    server.content = archive(("bg_challenge/bg_challenge/val/0.jpg", 1, b"a"))
    folder = downloads.fetch("in9")
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")] == ["val/0.jpg"]


def test_two_fetches_at_once_download_once(data, server):
    asked = []
    server.answer = lambda handler, content: (asked.append(1), answer_ranges(handler, content))
    threads = [threading.Thread(target=downloads.fetch, args=("in9",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(asked) == 1
    assert len(complete(data)) == FILES


def test_a_file_in_the_place_of_the_data_is_said(data, server):
    (data / "bg_challenge").write_text("no folder")
    with pytest.raises(BadInput, match=r"expected a folder or nothing at .*bg_challenge, got a file; move it away"):
        downloads.fetch("in9")
    assert (data / "bg_challenge").read_text() == "no folder"
