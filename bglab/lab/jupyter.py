"""Start JupyterLab with the notebooks and the server setting that lowers the latency of widgets."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bglab.errors import BadInput, MissingData
from bglab.files import checkout, update_copies

#: Import path of the connection class, which `bglab lab` passes to the server: not every installation puts the
#: extension's configuration where Jupyter finds it. The class is in another module, so that this one needs no Jupyter.
NO_DELAY = "bglab.lab.websocket.NoDelayConnection"
_FIRST_NOTEBOOK = "00_start_here.ipynb"
_START_LIMIT_S = 60
#: Signals that ask to stop; Windows has no SIGHUP.
_STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: Exit status of a process that a signal ended, less the number of the signal.
_SIGNALLED = 128
# of Linux's prctl
_PR_SET_PDEATHSIG = 1


def notebooks_folder() -> Path:
    """Return the folder of bglab's notebooks, in the checkout or in the installed package.

    Raises:
        MissingData: If the folder has no notebooks.
    """
    folder = (checkout() or Path(__file__).resolve().parents[1]) / "notebooks"
    if not (folder / _FIRST_NOTEBOOK).is_file():
        raise MissingData(
            f"expected the notebooks in {folder}, but {_FIRST_NOTEBOOK} is not there; install bglab again"
        )
    return folder


def open_folder(named: Path | None = None) -> Path:
    """Return the folder to open, after copying the notebooks to it if it is not the checkout's.

    Args:
        named: Folder for copies of the notebooks; copies that were edited are not overwritten. None stands for the
            checkout's own notebooks, or without a checkout for ``bglab-notebooks`` in the current folder.

    Raises:
        MissingData: If bglab's notebooks are missing.
        BadInput: If they cannot be copied.
    """
    shipped = notebooks_folder()
    if named is None and checkout():
        return shipped
    folder = (named or Path("bglab-notebooks")).expanduser().absolute()
    changed = update_copies(shipped, folder, "*.ipynb")
    if changed:
        sys.stderr.write(
            f"bglab: notice: left {', '.join(changed)} in {folder} as changed there; remove or rename a notebook to "
            "get bglab's own again\n"
        )
    return folder


def lab_command(folder: Path, port: int) -> list[str]:
    """Return the command that starts the server: on localhost only, and without delay for widget messages.

    Args:
        folder: Folder to open.
        port: Port to listen on; the server fails if it is taken.
    """
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        str(folder),
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--no-browser",
        "--log-level=ERROR",
        # do not ask for or fetch news, and do not check for updates
        "--LabApp.news_url=None",
        f"--LabApp.app_settings_dir={Path(__file__).parent / 'settings'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--ServerApp.kernel_websocket_connection_class={NO_DELAY}",
        *(["--allow-root"] if is_root() else []),
    ]


def is_root() -> bool:
    """Check whether this process runs as root, as in most containers."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_display() -> bool:
    """Check whether a browser window can be opened."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def free_port(wanted: int | None) -> int:
    """Return a free port.

    Args:
        wanted: Port to check; None searches from 8888 to 8987.

    Raises:
        BadInput: If the wanted port, or every port of the range, is taken, or there is no such port.
    """
    if wanted is not None and not 0 < wanted < 65536:
        raise BadInput(f"expected a port between 1 and 65535, got {wanted}; without --port the first free one is taken")
    for port in [wanted] if wanted else range(8888, 8988):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    other = "choose another with --port, or with make lab PORT=…"
    if wanted:
        raise BadInput(f"expected port {wanted} to be free, but something listens there; {other}")
    raise BadInput(f"expected a free port between 8888 and 8987, but all are taken; {other}")


def run_lab(
    folder: Path | None = None, *, port: int | None = None, open_browser: bool = True, extra: Sequence[str] = ()
) -> int:
    """Start JupyterLab with the notebooks, print its address when it is ready, and wait until it ends.

    Args:
        folder: Folder for the notebooks, see `open_folder`.
        port: Port to listen on; None takes the first free one from 8888 on.
        open_browser: Open a browser if there is a display.
        extra: Further arguments for JupyterLab.

    Returns:
        Exit status of the server; after a signal 128 and its number, as shells have it. SIGINT, SIGTERM and SIGHUP end
        the server before this returns. After SIGKILL, which cannot be handled, Linux ends the server; elsewhere it
        goes on.

    Raises:
        MissingData: If JupyterLab is not installed or the notebooks are missing.
        BadInput: If the port is taken, the notebooks cannot be copied, or the server does not start.
    """
    if not importlib.util.find_spec("jupyterlab"):
        raise MissingData('JupyterLab is not installed; run make lab, or pip install "bglab[lab]"')
    opened = open_folder(folder)
    chosen = free_port(port)
    token = secrets.token_hex(24)
    if is_root():
        sys.stderr.write("warning: JupyterLab runs as root; anyone with the token below can do anything here\n")
    environment = os.environ | {"JUPYTER_TOKEN": token}
    with _raised_signals():
        server = None
        try:
            server = subprocess.Popen(
                [*lab_command(opened, chosen), *extra],
                env=environment,
                preexec_fn=_ends_with(os.getpid()),  # noqa: PLW1509 - no thread runs yet
            )
            _wait_until_ready(server, chosen)
            address = f"http://127.0.0.1:{chosen}/lab/tree/{_FIRST_NOTEBOOK}?token={token}"
            if open_browser and has_display():
                webbrowser.open(address)
            sys.stdout.write(f"\nThe lab is open; stop it with Ctrl-C.\n{address}\n")
            sys.stdout.flush()
            status = server.wait()
            return status if status >= 0 else _SIGNALLED - status
        except _Signalled as signalled:
            return _SIGNALLED + signalled.number
        finally:
            if server is not None:
                _stop(server)


class _Signalled(BaseException):
    """Raised when a signal asks to stop.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _raised_signals() -> Iterator[None]:
    """Raise the first signal that asks to stop as `_Signalled`, and ignore further ones.

    Signals that are ignored already stay so, as SIGHUP does under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread handle signals
        return
    before = {number: signal.getsignal(number) for number in _STOPPING}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def stop(number: int, _frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise _Signalled(number)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ends_with(parent: int) -> Callable[[], None] | None:
    """Return what a child runs first so that Linux sends it SIGTERM when its parent ends in whatever way."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)

    def prepare() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended in between
            os._exit(_SIGNALLED + signal.SIGKILL)

    return prepare


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server responds.

    Raises:
        BadInput: If it exits or does not respond in time.
    """
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise BadInput(f"JupyterLab exited with status {server.returncode} while starting; see its messages above")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise BadInput(f"JupyterLab did not respond on port {port} within {_START_LIMIT_S} s; run bglab doctor")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Terminate the server; kill it if it does not exit within ten seconds."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
