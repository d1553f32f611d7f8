"""Results in a store: the files of a folder, read and resumed alike, and none of them by halves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bglab
from bglab.__main__ import main
from bglab.analysis import compare_files
from bglab.audit import compare
from bglab.errors import BadInput, MissingData, Unreadable
from bglab.evaluation import predict, run_grid
from bglab.files import files_below
from bglab.locations import place_of
from bglab.papers import Reproduction, Settings
from bglab.papers.studies import predictions_path
from bglab.results import (
    NOT_EVALUATED,
    PREDICTION_SCHEMA,
    SALIENCY_SCHEMA,
    PairStore,
    open_pairs,
    parts,
    prediction_file,
    read_predictions,
    read_predictions_file,
    read_saliency,
    reusable,
    write_predictions,
)
from bglab.results.pairs import read_pairs
from bglab.results.stored import encode_table, read_stored
from bglab.saliency import saliency_table
from bglab.scenes import prepare
from bglab.search import first_hit, search_matrix
from bglab.training import check_backgrounds
from bglab.variants import StreamSettings, compose, open_full
from fixtures import coded
from fixtures.matrices import LABELS, MATRIX, ORIGINAL, coded_scenes, make_pairs, matrix_classifier
from fixtures.prediction_rows import provenance, rows
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.stores import ShakyStore, empty_stores, fail_at, restore, stored

SIZE = 32
#: What differs between two runs that compute the same.
STATISTICS = ("seconds", "images_per_s")


@pytest.fixture(autouse=True)
def stores():
    with empty_stores():
        yield


def of_folder(folder):
    """Return the content of every file in a folder, but for the locks that only a disk has."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def without_statistics(url):
    """Return what a folder of results holds, at a URL or on a disk, as bytes without duration and speed."""
    found = {}
    for name, content in (stored(url) if "://" in str(url) else of_folder(url)).items():
        if name.startswith(("predictions/", "saliency/")) and name.endswith(".parquet"):
            schema = SALIENCY_SCHEMA if name.startswith("saliency") else PREDICTION_SCHEMA
            read = read_stored(place_of(url) / name, schema, what="results", remedy="remove it")
            about = {key: value for key, value in read.provenance.items() if key not in STATISTICS}
            assert set(read.provenance) - set(about) in ({*STATISTICS}, set())
            content = encode_table(read.table, about)  # noqa: PLW2901
        found[name] = b"" if name.endswith("run.json") else content
    return found


@pytest.fixture(scope="module")
def dataset(data_folder):
    return compose(prepare(make_scenes(), SIZE, progress=False), "mixed_next", progress=False)


@pytest.fixture(scope="module")
def explained(data_folder):
    return prepare(coded.coded_scenes(18, 64), 64, progress=False)


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


def search(results, **options):
    return search_matrix(
        matrix_classifier(MATRIX, ORIGINAL), coded_scenes(LABELS), results=results, progress=False, **options
    )


@pytest.mark.parametrize(
    "run", ["predict", "matrix", "any", "targeted", pytest.param("saliency", marks=pytest.mark.slow)]
)
def test_a_store_gets_the_files_of_a_folder(tmp_path, dataset, explained, run):
    def compute(results):
        if run == "predict":
            return predict(make_classifier(brightness), dataset, results=results, progress=False)
        if run == "saliency":
            reader = coded.code_reader("object", 64)
            return saliency_table(reader, explained, ["original", "mixed_next"], results=results, progress=False)
        if run == "matrix":
            return search(results, block_rows=2).native
        hits = first_hit(
            matrix_classifier(MATRIX, ORIGINAL), coded_scenes(LABELS), criterion=run, results=results, progress=False
        )
        return hits.pairs.native

    url = "memory://lab/results"
    ours, theirs = compute(url), compute(str(tmp_path))
    expected = without_statistics(tmp_path)
    assert without_statistics(url) == expected
    assert {name.partition("/")[0] for name in expected} == {
        {"predict": "predictions", "matrix": "pairs", "saliency": "saliency"}.get(run, "first_hits")
    }
    again = compute(url)  # read
    for found in (theirs, again):
        if isinstance(ours, pd.DataFrame):
            pd.testing.assert_frame_equal(found, ours, check_flags=False)
        else:
            np.testing.assert_array_equal(found, ours)
    assert without_statistics(url) == expected


def test_readers_find_in_a_store_what_they_find_in_a_folder(tmp_path, dataset, explained):
    url = "memory://lab"
    for results in (url, tmp_path):
        for each in ("file:a.pt", "file:b.pt"):
            table = rows(each)
            write_predictions(
                prediction_file(place_of(results), "set-abcdef", each, "original"), table, provenance(model=each)
            )
        search(results)
        saliency_table(coded.code_reader("object", 64), explained, ["original"], results=results, progress=False)
    for read in (read_predictions, read_saliency):
        ours, theirs = read(url), read(tmp_path)
        pd.testing.assert_frame_equal(ours, theirs)
    pd.testing.assert_frame_equal(
        bglab.accuracy(read_predictions(url), by=["model"]), bglab.accuracy(read_predictions(tmp_path), by=["model"])
    )
    ours, theirs = read_pairs(url), read_pairs(tmp_path)
    np.testing.assert_array_equal(ours.native, theirs.native)
    assert ours.provenance == theirs.provenance
    assert ours.native.flags.writeable is theirs.native.flags.writeable is False
    (matrix,) = (path for path in files_below(place_of(url)) if path.name == "native.npy")
    np.testing.assert_array_equal(open_pairs(str(matrix.parent)).native, MATRIX)
    files = files_below(place_of(url) / "predictions")
    changed = compare_files(str(files[0]), str(files[1]))
    assert [field.name for field in changed.fields] == ["model"]


def test_a_sweep_keeps_what_is_in_its_store(data_folder):
    full = open_full(make_scenes(per_class=1), StreamSettings(smallest=0, largest=1, workers=1), progress=False)
    loaded = []

    def load(model):
        loaded.append(model)
        classifier = make_classifier(brightness)
        return replace(classifier, spec=replace(classifier.spec, input_size=32))

    for state in ("new", "kept"):
        grid = run_grid(["rule:rule"], full, ["original", "white_fg"], "memory://lab", load=load, progress=False)
        assert grid.done["state"].tolist() == [state] * 2
    assert loaded == ["rule:rule"]
    assert len(read_predictions("memory://lab")) == 18


def test_a_reproduction_keeps_its_results_in_a_store_and_its_networks_at_hand(tmp_path, data_folder, monkeypatch):
    monkeypatch.setattr(Reproduction, "classifier", lambda _self, _model: make_classifier(brightness))
    settings = Settings("synthetic9?n=9&size=64", tmp_path, size=64, results="memory://lab", progress=False)
    table = Reproduction(settings).predictions(["rule:rule"], ["original"])
    assert table["native"].tolist() == read_predictions("memory://lab")["native"].tolist()
    assert Reproduction(settings).trained.results == tmp_path / "results"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="expected a folder on this machine for checkpoints, got memory://lab/networks"):
        check_backgrounds("voc:none", results="memory://lab")
    stored_at = predictions_path(Reproduction(settings), "original", "memory://lab")
    assert str(stored_at.parent.parent) == "memory://lab"


def test_a_reproduction_stops_before_the_work_if_its_store_is_away(tmp_path, capsys):
    fail_at(1, 10_000)
    command = ["reproduce", "nos-table-2", "--scenes", "synthetic9?n=9&size=64", "--out", str(tmp_path)]
    assert main([*command, "--results", "shaky://lab"]) == 2
    assert capsys.readouterr().err.startswith("bglab: expected to reach shaky://lab, but the connection was reset; ")
    assert list(tmp_path.iterdir()) == []


def test_predictions_in_a_store_are_compared(dataset):
    predict(make_classifier(brightness), dataset, results="memory://lab", progress=False)
    (file,) = files_below(place_of("memory://lab"))
    compared = compare("memory://lab", str(file), progress=False)
    assert compared.before.model == compared.after.model == "rule:rule"


def test_what_is_not_there_is_said_with_its_url():
    with pytest.raises(MissingData) as error:
        read_predictions("memory://lab/none")
    assert str(error.value) == (
        "no predictions under memory://lab/none; make them with bglab predict --results memory://lab/none …"
    )
    with pytest.raises(MissingData, match="no finished pair matrix in memory://lab/none"):
        open_pairs("memory://lab/none")


def test_two_matrices_are_named_without_their_folder():
    for model in ("a", "b"):
        pairs = make_pairs(MATRIX % 4, LABELS, model=model)
        store = PairStore(place_of("memory://lab") / "pairs" / "set" / model, pairs.provenance)
        store.begin(lambda pairs=pairs: pairs)
        store.finish(pairs.native)
    with pytest.raises(BadInput, match=r"got 2 \(pairs/set/a, pairs/set/b\); name dataset and model"):
        read_pairs("memory://lab")
    assert read_pairs("memory://lab", model="a").model == "a"


@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_a_stopped_search_goes_on_with_the_missing_rows(stop_at):
    asked = []
    answer = matrix_classifier(MATRIX, ORIGINAL).engine.answer

    def counted(images):
        asked.append(len(images))
        if len(asked) == stop_at:
            raise KeyboardInterrupt
        return answer(images)

    def go(url):
        options = {"results": url, "block_rows": 1, "batch_size": 7, "progress": False}
        return search_matrix(make_classifier(counted), coded_scenes(LABELS), **options)

    with pytest.raises(KeyboardInterrupt):
        go("memory://lab/stopped")
    kept = [name for name in stored("memory://lab/stopped") if "/rows/" in name]
    assert len(kept) >= stop_at - 3
    asked[:] = [0] * stop_at
    np.testing.assert_array_equal(go("memory://lab/stopped").native, MATRIX)
    # seven pairs in each row that is missing, and the originals if they are
    assert asked[stop_at:] == [7] * (len(LABELS) - len(kept) + (stop_at == 1))
    go("memory://lab/whole")
    assert without_statistics("memory://lab/stopped") == without_statistics("memory://lab/whole")


def test_a_stopped_table_goes_on_with_the_missing_parts(dataset, monkeypatch):
    monkeypatch.setattr(parts, "_LEAST", 4)
    asked = []

    def counted(images):
        asked.append(len(images))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return brightness(images)

    def go(url):
        return predict(make_classifier(counted), dataset, results=url, batch_size=4, progress=False)

    with pytest.raises(KeyboardInterrupt):
        go("memory://lab/stopped")
    kept = list(stored("memory://lab/stopped"))
    assert 1 <= len(kept) <= 3
    assert all(".parts/" in name for name in kept)
    with pytest.raises(MissingData, match="no predictions under memory://lab/stopped"):
        read_predictions("memory://lab/stopped")
    asked[:] = [0] * 4
    go("memory://lab/stopped")
    assert sum(asked) == 27 - 4 * len(kept)
    go("memory://lab/whole")
    assert without_statistics("memory://lab/stopped") == without_statistics("memory://lab/whole")


@pytest.mark.slow
def test_whichever_request_fails_the_same_search_completes():
    """A store that loses its connection once, in the middle of a file where one is being written."""
    url = "shaky://lab"
    fail_at(0)
    search(url, block_rows=2)
    whole, count = without_statistics(url), ShakyStore.requests
    assert count > 50
    refused = []
    for number in range(1, count + 1):
        ShakyStore.store.clear()
        ShakyStore.pseudo_dirs[:] = [""]
        fail_at(number)
        try:
            search(url, block_rows=2)
        except Unreadable as problem:
            refused.append(str(problem))
        restore()
        for name, content in without_statistics(url).items():
            if "/rows/" not in name and not name.endswith(".part"):
                assert content == whole[name], (number, name)
        np.testing.assert_array_equal(search(url, block_rows=2).native, MATRIX)
        after = {name: content for name, content in without_statistics(url).items() if not name.endswith(".part")}
        assert after == whole, number
    # the others are for what dead runs left, and for blocks that a finished matrix needs no longer
    assert len(refused) > count / 2
    assert all(said.startswith("expected to reach ") and "but the connection was reset" in said for said in refused)


def test_two_runs_fill_one_matrix_without_a_lock():
    pairs = make_pairs(MATRIX % 4, LABELS)
    runs = [PairStore(place_of("memory://lab") / "set" / "m", pairs.provenance) for _ in range(2)]
    heads = [run.begin(lambda: make_pairs(np.full((7, 7), NOT_EVALUATED), LABELS)) for run in runs]
    for number, run in enumerate(runs):
        run.write(range(4 * number, min(7, 4 * number + 4)), pairs.native[4 * number : 4 * number + 4])
    assert [run.missing(7, 4) for run in runs] == [[], []]
    assert (heads[1].native == NOT_EVALUATED).all()
    for run in runs:
        np.testing.assert_array_equal(run.finish(pairs.native).native, pairs.native)
    assert [name for name in stored("memory://lab/set/m") if "/" in name] == []


def test_an_old_table_stays_until_the_new_one_is_whole():
    path = prediction_file(place_of("shaky://lab"), "set-abcdef", "file:a.pt", "original")
    about = provenance()
    write_predictions(path, rows(), about)
    old = path.read_bytes()
    changed = rows(confidence=np.float32(0.5))
    refused = 0
    for number in range(1, 20):
        fail_at(number)
        try:
            write_predictions(path, changed, about)
        except Unreadable:
            refused += 1
        restore()
        assert path.read_bytes() == old or read_predictions_file(path)["confidence"].eq(0.5).all()
        assert len(read_predictions("shaky://lab")) == 4
        write_predictions(path, changed, about)
        assert read_predictions_file(path)["confidence"].eq(0.5).all()
        write_predictions(path, rows(), about)
    assert refused >= 4


def test_a_store_that_goes_away_while_results_are_read_is_said_once():
    search("shaky://lab")
    path = prediction_file(place_of("shaky://lab"), "set-abcdef", "file:a.pt", "original")
    write_predictions(path, rows(), provenance())
    for read in (read_predictions, read_pairs):
        fail_at(0)
        read("shaky://lab")
        for number in range(1, ShakyStore.requests + 1):
            fail_at(number)
            with pytest.raises(Unreadable) as error:
                read("shaky://lab")
            assert str(error.value).count("expected to") == 1
            assert str(error.value).startswith("expected to reach shaky://lab/p")
    restore()
    fail_at(2)  # after the question whether there is a table
    with pytest.raises(Unreadable, match="expected to reach"):
        reusable(path, provenance(), read_predictions_file)
    assert path.is_file()


def test_a_damaged_table_is_set_aside_and_computed_again(caplog):
    path = prediction_file(place_of("memory://lab"), "set-abcdef", "file:a.pt", "original")
    write_predictions(path, rows(), provenance())
    path.target.fs.pipe_file(path.target.path, path.read_bytes()[:-1])
    assert reusable(path, provenance(), read_predictions_file) is None
    (kept,) = stored("memory://lab")
    assert kept.endswith("/earlier/original-1.parquet")
    assert f"the damaged file is now memory://lab/{kept}" in caplog.text


def test_whichever_request_fails_a_matrix_of_other_settings_is_kept_whole():
    pairs = make_pairs(MATRIX % 4, LABELS)
    folder = place_of("shaky://lab") / "set" / "m"
    store = PairStore(folder, pairs.provenance)
    store.begin(lambda: pairs)
    store.finish(pairs.native, {"seconds": 1.0})
    whole, before = stored(str(folder)), dict(ShakyStore.store)
    assert len(whole) == 5
    others = {**pairs.provenance, "weights_sha256": "1" * 16}
    refused, number = 0, 0
    while number == 0 or ShakyStore.requests >= number:
        number += 1
        ShakyStore.store.clear()
        ShakyStore.store.update(before)
        fail_at(number)
        try:
            PairStore(folder, others)
        except Unreadable:
            refused += 1
        restore()
        store = PairStore(folder, others)
        assert set(stored(str(folder))) <= {"native.sha256", "run.json"}
        kept = [stored(f"shaky://lab/set/earlier/m-{place}") for place in (1, 2)]
        assert whole in kept, number
        store.begin(lambda: replace(pairs, provenance=others))
        np.testing.assert_array_equal(store.finish(pairs.native + 1).native, pairs.native + 1)
    assert refused > 15


def test_a_command_whose_store_goes_away_ends_in_one_sentence(tmp_path, capsys):
    table = tmp_path / "table.csv"
    scenes = "synthetic9?n=9&size=64"
    pd.DataFrame({"file_name": bglab.open_scenes(scenes).ids, "predicted_class": ["dog"] * 9}).to_csv(
        table, index=False
    )
    command = ["import", "--csv", str(table), "--scenes", scenes, "--model", "m", "--variant", "original"]
    command += ["--size", "64", "--results", "shaky://lab"]
    fail_at(1, 10_000)
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said == (
        "bglab: expected to reach shaky://lab, but the connection was reset; what is finished is kept: check the "
        "connection and the credentials, and run again\n"
    )
    restore()
    assert main(command) == 0
    for other in (["accuracy"], ["export", "--csv", str(tmp_path / "out.csv")]):
        assert main([*other, "--results", "shaky://lab"]) == 0
    assert "| " in capsys.readouterr().out
    fail_at(1, 10_000)
    assert main(["accuracy", "--results", "shaky://lab"]) == 2
    assert "expected to reach shaky://lab/predictions, but the connection was reset" in capsys.readouterr().err
