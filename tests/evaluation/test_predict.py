"""Predictions: correct rows, stored whole, and reused only for the same pixels and weights."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from bglab.errors import BadInput, MissingData
from bglab.evaluation import predict
from bglab.models import Batching, classify_batches
from bglab.results import predictions, read_provenance
from bglab.scenes import prepare
from bglab.variants import composition as datasets
from fixtures.stand_ins import make_classifier, make_scenes

SIZE = 32


def brightness(images):
    """Predict by mean brightness, which depends on every pixel."""
    return (images.float().mean((1, 2, 3)).long()) % 9


@pytest.fixture(scope="module")
def dataset(data_folder):
    return datasets.compose(prepare(make_scenes(), SIZE, progress=False), "mixed_next", progress=False)


def test_one_row_per_image(dataset):
    classifier = make_classifier(brightness)
    table = predict(classifier, dataset, batch_size=5, progress=False)
    assert list(table.columns) == predictions.PREDICTION_SCHEMA.names
    assert classifier.engine.batch_sizes == [5, 5, 5, 5, 5, 2]
    assert table.scene.tolist() == [row.scene for row in dataset.rows]
    assert table.donor.tolist() == [row.donor for row in dataset.rows]
    assert table.prediction.tolist() == brightness(dataset.images(slice(0, 27), "cpu")).tolist()
    assert (table.native == table.prediction).all()
    assert all(row.top5[0] == row.native and len(row.top5) == 5 for row in table.itertuples())
    assert np.allclose(table.confidence, np.e / (np.e + 8))


@pytest.mark.parametrize("batch_size", [1, 4, 27, 100])
def test_the_batch_size_changes_nothing(dataset, batch_size):
    whole = predict(make_classifier(brightness), dataset, progress=False)
    table = predict(make_classifier(brightness), dataset, batch_size=batch_size, progress=False)
    pd.testing.assert_frame_equal(table, whole, check_flags=False)


def test_out_of_memory_halves_the_batch_and_loses_nothing(dataset, caplog):
    def needs_small_batches(images):
        if len(images) > 6:
            raise torch.cuda.OutOfMemoryError("too many images")
        return brightness(images)

    classifier = make_classifier(needs_small_batches)
    with caplog.at_level(logging.WARNING):
        table = predict(classifier, dataset, batch_size=16, progress=False)
    assert table.prediction.tolist() == brightness(dataset.images(slice(0, 27), "cpu")).tolist()
    assert max(classifier.engine.batch_sizes[-3:]) == 4
    assert "out of memory on cpu: going on with batches of 8" in caplog.text

    def never(_images):
        raise torch.cuda.OutOfMemoryError("none fits")

    with pytest.raises(BadInput, match="but a single image runs out of its memory; use --device cpu"):
        predict(make_classifier(never), dataset, progress=False)


def test_an_error_in_rendering_reaches_the_caller(dataset):
    def broken(_positions, _device):
        raise BadInput("the disk went away")

    import dataclasses

    with pytest.raises(BadInput, match="the disk went away"):
        predict(make_classifier(brightness), dataclasses.replace(dataset, images=broken), progress=False)


def test_results_are_stored_and_read_again(dataset, tmp_path):
    classifier = make_classifier(brightness)
    first = predict(classifier, dataset, results=tmp_path, progress=False)
    calls = len(classifier.engine.batch_sizes)
    again = predict(classifier, dataset, results=tmp_path, progress=False)
    assert len(classifier.engine.batch_sizes) == calls
    pd.testing.assert_frame_equal(
        again.drop(columns="top5"), first.drop(columns="top5"), check_flags=False, check_dtype=False
    )
    assert [list(t) for t in again.top5] == [list(t) for t in first.top5]
    (path,) = predictions.prediction_files(tmp_path)
    assert path.relative_to(tmp_path).as_posix() == f"predictions/{dataset.key}/rule-rule/mixed_next.parquet"
    provenance = read_provenance(path)
    assert provenance["pixels"] == dataset.digest
    assert provenance["rows"] == 27
    assert provenance["images_per_s"] > 0
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    assert pq.read_table(path).num_rows == 27
    pd.testing.assert_frame_equal(predictions.read_predictions(tmp_path), again, check_flags=False)


def test_other_pixels_are_predicted_again(dataset, tmp_path, caplog):
    import dataclasses

    predict(make_classifier(brightness), dataset, results=tmp_path, progress=False)
    changed = make_classifier(brightness)
    with caplog.at_level(logging.WARNING):
        predict(changed, dataclasses.replace(dataset, digest="another"), results=tmp_path, progress=False)
    assert changed.engine.batch_sizes
    assert f"pixels was {dataset.digest}, is another" in caplog.text


def test_a_killed_write_leaves_no_file_that_counts(dataset, tmp_path, monkeypatch):
    def die(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", die)
    with pytest.raises(KeyboardInterrupt):
        predict(make_classifier(brightness), dataset, results=tmp_path, progress=False)
    assert list(predictions.prediction_files(tmp_path)) == []


def test_unlike_pixels_never_share_a_name(data_folder):
    prepared = prepare(make_scenes(), SIZE, progress=False)
    keys = {
        datasets.compose(prepared, "original").key,
        datasets.compose(prepared, "original", seed=2).key,
        datasets.compose(make_scenes(), "original", size=48, progress=False).key,
        datasets.compose(make_scenes(per_class=4), "original", size=SIZE, progress=False).key,
    }
    assert len(keys) == 4
    assert all(key.startswith("random-") for key in keys)


def test_a_classifier_of_other_classes_is_refused(dataset):
    import dataclasses

    foreign = dataclasses.replace(dataset, space="voc", classes=("cat", "dog"))
    with pytest.raises(BadInput) as error:
        predict(make_classifier(brightness), foreign, progress=False)
    assert str(error.value).startswith(
        "expected a classifier that predicts the classes of random (voc, 2 classes), but rule:rule predicts those of "
        "in9 (9): only the scenes have cat; only the classifier has bird, vehicle, reptile, carnivore, insect …; choose"
    )


def test_no_results_say_how_to_make_them(tmp_path):
    with pytest.raises(MissingData) as error:
        predictions.read_predictions(tmp_path)
    assert str(error.value) == (f"no predictions under {tmp_path}; make them with bglab predict --results {tmp_path} …")


def test_a_broken_result_file_is_named(dataset, tmp_path):
    predict(make_classifier(brightness), dataset, results=tmp_path, progress=False)
    (path,) = predictions.prediction_files(tmp_path)
    path.write_bytes(b"PAR1 but not much more")
    with pytest.raises(BadInput, match=f"expected predictions in {path}, but reading failed"):
        predictions.read_predictions(tmp_path)
    assert len(predict(make_classifier(brightness), dataset, results=tmp_path, progress=False)) == 27


def test_a_folder_that_cannot_be_written(dataset, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="expected to write results to .*, but Not a directory; choose a folder"):
        predict(make_classifier(brightness), dataset, results=tmp_path / "file" / "results", progress=False)


def test_the_render_thread_ends_with_the_loop(dataset):
    import threading

    predict(make_classifier(brightness), dataset, batch_size=2, progress=False)
    classifier = make_classifier(brightness)
    batches = classify_batches(classifier, lambda part: dataset.images(part, "cpu"), len(dataset), Batching(2))
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name == "bglab-render"]
