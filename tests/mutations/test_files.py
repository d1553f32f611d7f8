"""Changed files of every kind that users bring: refused, or read with a sentence, or read as what they mean.

``make fuzz MINUTES=5`` reads many more. ``BGLAB_MUTATIONS`` sets how many of each kind the slow tests read.
"""

from __future__ import annotations

import os

import pytest

from fixtures.mutations import Subject, run
from fixtures.subjects import chosen_subjects, make_subject

SUBJECTS = chosen_subjects()
FEW, MANY = 10, int(os.environ.get("BGLAB_MUTATIONS", "100"))
#: The kinds of changes take turns, so that a step of 7 reaches all of them.
STEP = 7


def check(subject, numbers, seed):
    outcomes = run(subject, numbers, seed, others=[b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"a,b\n1,2\n", b"{}", b"<a/>"])
    assert not outcomes.failures, [(f.number, f.kind, f.reason, f.data[:200]) for f in outcomes.failures[:3]]
    assert outcomes.by_outcome().total() == len(numbers)
    return outcomes.by_outcome()


def check_some(subject, numbers, seed):
    """Check that some changes matter; a damaged cache is made again, with the same content."""
    assert check(subject, numbers, seed)["equal"] < len(numbers) or subject.name.startswith("cache")


def _scaled(count: int, subject: Subject) -> int:
    return max(2, round(count * min(1.0, 2 * subject.share)))


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_few_changed_files(tmp_path, data_folder, unchecked, kind):
    subject = make_subject(SUBJECTS[kind], tmp_path)
    check_some(subject, range(0, STEP * _scaled(FEW, subject), STEP), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SUBJECTS)
def test_many_changed_files(tmp_path, data_folder, unchecked, untraced, kind):
    subject = make_subject(SUBJECTS[kind], tmp_path)
    check_some(subject, range(_scaled(MANY, subject)), seed=1)
