"""Commands whose file-system calls fail: one sentence, nothing wrong kept, and the next run ends as always."""

from __future__ import annotations

import json

import pytest

from fixtures import TESTS, fault_shim

pytestmark = pytest.mark.skipif(bool(fault_shim.why_not()), reason=fault_shim.why_not())

#: What may become of a disturbed run.
RIGHT = {"identical", "identical but for scratch", "refused", "killed", "noted", "rejected by name", "not reached"}


def inject(folder, *options):
    """Run the script; list each fault, what became of it, and what is wrong with that."""
    report = folder / "outcomes.json"
    call = [str(TESTS / "inject.py"), "--json", str(report), "--failures", str(folder / "failures"), *options]
    ended = fault_shim.start(call, fault_shim.build(folder), capture_output=True)
    assert report.is_file(), ended.stderr
    return json.loads(report.read_text())


def check(outcomes, least):
    assert [(point, word, wrong) for point, word, wrong in outcomes if wrong or word not in RIGHT] == []
    assert len(outcomes) >= least
    assert sum(word == "not reached" for _, word, _ in outcomes) <= len(outcomes) // 10


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """A few faults of some commands, and these commands twice at once."""
    commands = "check,predict,predict full,first hit,saliency,fetch"
    options = ("--commands", commands, "--count", "4", "--seed", "3", "--together", "1")
    return inject(tmp_path_factory.mktemp("faults"), *options)


def chosen(outcomes, *, at_once):
    return [outcome for outcome in outcomes if ("two " in outcome[0]) == at_once]


def test_after_a_fault_the_same_command_ends_as_if_nothing_had_been(outcomes):
    faults = chosen(outcomes, at_once=False)
    check(faults, least=20)
    assert {word for _, word, _ in faults} >= {"refused", "identical"}


def test_two_runs_at_once_end_like_one_also_if_their_process_ids_are_the_same(outcomes):
    check(chosen(outcomes, at_once=True), least=10)


@pytest.mark.slow
def test_a_larger_sample_of_faults_of_all_commands(tmp_path):
    check(inject(tmp_path, "--count", "3", "--seed", "4"), least=40)
