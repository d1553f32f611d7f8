"""The search: known predictions on known scenes, equal results from both searches, and resuming after a kill."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import bglab
from bglab import analysis as fooling
from bglab.__main__ import main
from bglab.commands import search
from bglab.errors import BadInput
from bglab.images import compositing
from bglab.results import NOT_EVALUATED, open_pairs
from bglab.results.protocol import Protocol
from bglab.scenes import prepare
from bglab.search import PairImages, Pairs, first_hit, open_evaluator, pair_batches, search_matrix
from bglab.variants import compose
from fixtures import TESTS
from fixtures.matrices import LABELS, MATRIX, ORIGINAL, coded_scenes, matrix_classifier, read_code
from fixtures.stand_ins import make_classifier, make_scenes


def contents(folder):
    """Return the contents of every file in a results folder, except the statistics of the run."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != "run.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def whole(**options):
    return search_matrix(matrix_classifier(MATRIX, ORIGINAL), coded_scenes(LABELS), progress=False, **options)


def test_every_pair_is_asked_about_and_kept(tmp_path):
    pairs = whole(results=tmp_path)
    np.testing.assert_array_equal(pairs.native, MATRIX)
    assert pairs.original.tolist() == ORIGINAL
    assert pairs.foregrounds.ids == pairs.backgrounds.ids == tuple(f"s{i}" for i in range(7))
    assert pairs.run["forwards"] == 49
    assert pairs.run["images_per_s"] > 0
    assert (pairs.model, pairs.provenance["variant"]) == ("rule:rule", "pairs")
    assert pairs.provenance["pixels"] == coded_scenes(LABELS).digest
    assert pairs.provenance["preprocessing"]["mean"] == [0.5] * 3
    np.testing.assert_array_equal(whole().native, MATRIX)


def test_a_finished_matrix_is_read_again(tmp_path):
    whole(results=tmp_path)
    before = contents(tmp_path)

    def refuse(_images):
        raise AssertionError("everything is there already")

    again = search_matrix(make_classifier(refuse), coded_scenes(LABELS), results=tmp_path, progress=False)
    np.testing.assert_array_equal(again.native, MATRIX)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("batch_size", "block_rows"), [(1, 1), (3, 2), (5, 7), (100, None), ("auto", 3)])
def test_batches_and_blocks_change_nothing(tmp_path, batch_size, block_rows):
    pairs = whole(results=tmp_path, batch_size=batch_size, block_rows=block_rows)
    np.testing.assert_array_equal(pairs.native, MATRIX)
    whole(results=tmp_path / "other")
    assert {k: v for k, v in contents(tmp_path).items() if not k.startswith("other")} == contents(tmp_path / "other")


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(own_class=False),
        Protocol(own_image=False),
        Protocol(only_right=True),
        Protocol(pool_per_class=1),
        Protocol(pool_classes=(1, 3)),
        Protocol(foregrounds_per_class=1),
    ],
)
def test_a_protocol_saves_its_forwards(tmp_path, protocol):
    everything = whole()
    pairs = whole(results=tmp_path, protocol=protocol, block_rows=2)
    columns = [everything.backgrounds.ids.index(scene) for scene in pairs.backgrounds.ids]
    allowed = everything.allowed(protocol)[:, columns]
    assert 0 < pairs.run["forwards"] == pairs.evaluated == allowed.sum() < 49
    np.testing.assert_array_equal(pairs.native, np.where(allowed, MATRIX[:, columns], NOT_EVALUATED))
    assert pairs.protocol == protocol
    assert protocol.key in pairs.dataset
    row = fooling.vulnerability(pairs).iloc[0]
    assert row.vulnerable_any == fooling.vulnerability(everything, protocol).vulnerable_any.item()


def test_scenes_without_a_background_lend_none():
    scenes = coded_scenes(LABELS, has_plate=[True, False, True, True, True, False, True])
    pairs = search_matrix(matrix_classifier(MATRIX, ORIGINAL), scenes, progress=False)
    assert pairs.backgrounds.ids == ("s0", "s2", "s3", "s4", "s6")
    np.testing.assert_array_equal(pairs.native, MATRIX[:, [0, 2, 3, 4, 6]])
    with pytest.raises(BadInput) as error:
        open_evaluator(matrix_classifier(MATRIX, ORIGINAL), coded_scenes(LABELS, has_plate=[False] * 7))
    assert str(error.value) == (
        "expected backgrounds to search in coded, but none of its 7 scenes lends one under this protocol; add scenes "
        "or widen the pool"
    )


def test_wrong_options_are_refused():
    with pytest.raises(BadInput, match="expected blocks of at least 1 row, got 0"):
        whole(block_rows=0)
    with pytest.raises(BadInput, match="expected a batch size of at least 1, got 0"):
        whole(batch_size=0)


def test_images_are_those_of_the_variants(data_folder):
    prepared = prepare(make_scenes(), 32, progress=False)
    evaluator = open_evaluator(matrix_classifier(np.zeros((27, 27)), [0] * 27), prepared)
    row, donors = 4, np.array([7, 20, 3, 3])
    for columns, rows in ((donors, np.full(4, row)), (donors, np.array([4, 4, 9, 4])), (np.arange(5), np.full(5, 2))):
        pairs = Pairs(rows, columns)
        ours = evaluator.composer.render(pairs)
        for image, front, back in zip(ours, rows, columns, strict=True):
            given = compose(prepared, bglab.given(evaluator.backgrounds.ids[back]))
            assert torch.equal(image, given[evaluator.foregrounds.ids[front]])
        canvas = np.full((9, 3, 32, 32), 77, dtype=np.uint8)
        assert torch.equal(evaluator.composer.compose_into(pairs, canvas), ours)
        assert (canvas[len(rows) :] == 77).all()


def test_mixed_rand_is_in_the_matrix(data_folder):
    def brightness(images):
        return images.float().mean((1, 2, 3)).long() % 9

    prepared = prepare(make_scenes(), 32, progress=False)
    pairs = search_matrix(make_classifier(brightness), prepared, progress=False)
    table = bglab.predict(make_classifier(brightness), compose(prepared, "mixed_rand"), progress=False)
    place = {scene: i for i, scene in enumerate(pairs.foregrounds.ids)}
    found = [pairs.native[place[row.scene], place[row.donor]] for row in table.itertuples()]
    assert found == table.native.tolist()


def test_the_background_reader_reads_backgrounds_and_the_foreground_reader_foregrounds(data_folder):
    scenes = bglab.open_scenes("synthetic9?n=27&rho=1&size=48")
    prepared = bglab.prepare(scenes, 48, progress=False)
    images, plates, masks = (torch.from_numpy(np.asarray(getattr(prepared, n))) for n in ("images", "plates", "masks"))
    labels = torch.from_numpy(scenes.labels)

    def nearest(shown, known, where):
        """Return the class of the known image that agrees best within the region."""
        same = (shown[:, None] == known[None]).all(2) & where
        return labels[same.float().mean((2, 3)).argmax(1)]

    corners = torch.ones(48, 48, dtype=torch.bool)
    corners[2:-2, 2:-2] = False
    background = search_matrix(make_classifier(lambda p: nearest(p, plates, corners)), prepared, progress=False)
    np.testing.assert_array_equal(background.native, np.tile(scenes.labels, (27, 1)))
    row = fooling.vulnerability(background).iloc[0]
    assert (row.vulnerable_any, row.vulnerable_targeted) == (1.0, 1.0)
    assert fooling.per_class_totals(background).total.tolist() == [1.0] * 9

    def by_object(shown):
        same = (shown[:, None] == images[None]).all(2) & masks
        return labels[(same.float().sum((2, 3)) / masks.float().sum((1, 2))).argmax(1)]

    foreground = search_matrix(make_classifier(by_object), prepared, progress=False)
    np.testing.assert_array_equal(foreground.native, np.tile(scenes.labels[:, None], (1, 27)))
    row = fooling.vulnerability(foreground).iloc[0]
    assert (row.vulnerable_any, row.challenge_accuracy) == (0.0, 1.0)


def test_out_of_memory_halves_the_batch_and_loses_nothing(tmp_path, caplog):
    answer = matrix_classifier(MATRIX, ORIGINAL).engine.answer

    def small_only(images):
        if len(images) > 3:
            raise torch.cuda.OutOfMemoryError("too many images")
        return answer(images)

    classifier = make_classifier(small_only)
    evaluator = open_evaluator(classifier, coded_scenes(LABELS))
    rows, columns = np.divmod(np.arange(49), 7)
    batching = pair_batches.start_batching(classifier, 16)
    with caplog.at_level(logging.WARNING):
        blocks = list(
            pair_batches.answer_blocks(
                evaluator, [Pairs(rows[:20], columns[:20]), Pairs(rows[20:], columns[20:])], batching
            )
        )
    np.testing.assert_array_equal(np.concatenate(blocks), MATRIX.ravel())
    assert [len(block) for block in blocks] == [20, 29]
    assert (batching.size, batching.forwards) == (2, 49)
    assert "out of memory on cpu: going on with batches of 8" in caplog.text

    def never(_images):
        raise torch.cuda.OutOfMemoryError("none fits")

    with pytest.raises(BadInput) as error:
        list(
            pair_batches.answer_blocks(
                open_evaluator(make_classifier(never), coded_scenes(LABELS)), [Pairs(rows, columns)], batching
            )
        )
    assert str(error.value) == (
        "expected rule:rule to fit on cpu, but a single image runs out of its memory; use --device cpu"
    )


def test_an_error_in_composing_reaches_the_caller_and_the_thread_ends(monkeypatch):
    def broken(_self, _pairs, _canvas):
        raise BadInput("the disk went away")

    monkeypatch.setattr(PairImages, "compose_into", broken)
    with pytest.raises(BadInput, match="the disk went away"):
        whole()
    assert not [thread for thread in threading.enumerate() if thread.name == "bglab-compose"]


@pytest.mark.parametrize("fail_at", [1, 2, 9, 10, 30])
@pytest.mark.parametrize("run", ["matrix", "any", "targeted"])
def test_a_stopped_run_ends_with_the_same_bytes(tmp_path, run, fail_at):
    asked = []
    answer = matrix_classifier(MATRIX, ORIGINAL).engine.answer

    def counted(images):
        asked.append(len(images))
        if len(asked) == fail_at:
            raise KeyboardInterrupt
        return answer(images)

    def go(folder, rule):
        options = {"results": folder, "batch_size": 4, "progress": False}
        if run == "matrix":
            return search_matrix(make_classifier(rule), coded_scenes(LABELS), block_rows=2, **options)
        return first_hit(make_classifier(rule), coded_scenes(LABELS), criterion=run, **options)

    go(tmp_path / "whole", answer)
    try:
        go(tmp_path / "stopped", counted)
    except KeyboardInterrupt:
        go(tmp_path / "stopped", counted)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from fixtures.matrices import LABELS, MATRIX, ORIGINAL, coded_scenes, matrix_classifier
from fixtures.stand_ins import make_classifier
from bglab.__main__ import main
from bglab.search import search_matrix
answer = matrix_classifier({matrix}, {original}).engine.answer
asked = []
def die(images):
    asked.append(1)
    if len(asked) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(images)
options = dict(results=sys.argv[1], batch_size=4, block_rows=2, progress=False)
search_matrix(make_classifier(die), coded_scenes({labels}), **options)
"""


def test_a_killed_process_ends_with_the_same_bytes(tmp_path):
    code = KILLED.format(tests=str(TESTS), matrix=MATRIX.tolist(), original=ORIGINAL, labels=LABELS)
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    (kept,) = (tmp_path / "killed").glob("pairs/*/*/rows/*.npy")
    stamp = kept.stat().st_mtime_ns
    untouched = []
    answer = matrix_classifier(MATRIX, ORIGINAL).engine.answer

    def watch(images):
        untouched.append(kept.stat().st_mtime_ns == stamp)
        return answer(images)

    pairs = search_matrix(
        make_classifier(watch),
        coded_scenes(LABELS),
        results=tmp_path / "killed",
        batch_size=4,
        block_rows=2,
        progress=False,
    )
    assert all(untouched)
    assert len(untouched) == 10  # rows 2 to 7 in batches of 4; rows 0 and 1 and the original images were stored
    np.testing.assert_array_equal(pairs.native, MATRIX)
    whole(results=tmp_path / "whole", batch_size=4, block_rows=2)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def run_command(*arguments):
    parser = argparse.ArgumentParser()
    search.add(parser.add_subparsers())
    options = parser.parse_args(["search", *arguments])
    return options.run(options)


@pytest.fixture(scope="module")
def command_numbers(tmp_path_factory, data_folder):
    """Run the command in both modes on a tiny set with real weights."""
    folder = tmp_path_factory.mktemp("search")
    numbers = {}
    for mode in ("matrix", "first-hit"):
        arguments = ["--scenes", "synthetic9?n=9&size=64", "--size", "64", "--model", "lite:efficientnet_lite0"]
        file = folder / f"{mode}.json"
        assert run_command(*arguments, "--results", str(folder / "r"), "--mode", mode, "--json", str(file)) == 0
        numbers[mode] = json.loads(file.read_text())
    return folder, numbers


def test_the_command_keeps_its_contract(command_numbers):
    folder, numbers = command_numbers
    matrix = numbers["matrix"]
    for name in ("vulnerable_any", "vulnerable_targeted", "challenge_accuracy", "seconds", "images_per_s"):
        assert isinstance(matrix[name], float)
    assert (matrix["n"], matrix["backgrounds"], matrix["forwards"]) == (9, 9, 81)
    assert sorted(matrix["per_class_total"]) == sorted(bglab.labels.IN9_NAMES)
    (found,) = (folder / "r").glob("pairs/*/*/native.npy")
    pairs = open_pairs(found.parent)
    row = fooling.vulnerability(pairs).iloc[0]
    assert matrix["vulnerable_any"] == row.vulnerable_any
    assert matrix["challenge_accuracy"] == pytest.approx(1 - matrix["vulnerable_any"])


def test_both_modes_agree(command_numbers):
    _, numbers = command_numbers
    for name in ("n", "backgrounds", "vulnerable_any", "vulnerable_targeted", "challenge_accuracy", "dataset"):
        assert numbers["first-hit"][name] == numbers["matrix"][name]
    assert numbers["first-hit"]["forwards"] <= numbers["first-hit"]["forwards_brute_force"] == 81
    assert numbers["first-hit"]["per_class_total"] == {}


def test_the_command_prints_json(command_numbers, capsys):
    folder, numbers = command_numbers
    scenes = ["--scenes", "synthetic9?n=9&size=64", "--size", "64", "--model", "lite:efficientnet_lite0"]
    assert run_command(*scenes, "--results", str(folder / "r")) == 0
    assert json.loads(capsys.readouterr().out) == numbers["matrix"]


def test_codes_can_be_read():
    scenes = coded_scenes(LABELS)
    image, plate, mask = (torch.from_numpy(a[3:4]) for a in (scenes.images, scenes.plates, scenes.masks))
    assert [v.item() for v in read_code(compositing.composite(image, plate, mask))] == [3, 3]
    assert [v.item() for v in read_code(image)] == [3, -1]


@pytest.mark.slow
def test_the_same_command_goes_on_after_a_kill(tmp_path, data_folder, monkeypatch, capsys):
    monkeypatch.setenv("BGLAB_DATA", str(data_folder))
    # two blocks of rows
    drawn = ["--scenes", "synthetic9?n=72&size=64", "--size", "64", "--model", "lite:efficientnet_lite0"]
    command = ["search", *drawn, "--results", str(tmp_path / "killed")]
    with subprocess.Popen([sys.executable, "-m", "bglab", *command], stdout=subprocess.DEVNULL) as running:
        while not list((tmp_path / "killed").glob("pairs/*/*/rows/*.npy")):
            assert running.poll() is None, "the search ended before it could be killed"
            time.sleep(0.005)
        running.kill()
    # rows are joined at the end, so a file of rows means a search that was cut off
    assert list((tmp_path / "killed").glob("pairs/*/*/rows/*.npy"))
    assert main(command) == 0
    assert main(["search", *drawn, "--results", str(tmp_path / "whole")]) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
