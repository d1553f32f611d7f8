"""Fixtures that several test modules share; every test keeps its caches in a folder of its own."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import coverage
import hypothesis
import jaxtyping
import pytest

# workers beside each other share the cores; read by torch when it is imported, and by processes that tests start
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
# hypothesis gives each example 200 ms, which a busy machine does not keep
hypothesis.settings.register_profile("bglab", deadline=None)
hypothesis.settings.load_profile("bglab")

NO_TEST_DATA = "BGLAB_TEST_DATA does not name a folder with bg_challenge/ and imagenet/ in it"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import tests without garbage collection: there is nothing to free, and looking takes a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """End with how many tests were skipped because there are no real images, and with what to do about it."""
    yield  # pytest's own summary
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_TEST_DATA in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped because BGLAB_TEST_DATA is not set to a folder with bg_challenge/ (the "
            "IN-9 release's layout) and imagenet/ (ImageNet's): they read real images from it",
            yellow=True,
        )


@pytest.fixture(autouse=True, scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Send caches and downloads to a temporary folder, for the whole session."""
    folder = tmp_path_factory.mktemp("data")
    os.environ["BGLAB_DATA"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def mini() -> Path:
    """Return the folder with real images in the layouts of the IN-9 release and of ImageNet."""
    named = os.environ.get("BGLAB_TEST_DATA", "")
    if not named or not (Path(named) / "bg_challenge").is_dir():
        pytest.skip(NO_TEST_DATA)
    return Path(named)


@pytest.fixture
def unlistable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return a function that takes from a folder the permission to list it, which the superuser always has."""
    scan, barred = os.scandir, set()

    def scandir(path: str | os.PathLike[str] | int = ".") -> Iterator[os.DirEntry[str]]:
        if not isinstance(path, int) and Path(path) in barred:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return barred.add


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Switch the type checker off, so that a call with wrong types reaches our own sentence."""
    jaxtyping.config.update("jaxtyping_disable", True)  # noqa: FBT003 - their signature
    yield
    jaxtyping.config.update("jaxtyping_disable", False)  # noqa: FBT003


@pytest.fixture
def untraced() -> Iterator[None]:
    """Count no lines while a test runs that repeats what others do a hundred times: tracing takes 40 % more."""
    measured = coverage.Coverage.current()
    if measured is None:
        yield
        return
    measured.stop()
    yield
    measured.start()
