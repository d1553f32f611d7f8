"""`bglab lab` leaves no server behind, however it is ended."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from bglab.lab import jupyter

#: Stands for JupyterLab: answers on the port, and ends on SIGTERM.
_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
_PROGRAM = """
import sys
from pathlib import Path
from bglab.lab import jupyter
server = [sys.executable, "-c", sys.argv[1]]
jupyter.lab_command = lambda folder, port: [*server, str(port)]
jupyter.open_folder = lambda folder: Path.cwd()
sys.exit(jupyter.run_lab(port=int(sys.argv[2]), open_browser=False))
"""


def is_up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def lab():
    """A running lab in a session of its own, and its port."""
    port = jupyter.free_port(None)
    command = [sys.executable, "-c", _PROGRAM, _SERVER, str(port)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test run under nohup would hand it on, and then the lab ignores it, too
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert any("token=" in line for line in process.stdout)
        yield process, port
        process.kill()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_the_command_ends_the_server(name, lab):
    process, port = lab
    assert is_up(port)
    process.send_signal(getattr(signal, name))
    assert process.wait(30) == 128 + getattr(signal, name)
    assert not is_up(port)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie a child to its parent")
def test_the_server_ends_even_with_a_command_that_was_killed(lab):
    process, port = lab
    process.kill()
    process.wait(30)
    deadline = time.monotonic() + 20
    while is_up(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_up(port)


def test_handlers_are_as_before_when_the_lab_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(jupyter, "lab_command", lambda _folder, _port: [sys.executable, "-c", "raise SystemExit(3)"])
    monkeypatch.setattr(jupyter, "open_folder", lambda _folder: tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(jupyter.BadInput, match="exited with status 3"):
        jupyter.run_lab(open_browser=False)
    assert signal.getsignal(signal.SIGTERM) is before
