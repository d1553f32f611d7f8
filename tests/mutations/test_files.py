"""Changed files of every kind that users bring: refused, or read with a sentence, or read as what they mean.

``make fuzz MINUTES=5`` reads many more. ``BGLAB_MUTATIONS`` sets how many of each kind the slow tests read.
"""

from __future__ import annotations

import os

import pytest

from fixtures.mutations import run
from fixtures.subjects import chosen_subjects, make_subject

SUBJECTS = chosen_subjects()
FEW, MANY = 14, int(os.environ.get("BGLAB_MUTATIONS", "100"))
#: The kinds of changes take turns, so that a step of 7 reaches all of them.
STEP = 7


def check(subject, numbers, seed):
    outcomes = run(subject, numbers, seed, others=[b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"a,b\n1,2\n", b"{}", b"<a/>"])
    assert not outcomes.failures, [(f.number, f.kind, f.reason, f.data[:200]) for f in outcomes.failures[:3]]
    assert outcomes.by_outcome().total() == len(numbers)
    return outcomes.by_outcome()


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_few_changed_files(tmp_path, data_folder, kind):
    assert check(make_subject(SUBJECTS[kind], tmp_path), range(0, STEP * FEW, STEP), seed=0)["equal"] < FEW


@pytest.mark.slow
@pytest.mark.parametrize("kind", SUBJECTS)
def test_many_changed_files(tmp_path, data_folder, kind):
    assert check(make_subject(SUBJECTS[kind], tmp_path), range(MANY), seed=1)["equal"] < MANY
