"""What judges changed files finds every kind of fault, and only faults."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from bglab.errors import BadInput
from fixtures import mutations
from fixtures.mutations import BYTE_KINDS, Mutation, Reading, Subject, change_bytes, judge, mutate, run

WHOLE = b"one=1\ntwo=2\n"


def parse(data):
    return dict(line.split(b"=") for line in data.splitlines())


def careful(data):
    """Read a file in which each line counts for itself; broken ones are said."""
    items, said = {}, []
    for line in data.decode("latin-1").split("\n"):
        name, equals, value = line.partition("=")
        if equals and value.isdigit():
            items[name] = value
        elif line:
            said.append(f"left out: {line!r}")
    said += [f"{name} is missing" for name in ("one", "two") if name not in items]
    if not items:
        raise BadInput("expected lines, got none; write some")
    return Reading(items, "\n".join(said))


def meaning(data):
    return {name: [value] for name, value in careful(data).items.items()} if b"=" in data else None


def outcome(read, data, *, means=lambda data: None, told=None):
    subject = Subject("lines", [WHOLE], read, means)
    return judge(subject, Mutation("", data, told), Reading({"one": "1", "two": "2"}))


def test_outcomes_of_a_careful_reader():
    assert outcome(careful, WHOLE + b"\n") == "equal"
    assert outcome(careful, b"nothing") == "refused"
    assert outcome(careful, b"one=1\n") == "named"
    assert outcome(careful, b"one=7\ntwo=2\n", means=meaning) == "semantic"
    assert outcome(careful, b"one=7\ntwo=2\n", told={"one": "7", "two": "2"}) == "semantic"
    # without a second reader that agrees, another number is wrong
    assert outcome(careful, b"one=7\ntwo=2\n").startswith("wrong: one is read as '7' in silence")
    assert outcome(careful, b"one=7\ntwo=2\n", told={"one": "8"}).startswith("wrong")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda data: Reading({"one": parse(data)[b"one"]}), "KeyError"),
        (lambda data: Reading({"one": "1"}), "two is missing in silence"),
        (lambda data: Reading({"one": "1", "two": "3"}), "two is read as '3' in silence"),
        (lambda data: Reading({"one": "1"}, "two\x1b[31m"), "control characters"),
        (lambda data: Reading({"one": "1"}, "two " * 999), "3996 characters in a message"),
    ],
)
def test_faults_are_found(read, words):
    found = outcome(read, b"two=2")
    assert found.startswith("wrong")
    assert words in found


def test_a_reader_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(mutations, "TIME_LIMIT_S", 0.1)
    calls = []

    def read(data):
        calls.append(data)
        if len(calls) > 1:
            time.sleep(9)
        return Reading({"all": data})

    started = time.monotonic()
    (failure,) = run(Subject("slow", [WHOLE], read), range(1), seed=0).failures
    assert "reading took more than 0.1 s" in failure.reason
    assert time.monotonic() - started < 5


def test_a_reader_that_takes_too_much_memory_is_stopped(monkeypatch):
    monkeypatch.setattr(mutations, "MEMORY_LIMIT", 1 << 24)
    sizes = iter((1, 1 << 30))
    subject = Subject("large", [WHOLE], lambda data: Reading({"sum": np.zeros(next(sizes), dtype=np.uint8).sum()}))
    (failure,) = run(subject, range(1), seed=0).failures
    assert "MemoryError" in failure.reason


@pytest.mark.parametrize("kind", BYTE_KINDS)
def test_a_seed_and_a_number_are_one_change(kind):
    others = [b"other"]
    one, again, other = (change_bytes(WHOLE * 9, kind, np.random.default_rng(seed), others) for seed in (1, 1, 2))
    assert one == again
    assert one != WHOLE * 9 or other != WHOLE * 9


def test_originals_and_changes_take_turns():
    subject = Subject("two", [b"a", b"b"], careful, changes={"content": lambda which, rng: b"%d" % which})
    made = [mutate(subject, number, 0) for number in range(2 * (len(BYTE_KINDS) + 2))]
    assert [m.data for m in made if m.kind == "content"] == [b"0", b"0", b"1", b"1"]
    assert {m.kind for m in made} == {*BYTE_KINDS, "content"}


@pytest.mark.parametrize("act", ["write", "read", "remove", "program", "network"])
def test_what_is_touched_outside_is_found_and_forbidden(tmp_path, data_folder, act):
    own, outside = tmp_path / "own", tmp_path / "outside"
    own.mkdir()
    outside.write_bytes(WHOLE)
    acts = {
        "write": lambda: outside.write_bytes(b""),
        "read": outside.read_bytes,
        "remove": outside.unlink,
        "program": lambda: subprocess.run([sys.executable, "-V"], check=True),
        "network": lambda: socket.create_connection(("127.0.0.1", 9)),
    }
    calls = []

    def read(data):
        calls.append(data)
        (own / "file").write_bytes(data)
        if len(calls) > 1:
            with contextlib.suppress(OSError):  # as a reader that passes over what it cannot read
                acts[act]()
        return Reading({"all": WHOLE})

    (failure,) = run(Subject("leak", [WHOLE], read, folders=(own,)), range(1), seed=0).failures
    assert failure.reason.startswith("wrong: ")
    assert (
        "outside" if act in {"write", "read", "remove"} else "subprocess" if act == "program" else "socket"
    ) in failure.reason
    assert outside.read_bytes() == WHOLE
