"""Start JupyterLab on the notebooks, and the one server setting that makes its widgets quick."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from bglab.errors import BadInput, MissingData
from bglab.files import checkout, update_copies

#: Class path that `bglab lab` gives the server, since not every installation puts the extension's configuration where
#: Jupyter looks for it; the class lives apart so that this module needs no Jupyter.
NO_DELAY = "bglab.lab.websocket.NoDelayConnection"
_FIRST_NOTEBOOK = "00_start_here.ipynb"
_PATIENCE_S = 60


def notebooks_folder() -> Path:
    """Return the folder with the notebooks that come with bglab: the checkout's, or the one inside the package.

    Raises:
        MissingData: If they are not there.
    """
    folder = (checkout() or Path(__file__).resolve().parents[1]) / "notebooks"
    if not (folder / _FIRST_NOTEBOOK).is_file():
        raise MissingData(
            f"expected the notebooks in {folder}, but {_FIRST_NOTEBOOK} is not there; install bglab again"
        )
    return folder


def open_folder(named: Path | None = None) -> Path:
    """Return the folder to open, with the notebooks in it.

    Args:
        named: Folder for copies of the notebooks. None opens the checkout's own notebooks; without a checkout it
            stands for ``bglab-notebooks`` in the current folder. Notebooks there that were changed are left alone.

    Raises:
        MissingData: If the notebooks are not here.
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
    """Compose the command that starts the server: localhost only, token on, no delay on widget messages."""
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
        # no question about news on the first visit, no call home
        "--LabApp.news_url=None",
        f"--LabApp.app_settings_dir={Path(__file__).parent / 'settings'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--ServerApp.kernel_websocket_connection_class={NO_DELAY}",
        *(["--allow-root"] if is_root() else []),
    ]


def is_root() -> bool:
    """Check whether this process has every right on the machine, as in most containers."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def has_display() -> bool:
    """Check whether a browser window could open."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def free_port(wanted: int | None) -> int:
    """Return the wanted port, or the first free one from 8888 on if none is wanted.

    Raises:
        BadInput: If the wanted port is taken.
    """
    for port in [wanted] if wanted else range(8888, 8988):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    if wanted:
        raise BadInput(f"expected port {wanted} to be free, but something listens there; choose another with PORT=…")
    raise BadInput("expected a free port between 8888 and 8987, but all are taken; choose one with PORT=…")


def run_lab(
    folder: Path | None = None, *, port: int | None = None, open_browser: bool = True, extra: Sequence[str] = ()
) -> int:
    """Start JupyterLab on the notebooks, print its address once it answers, and stay until it ends.

    Args:
        folder: Where the notebooks go; see `open_folder`.
        port: Wanted port; None takes the first free one from 8888 on.
        open_browser: Open a browser where there is a display.
        extra: Further arguments for JupyterLab.

    Returns:
        The server's exit status.

    Raises:
        MissingData: If JupyterLab or the notebooks are not here.
        BadInput: If the port is taken, the notebooks cannot be copied, or the server does not start.
    """
    if not importlib.util.find_spec("jupyterlab"):
        raise MissingData('JupyterLab is not installed; run make lab, or pip install "bglab[lab]"')
    opened = open_folder(folder)
    chosen = free_port(port)
    token = secrets.token_hex(24)
    if is_root():
        sys.stderr.write("warning: JupyterLab runs as root; anyone with the token below can do anything here\n")
    server = subprocess.Popen([*lab_command(opened, chosen), *extra], env=os.environ | {"JUPYTER_TOKEN": token})
    try:
        _wait_until_ready(server, chosen)
        address = f"http://127.0.0.1:{chosen}/lab/tree/{_FIRST_NOTEBOOK}?token={token}"
        if open_browser and has_display():
            webbrowser.open(address)
        sys.stdout.write(f"\nThe lab is open; stop it with Ctrl-C.\n{address}\n")
        sys.stdout.flush()
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(server)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server answers.

    Raises:
        BadInput: If it ends or stays silent.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise BadInput(f"JupyterLab ended with status {server.returncode} before it answered; see its words above")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise BadInput(f"JupyterLab did not answer on port {port} within {_PATIENCE_S} s; try bglab doctor")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server we started, by its own process."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
