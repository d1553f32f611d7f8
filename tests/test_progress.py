"""Progress: what a watching function is told, how it stops a run, and the lines in logs."""

from __future__ import annotations

import io
import re

import pytest

from bglab import progress
from bglab.__main__ import main
from bglab.progress import Bar, Lines, Progress, Stopped, duration, watching


def test_who_watches_is_told_also_where_no_bar_is_shown():
    told = []
    with watching(told.append), Bar(total=10, initial=4, desc="step", unit="image", disable=True) as bar:
        bar.update(2)
        bar.update()
    assert [(p.title, p.done, p.total, p.unit) for p in told] == [("step", 6, 10, "image"), ("step", 7, 10, "image")]
    with Bar(total=10, disable=True) as bar:
        bar.update()
    assert len(told) == 2


def test_the_rate_is_of_this_run(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    told = []
    with watching(told.append), Bar(total=1000, initial=400, disable=True) as bar:
        now[0] += 2.0
        bar.update(100)
    assert told[0].rate == 50
    assert told[0].seconds_left == 10


def test_items_are_counted_while_they_are_worked_on():
    told, seen = [], []
    with watching(told.append):
        for item in Bar("abc", desc="letters", unit="letter", disable=True):
            seen.append((item, len(told)))
    assert seen == [("a", 0), ("b", 1), ("c", 2)]
    assert [p.done for p in told] == [1, 2, 3]
    assert list(Bar("abc", disable=True)) == ["a", "b", "c"]


def test_who_watches_can_stop_a_run():
    def stop(told: Progress) -> None:
        if told.done == 2:
            raise Stopped

    seen = []

    def run() -> None:
        with watching(stop):
            seen.extend(item for item in Bar(range(9), disable=True))

    with pytest.raises(Stopped):
        run()
    with watching(lambda told: None), Bar(total=3, disable=True) as bar:
        bar.update(2)  # the next run is not stopped


def test_lines_come_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = Lines(stream, every_s=30)
    with watching(lines), Bar(total=900, desc="net · original", disable=True) as bar:
        for _ in range(9):
            now[0] += 10
            bar.update(50)
    assert stream.getvalue().splitlines() == [
        f"net · original: {done} of 900 images, 5 images/s, {duration((900 - done) / 5)} left"
        for done in (150, 300, 450)
    ]


def test_what_is_unknown_is_not_written():
    assert Progress("t", 3, None, "scene", float("nan")).text == "t: 3 scenes"
    assert Progress("t", 9, 9, "scene", 2.0).text == "t: 9 of 9 scenes, 2 scenes/s"


def test_commands_write_lines_where_there_is_no_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "Lines", lambda stream: Lines(stream, every_s=0.0))
    arguments = ["predict", "-m", "lite:efficientnet_lite0", "--scenes", "synthetic9?n=9", "--variants", "original"]
    assert main([*arguments, "--results", str(tmp_path)]) == 0
    written = capsys.readouterr().err.splitlines()
    assert any(
        re.fullmatch(r"efficientnet_lite0 · original: 9 of 9 images, [\d.e+]+ images/s", line) for line in written
    )
