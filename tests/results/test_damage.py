"""Files of results that are damaged or of another form: read as they were written, or refused by name."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bglab.errors import BadInput, Unreadable
from bglab.files import trained_results
from bglab.results import (
    PREDICTION_SCHEMA,
    PairStore,
    open_pairs,
    prediction_file,
    read_predictions,
    read_predictions_file,
    read_provenance,
    reusable,
    write_predictions,
)
from bglab.results.stored import read_content
from bglab.sealed import seal, unseal
from fixtures.matrices import make_pairs
from fixtures.prediction_rows import provenance, rows

NATIVE = np.arange(16).reshape(4, 4) % 9


@pytest.fixture
def file(tmp_path):
    path = prediction_file(tmp_path, "set-abcdef", "file:a.pt", "original")
    write_predictions(path, rows(), provenance())
    return path


def test_what_is_written_is_read(file):
    found = read_predictions_file(file)
    pd.testing.assert_frame_equal(
        found.drop(columns="top5"), rows().drop(columns="top5"), check_dtype=False, check_flags=False
    )
    assert found["top5"].map(list).tolist() == rows()["top5"].tolist()
    assert found.attrs == provenance() == read_provenance(file)


def test_a_flipped_bit_is_never_read_as_other_rows(file):
    content, right = file.read_bytes(), repr(read_predictions_file(file).to_dict())
    refused = 0
    for place in range(0, len(content), 2):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(bytes(damaged))
        try:
            found = repr(read_predictions_file(file).to_dict())
        except BadInput as problem:
            reason = str(problem)
        else:
            assert found == right, place
            continue
        assert str(file) in reason
        assert "remove it" in reason
        refused += 1
    assert refused > len(content) / 4


@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(file, part):
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(BadInput, match="but reading failed"):
        read_predictions_file(file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop_columns(["label"]), "no column 'label'"),
        (lambda t: t.set_column(5, "label", pa.array([None] * 4, pa.int16())), "'label' is empty in 4 rows"),
        (lambda t: t.set_column(5, "label", pa.array([[0]] * 4)), "reading failed"),
        (lambda t: t.set_column(5, "label", pa.array([9] * 4)), "the label 9, which no class of in9 has"),
        (lambda t: t.set_column(8, "native", pa.array([-2] * 4)), "the label -2"),
        (lambda t: t.set_column(9, "top5", pa.array([[1000]] * 4)), "the label 1000"),
        (lambda t: t.set_column(10, "confidence", pa.array([1.5] * 4)), "confidence of 1.5"),
        (lambda t: t.set_column(10, "confidence", pa.array([np.inf] * 4)), "confidence of inf"),
        (lambda t: t.set_column(10, "confidence", pa.array([np.nan] * 4)), "confidences that are not numbers"),
        (lambda t: pa.concat_tables([t, t]), "the scene 's0' twice"),
        (lambda t: t.slice(0, 0), "no rows"),
        (lambda t: t.replace_schema_metadata({b"bglab": b"[1]"}), "provenance is a list"),
        (lambda t: t.replace_schema_metadata({b"bglab": b"\xff\xfe{}"}), "reading failed"),
        (lambda t: t.replace_schema_metadata({b"bglab": b'{"classes": 3}'}), "classes of its provenance"),
        (lambda t: t.replace_schema_metadata({b"bglab": b'{"rejected": ["x"]}'}), "rejected of its provenance"),
        (lambda t: t.replace_schema_metadata({b"bglac": b"{}"}), "unknown entry"),
    ],
)
def test_an_odd_file_of_an_earlier_version_is_refused(file, change, reason):
    table = pq.read_table(file)
    earlier = table.replace_schema_metadata({b"bglab": json.dumps(provenance()).encode()})
    pq.write_table(earlier, file)
    assert len(read_predictions_file(file)) == 4, "no digest is needed"
    pq.write_table(change(earlier), file)
    with pytest.raises(BadInput, match=reason):
        read_predictions_file(file)


def test_rows_that_no_run_makes_are_not_written(tmp_path):
    for changed in ({"confidence": np.nan}, {"label": 9}, {"scene": "same"}, {"native": -3}):
        with pytest.raises(BadInput, match="expected predictions to write to"):
            write_predictions(tmp_path / "a.parquet", rows(**changed), provenance())
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_set_aside_and_computed_again(file, caplog):
    file.write_bytes(file.read_bytes()[:-30])
    damaged = file.read_bytes()
    assert reusable(file, provenance(), read_predictions_file) is None
    assert f"computing {file} again" in caplog.text
    assert not file.exists()
    assert (file.parent / "earlier" / "original-1.parquet").read_bytes() == damaged
    write_predictions(file, rows(), provenance())
    assert reusable(file, provenance(), read_predictions_file) is not None
    assert len(read_predictions(file.parents[3])) == 4, "what is set aside is not read"


def test_a_failing_disk_is_not_damage(file, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(file), "read_bytes", fail)
    for read in (read_content, read_predictions_file, read_provenance):
        with pytest.raises(Unreadable, match="Input/output error"):
            read(file)
    with pytest.raises(Unreadable):
        reusable(file, provenance(), read_predictions_file)
    assert file.exists(), "it may be well"


def test_damaged_files_are_named_or_passed_over(file, tmp_path):
    other = prediction_file(tmp_path, "set-abcdef", "file:b.pt", "original")
    write_predictions(other, rows("file:b.pt"), provenance(model="file:b.pt"))
    file.write_bytes(b"nothing")
    with pytest.raises(BadInput, match=str(file)):
        read_predictions(tmp_path)
    found = read_predictions(tmp_path, damaged="skip")
    assert set(found["model"]) == {"file:b.pt"}
    assert [str(file) in reason for reason in found.attrs["damaged"]] == [True]
    other.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="no file can be read"):
        read_predictions(tmp_path, damaged="skip")


def test_a_copy_of_a_file_does_not_count_twice(file, tmp_path):
    (file.parent / "original (copy).parquet").write_bytes(file.read_bytes())
    with pytest.raises(BadInput, match="expected one file of file:a.pt on set-abcdef, original"):
        read_predictions(tmp_path)


def test_the_results_that_come_with_the_package_are_read():
    files = sorted(trained_results().glob("*/*.parquet"))
    assert files
    for path in files:
        assert set(read_predictions_file(path)) == set(PREDICTION_SCHEMA.names)


def head():
    return make_pairs(np.full((4, 4), -2), [0, 1, 2, 3])


def searched(folder):
    store = PairStore(folder, head().provenance)
    begun = store.begin(head)
    store.write(range(2), NATIVE[:2].astype(np.int16))
    store.write(range(2, 4), NATIVE[2:].astype(np.int16))
    begun.native[:] = NATIVE
    store.note({"seconds": 1.5, "forwards": 16})
    return store, begun


@pytest.mark.parametrize(
    "name", ["native.npy", "native.sha256", "foregrounds.parquet", "backgrounds.parquet", "run.json"]
)
def test_a_flipped_bit_never_changes_a_matrix(tmp_path, name):
    store, begun = searched(tmp_path / "m")
    store.finish(begun.native)
    file = tmp_path / "m" / name
    content = file.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 120)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(bytes(damaged))
        try:
            found = open_pairs(tmp_path / "m")
        except BadInput:
            continue
        assert np.array_equal(found.native, NATIVE)
        assert found.provenance == head().provenance
        assert found.run == {"seconds": 1.5, "forwards": 16}


@pytest.mark.parametrize("name", ["native.npy", "foregrounds.parquet", "backgrounds.parquet"])
def test_damaged_pairs_are_set_aside_and_searched_again(tmp_path, name, caplog):
    store, begun = searched(tmp_path / "m")
    store.finish(begun.native)
    (tmp_path / "m" / name).write_bytes(b"nothing")
    again = PairStore(tmp_path / "m", head().provenance)
    assert not again.is_finished
    assert "the damaged pairs are now in" in caplog.text
    assert (tmp_path / "earlier" / "m-1" / name).read_bytes() == b"nothing"


def test_of_damaged_blocks_only_their_rows_are_searched_again(tmp_path, caplog):
    searched(tmp_path / "m")
    blocks = sorted((tmp_path / "m" / "rows").glob("*.npy"))
    content = bytearray(blocks[1].read_bytes())
    content[-1] ^= 1
    blocks[1].write_bytes(bytes(content))
    again = PairStore(tmp_path / "m", head().provenance)
    begun = again.begin(head)
    assert np.array_equal(begun.native[:2], NATIVE[:2])
    assert again.missing(4, 2) == [range(2, 4)]
    assert f"expected pairs in {blocks[1]}, but they have changed" in caplog.text
    assert (blocks[1].parent / "earlier" / f"{blocks[1].stem}-1.npy").is_file()


def test_classes_that_no_classifier_has_are_no_pairs(tmp_path):
    store, begun = searched(tmp_path / "m")
    store.finish(begun.native)
    (tmp_path / "m" / "native.sha256").unlink()  # as of an earlier version
    assert open_pairs(tmp_path / "m").evaluated == 16
    np.save(tmp_path / "m" / "native.npy", np.full((4, 4), 9, np.int16))
    with pytest.raises(BadInput, match="the label 9, which no class of in9 has"):
        open_pairs(tmp_path / "m")


def test_sealed_json_notices_a_changed_digit():
    sealed = seal({"forwards": 10})
    assert unseal(json.loads(json.dumps(sealed))) == {"forwards": 10}
    with pytest.raises(ValueError, match="changed"):
        unseal(sealed | {"forwards": 11})
    with pytest.raises(ValueError, match="a list"):
        unseal([1])
    assert unseal({"forwards": 10}) == {"forwards": 10}, "as of an earlier version"


def test_runs_in_a_folder_that_cannot_be_listed_are_not_left_out(file, tmp_path, unlistable):
    assert len(read_predictions(tmp_path)) == 4
    unlistable(file.parent)
    with pytest.raises(Unreadable, match="Permission denied"):
        read_predictions(tmp_path)
