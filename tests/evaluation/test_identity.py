"""A stored result stands in for a new one only if everything that changes a prediction is the same."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch

from bglab.evaluation import predict, run_grid
from bglab.evaluation.tabulate import describe
from bglab.models import load_classifier
from bglab.results import identity, pairs_folder, prediction_file, read_provenance
from bglab.results.provenance import _DESCRIPTIVE
from bglab.saliency import saliency_table
from bglab.scenes import prepare
from bglab.search import search_matrix
from bglab.variants import StreamSettings, compose, open_full
from fixtures.stand_ins import make_scenes

SIZE = 32


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(per_class=1), SIZE, progress=False)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint that can be saved again with another mean and standard deviation."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=9)
    plain = {"architecture": "test_resnet", "state_dict": network.state_dict(), "input_size": 64}

    def save(**more):
        torch.save(plain | more, tmp_path / "best.pt")
        return load_classifier(f"file:{tmp_path / 'best.pt'}", engine="torch", device="cpu")

    return save


def rewrite(file, change):
    """Change a stored provenance, and mark the rows so that reused ones are recognised."""
    table = pq.read_table(file)
    stored = json.loads(table.schema.metadata[b"bglab"])
    change(stored)
    marked = table.set_column(
        table.schema.get_field_index("confidence"), "confidence", pa.array(np.full(len(table), 0.5, np.float32))
    )
    pq.write_table(marked.replace_schema_metadata({b"bglab": json.dumps(stored).encode()}), file)


def changes(provenance):
    """List every field of a provenance, those inside its dictionaries as well."""
    for name, value in provenance.items():
        if isinstance(value, dict):
            yield from ((name, inner) for inner in value)
        else:
            yield name, None


def other_value(stored, name, inner):
    if name == "classes":
        stored[name] = stored[name][::-1]
    elif inner == "pool_classes":
        stored[name][inner] = [1]
    elif name == "rejected":
        stored[name] = [["another", "file", "reason"]]
    elif inner is None:
        stored[name] = "another"
    else:
        stored[name][inner] = "another"


def predicted(classifier, prepared, results):
    return predict(classifier, compose(prepared, "mixed_next"), results=results, progress=False)


def explained(classifier, prepared, results):
    return saliency_table(classifier, prepared, ["mixed_next"], results=results, progress=False)


@pytest.mark.parametrize("compute", [predicted, explained])
def test_a_change_of_any_field_is_computed_again(checkpoint, prepared, tmp_path, compute):
    classifier = checkpoint()
    right = compute(classifier, prepared, tmp_path / "r")
    (file,) = (tmp_path / "r").rglob("*.parquet")
    kept, provenance = file.read_bytes(), read_provenance(file)
    tried = 0
    for name, inner in changes(provenance):
        file.write_bytes(kept)
        rewrite(file, lambda stored, name=name, inner=inner: other_value(stored, name, inner))
        again = compute(classifier, prepared, tmp_path / "r")
        if name in _DESCRIPTIVE:
            assert (again["confidence"] == 0.5).all(), f"{name} describes only, so the stored rows are read"
        else:
            pd.testing.assert_frame_equal(again, right, check_flags=False, obj=f"after {name} {inner or ''}")
            tried += 1
    assert tried >= 15, "most fields determine the result"


def test_a_change_of_any_field_searches_again(checkpoint, prepared, tmp_path):
    classifier = checkpoint()
    first = search_matrix(classifier, prepared, results=tmp_path / "r", progress=False)
    folder = pairs_folder(tmp_path / "r", first.dataset, first.model)
    shutil.copytree(folder, tmp_path / "kept")
    native = np.asarray(first.native).copy()
    for name, inner in changes(dict(first.provenance)):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "kept", folder)
        table = pq.read_table(folder / "foregrounds.parquet")
        stored = json.loads(table.schema.metadata[b"bglab"])
        other_value(stored, name, inner)
        metadata = {b"bglab": json.dumps(stored).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), folder / "foregrounds.parquet")
        np.save(folder / "native.npy", np.full_like(native, 5))
        (folder / "native.sha256").unlink()  # as of an earlier version
        if name in _DESCRIPTIVE:
            continue
        again = search_matrix(classifier, prepared, results=tmp_path / "r", progress=False)
        assert np.array_equal(again.native, native), f"{name} {inner or ''}"


def test_a_corrected_mean_and_standard_deviation_are_not_answered_from_the_store(checkpoint, prepared, tmp_path):
    wrong = predicted(checkpoint(mean=(0.1, 0.2, 0.3), std=(0.05,) * 3), prepared, tmp_path / "kept")
    corrected = checkpoint(mean=(0.5,) * 3, std=(0.5,) * 3)
    again, fresh = (predicted(corrected, prepared, tmp_path / folder) for folder in ("kept", "fresh"))
    pd.testing.assert_frame_equal(again, fresh, check_flags=False)
    assert not np.allclose(wrong["confidence"], fresh["confidence"]), "the case must tell the two apart"
    kept, other = (
        search_matrix(corrected, prepared, results=tmp_path / folder, progress=False).native
        for folder in ("kept", "fresh")
    )
    assert np.array_equal(kept, other)


def test_a_sweep_computes_a_checkpoint_again_that_was_saved_anew_under_its_path(checkpoint, data_folder, tmp_path):
    full = open_full(make_scenes(per_class=1), StreamSettings(smallest=0, largest=1, workers=1), progress=False)

    def states(model):
        grid = run_grid([model], full, ["original"], tmp_path / "r", progress=False)
        return grid.done["state"].tolist()

    model = checkpoint(mean=(0.1, 0.2, 0.3)).spec.id
    assert [states(model), states(model)] == [["new"], ["kept"]]
    before = (tmp_path / "best.pt").stat()
    checkpoint(mean=(0.5, 0.5, 0.5))
    assert (tmp_path / "best.pt").stat().st_size == before.st_size, "only the content tells"
    assert states(model) == ["new"]


def test_files_from_before_the_protocol_had_a_name_are_still_read(checkpoint, prepared, tmp_path):
    classifier = checkpoint()
    predicted(classifier, prepared, tmp_path / "r")
    (file,) = (tmp_path / "r").rglob("*.parquet")

    def forget(stored):
        del stored["preprocessing"]["protocol"], stored["resolution"], stored["file_sha256"]

    rewrite(file, forget)
    assert (predicted(classifier, prepared, tmp_path / "r")["confidence"] == 0.5).all()


def test_the_identity_is_json_and_leaves_out_what_only_describes(checkpoint, prepared):
    provenance = describe(checkpoint(), compose(prepared, "original"))
    found = identity(provenance)
    assert found == json.loads(json.dumps(found))
    assert not set(found) & _DESCRIPTIVE
    assert {"weights_sha256", "preprocessing", "decision_rule", "engine", "precision", "pixels", "seed"} <= set(found)


def test_predictions_are_stored_where_they_are_looked_for(checkpoint, prepared, tmp_path):
    classifier = checkpoint()
    table = predicted(classifier, prepared, tmp_path)
    key = table["dataset"].iloc[0]
    assert prediction_file(tmp_path, key, classifier.spec.id, "mixed_next").is_file()
