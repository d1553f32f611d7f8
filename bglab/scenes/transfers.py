"""One download from an address: resumed after an interruption, and given up when too little comes."""

from __future__ import annotations

import errno
import queue
import shutil
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bglab.progress import Bar

#: Seconds that a server may be silent.
_TIMEOUT_S = 30.0
#: Least that must come in so many seconds: a server that sends a byte now and then is never silent.
_SLOW_S, _LEAST_BYTES = 60.0, 30_000
_BLOCK = 1 << 20
#: Longest description of a version that is kept, in characters.
_LONGEST_VERSION = 500


def resume(address: str, output: Path, part: Path, *, name: str) -> None:
    """Download a file, through a partial one from which an interrupted download is resumed.

    The version that the server states is kept next to the partial file, so that a part of another version is replaced
    and not continued.

    Args:
        address: URL of the file.
        output: Where to put it.
        part: Partial file, on the same disk.
        name: Name for the progress bar.

    Raises:
        OSError: If the connection fails, breaks off or is too slow, what comes is no file, or the disk has no room;
            also `HTTPException`.
    """
    note = part.with_name(f"{part.name}.version")
    start = part.stat().st_size if part.is_file() else 0
    version = note.read_text(encoding="utf-8", errors="replace").strip() if start and note.is_file() else ""
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": version} if version else {})
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - addresses come with the package
    try:
        reply = _answer(request)
    except urllib.error.HTTPError as problem:
        if problem.code != 416 or not start:
            raise
        # the range lies beyond the end: the partial file is complete, or belongs to another version of the file
        part.unlink()
        return resume(address, output, part, name=name)
    with reply:
        _check_kind(reply)
        if not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # the server ignored the range, or has another version, and sends the whole file
        tag = reply.headers.get("ETag", "")
        stated = reply.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
        if stated and stated.isprintable() and len(stated) < _LONGEST_VERSION:
            note.write_text(stated, encoding="utf-8")
        else:
            note.unlink(missing_ok=True)
        length = reply.headers.get("Content-Length", "")
        size = start + int(length) if length.isdecimal() else None
        if size is not None and size - start > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, f"No space left on device for {size - start:,} more bytes")
        _receive(reply, part, start, size, name)
    received = part.stat().st_size
    if size is not None and received != size:
        raise ConnectionError(f"the connection closed after {received:,} of {size:,} bytes")
    part.replace(output)
    note.unlink(missing_ok=True)
    return None


def cause(problem: OSError | HTTPException) -> str:
    """Name the cause of a failed download in a few words."""
    if isinstance(problem, urllib.error.HTTPError):
        return f"HTTP status {problem.code}, {problem.reason}"
    inner = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    if isinstance(inner, HTTPException) and not isinstance(inner, OSError):
        return f"the reply broke off or is not HTTP: {type(inner).__name__}"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _answer(request: urllib.request.Request) -> Any:
    """Wait for the header of the reply; a timeout of urllib begins again with every byte of it."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=_TIMEOUT_S))  # noqa: S310 - addresses of the package
        except BaseException as problem:  # noqa: BLE001 - raised again by the caller
            answers.put(problem)

    threading.Thread(target=ask, name="bglab-download", daemon=True).start()
    try:
        found = answers.get(timeout=_TIMEOUT_S + _SLOW_S)
    except queue.Empty:
        raise TimeoutError(f"no whole answer within {_TIMEOUT_S + _SLOW_S:g} s") from None
    try:
        if isinstance(found, BaseException):
            raise found
        return found
    finally:
        del found  # or the error would keep its own traceback alive, and with it the connection


def _check_kind(reply: Any) -> None:
    """Refuse a page of a network that asks for a login, and content that was compressed on the way."""
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"}:
        raise ConnectionError("a web page came instead of the file, as from a network that asks for a login")
    encoding = reply.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ConnectionError(f"the file came in the encoding {encoding[:20]!r}, which was not asked for")


def _receive(reply: Any, part: Path, start: int, size: int | None, name: str) -> None:
    """Write what comes, and give up when that is too little."""
    begun, before = time.monotonic(), 0
    with (
        part.open("ab" if start else "wb") as file,
        Bar(total=size, initial=start, unit="B", unit_scale=True, desc=name) as bar,
    ):
        received = 0
        while block := reply.read1(_BLOCK):
            file.write(block)
            bar.update(len(block))
            received += len(block)
            now = time.monotonic()
            if now - begun > _SLOW_S:
                if received - before < _LEAST_BYTES:
                    raise TimeoutError(f"only {received - before:,} bytes came in {now - begun:.0f} s")
                begun, before = now, received
