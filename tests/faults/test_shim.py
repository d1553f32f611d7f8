"""The shim: which calls it counts, and what it does to the chosen one."""

from __future__ import annotations

import errno
import json
import signal
from textwrap import dedent

import pytest

from fixtures import fault_shim

pytestmark = pytest.mark.skipif(bool(fault_shim.why_not()), reason=fault_shim.why_not())

ONCE, SPACE, ALWAYS = 0, 1, 2
KILL, SHORT, TORN = -1, -2, -3

SCRIPT = """
    import ctypes, json, os, sys
    folder, kind, path, nth, what, lasting = json.loads(sys.argv[1])
    def attempt(work):
        try:
            return work()
        except OSError as problem:
            return problem.errno
    log = os.open(folder + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ctypes.CDLL(None).bglab_faults_begin(folder.encode(), log, kind.encode(), path.encode(), nth, what, lasting)
    scratch = f"{folder}/.a.0123456789ab.part"
    def wrote():
        with open(scratch, "wb", buffering=0) as file:
            return [file.write(b"abcd"), file.write(b"efgh")]
    found = [attempt(wrote), attempt(lambda: os.rename(scratch, folder + "/a"))]
    found += [attempt(lambda: open(folder + "/a", "rb", buffering=0).read(6).decode())]
    found += [attempt(lambda: os.listdir(folder))]
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return fault_shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def run(tmp_path, shim):
    """Return a function that runs the script with one fault: what its calls return, its exit status, and the log."""
    root = tmp_path / "root"
    root.mkdir()

    def run(kind="", path="", nth=0, what=0, lasting=ONCE):
        chosen = json.dumps([str(root), kind, path, nth, what, lasting])
        ended = fault_shim.start(["-c", dedent(SCRIPT), chosen], shim, capture_output=True)
        log = [line.split("\t") for line in (tmp_path / "root.log").read_text().splitlines()]
        return json.loads(ended.stdout or "[]"), ended.returncode, log

    return run


UNDISTURBED = [[4, 4], None, "abcdef", ["a"]]
SCRATCH = "/.a.*.part"


def test_calls_are_counted_by_kind_and_path_and_pass(run):
    found, status, log = run()
    assert (found, status) == (UNDISTURBED, 0)
    wanted = [
        *[["create", SCRATCH, "1"], ["write", SCRATCH, "1"], ["write", SCRATCH, "2"], ["close", SCRATCH, "1"]],
        *[["rename", SCRATCH, "1"], ["open", "/a", "1"], ["read", "/a", "1"], ["list", "/", "1"]],
    ]
    assert [line[:3] for line in log][: len(wanted)] == wanted
    assert {line[3] for line in log} == {"0"}


def test_the_nth_call_fails_once(run):
    assert run("write", SCRATCH, 2, errno.EIO)[0] == [errno.EIO, None, "abcd", ["a"]]
    assert run("rename", SCRATCH, 1, errno.EACCES)[0][1] == errno.EACCES
    assert run("read", "/a", 1, errno.ESTALE)[0][2] == errno.ESTALE
    assert run("list", "/", 1, errno.EIO)[0][3] == errno.EIO
    assert run("write", SCRATCH, 3, errno.EIO)[0] == UNDISTURBED


def test_a_failure_of_close_closes_all_the_same(run):
    assert run("close", SCRATCH, 1, errno.ENOSPC)[0] == [errno.ENOSPC, None, "abcdef", ["a"]]


def test_a_full_disk_stays_full_and_can_still_be_read(run):
    assert run("write", SCRATCH, 2, errno.ENOSPC, SPACE)[0] == [errno.ENOSPC, None, "abcd", ["a"]]


def test_a_disk_that_is_away_stays_away(run):
    assert run("rename", SCRATCH, 1, errno.EIO, ALWAYS)[0] == [[4, 4], errno.EIO, errno.EIO, errno.EIO]


def test_a_short_write_says_how_much_was_written(run):
    assert run("write", SCRATCH, 1, SHORT)[0] == [[2, 4], None, "abefgh", ["a"]]


@pytest.mark.parametrize(("what", "written"), [(KILL, b"abcd"), (TORN, b"abcdef")])
def test_a_process_is_killed_before_a_write_or_in_its_middle(run, tmp_path, what, written):
    assert run("write", SCRATCH, 2, what)[1] == -signal.SIGKILL
    assert (tmp_path / "root" / ".a.0123456789ab.part").read_bytes() == written
