"""Pair matrices on disk: written whole or not at all, with the same bytes however often a run was interrupted."""

from __future__ import annotations

import numpy as np
import pytest

from bglab.errors import BadInput, MissingData
from bglab.results import NOT_EVALUATED, PairStore, open_pairs, pair_store, pairs_folder
from bglab.results.pairs import read_pairs
from bglab.results.protocol import Protocol
from fixtures.matrices import make_pairs

LABELS = [0, 0, 1, 1, 2, 2]
NATIVE = np.arange(36).reshape(6, 6) % 9


def head():
    return make_pairs(np.full((6, 6), NOT_EVALUATED), LABELS, original=[0, 1, 1, 1, 2, 0])


def store(folder, **changed):
    return PairStore(folder, {**head().provenance, **changed})


def fill(folder, blocks=((0, 2), (2, 4), (4, 6))):
    matrix = store(folder)
    begun = matrix.begin(head)
    for start, stop in blocks:
        matrix.write(range(start, stop), NATIVE[start:stop])
        begun.native[start:stop] = NATIVE[start:stop]
    matrix.note({"seconds": 1.5})
    return matrix.finish(begun.native)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_written_is_read(tmp_path):
    written = fill(tmp_path / "m")
    files = ["backgrounds.parquet", "foregrounds.parquet", "native.npy", "native.sha256", "run.json"]
    assert sorted(contents(tmp_path / "m")) == files
    again = open_pairs(tmp_path / "m")
    for found in (written, again):
        assert isinstance(found.native, np.memmap)
        assert not found.native.flags.writeable
        assert found.native.dtype == np.int16
        np.testing.assert_array_equal(found.native, NATIVE)
        assert found.foregrounds.ids == head().foregrounds.ids
        assert found.foregrounds.labels.tolist() == LABELS
        assert found.original.tolist() == [0, 1, 1, 1, 2, 0]
        assert found.correct.tolist() == [True, False, True, True, True, False]
        assert found.provenance == head().provenance
        assert found.run == {"seconds": 1.5}
        assert (found.model, found.dataset, found.protocol) == ("m", "set", Protocol())


def test_blocks_in_any_order_leave_the_same_bytes(tmp_path):
    fill(tmp_path / "a")
    fill(tmp_path / "b", [(4, 6), (3, 4), (0, 3)])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    matrix = store(tmp_path / "m")
    matrix.begin(head)
    matrix.write(range(2, 4), NATIVE[2:4])
    (tmp_path / "m" / "rows" / ".000004-000006.npy-1").write_bytes(b"half a block")
    again = store(tmp_path / "m")

    def refuse():
        raise AssertionError("the untouched images were asked about already")

    begun = again.begin(refuse)
    assert (begun.native[2:4] == NATIVE[2:4]).all()
    assert (begun.native[[0, 1, 4, 5]] == NOT_EVALUATED).all()
    assert again.missing(6, 2) == [range(2), range(4, 6)]
    assert again.missing(6, 3) == [range(2), range(4, 6)]
    assert again.missing(6, 1) == [range(0, 1), range(1, 2), range(4, 5), range(5, 6)]
    assert not again.is_finished
    with pytest.raises(MissingData) as error:
        open_pairs(tmp_path / "m")
    assert str(error.value) == (
        f"no finished pair matrix in {tmp_path / 'm'}; make it, or finish it, with bglab search"
    )
    begun.native[[0, 1, 4, 5]] = NATIVE[[0, 1, 4, 5]]
    again.note({"seconds": 1.5})
    again.finish(begun.native)
    fill(tmp_path / "whole")
    assert contents(tmp_path / "m") == contents(tmp_path / "whole")


def test_a_write_that_dies_leaves_nothing_that_counts(tmp_path, monkeypatch):
    matrix = store(tmp_path / "m")
    matrix.begin(head)

    def die(file, _array):
        file.write(b"\x93NUMPY and then the plug is pulled")
        raise KeyboardInterrupt

    monkeypatch.setattr(pair_store.np, "save", die)
    with pytest.raises(KeyboardInterrupt):
        matrix.write(range(2), NATIVE[:2])
    assert store(tmp_path / "m").missing(6, 2) == [range(2), range(2, 4), range(4, 6)]


@pytest.mark.parametrize("name", ["weights_sha256", "pixels", "engine", "precision", "size", "foregrounds"])
def test_another_matrix_is_not_mixed_in_but_set_aside(tmp_path, name, caplog):
    matrix = store(tmp_path / "m")
    matrix.begin(head)
    matrix.write(range(2), NATIVE[:2])
    before = contents(tmp_path / "m")
    other = store(tmp_path / "m", **{name: "other"})
    assert other.missing(6, 2) == [range(2), range(2, 4), range(4, 6)]
    assert contents(tmp_path / "earlier" / "m-1") == before
    assert f"({name} was {head().provenance[name]}, is other)" in caplog.text
    other.begin(head)
    store(tmp_path / "m", **{name: "third"})
    assert (tmp_path / "earlier" / "m-2").is_dir(), "the first one stays"


def test_broken_files_are_named(tmp_path):
    fill(tmp_path / "m")
    file = tmp_path / "m" / "native.npy"
    np.save(file, NATIVE[:5].astype(np.int16))
    with pytest.raises(BadInput) as error:
        open_pairs(tmp_path / "m")
    assert str(error.value) == (
        f"expected pairs in {file}, but they have changed since they were written; remove the folder and search again"
    )
    (tmp_path / "m" / "native.sha256").unlink()
    with pytest.raises(BadInput) as error:
        open_pairs(tmp_path / "m")
    assert str(error.value) == (
        f"expected int16 of shape (6, 6) in {file}, got int16 of shape (5, 6); remove the folder and search again"
    )
    file.write_bytes(b"nothing")
    with pytest.raises(BadInput, match=f"expected pairs in {file}, but reading failed"):
        open_pairs(tmp_path / "m")
    fill(tmp_path / "n")
    broken = tmp_path / "n" / "backgrounds.parquet"
    broken.write_bytes(b"nothing")
    with pytest.raises(BadInput, match=f"expected backgrounds of pairs in {broken}, but reading failed"):
        open_pairs(tmp_path / "n")


def test_a_block_of_another_shape_is_set_aside_and_computed_again(tmp_path, caplog):
    matrix = store(tmp_path / "m")
    matrix.begin(head)
    matrix.write(range(2), NATIVE[:1])
    (file,) = (tmp_path / "m" / "rows").glob("*.npy")
    again = store(tmp_path / "m")
    again.begin(head)
    assert again.missing(6, 2) == [range(2), range(2, 4), range(4, 6)]
    assert f"expected int16 of shape (2, 6) in {file}, got int16 of shape (1, 6)" in caplog.text
    assert (file.parent / "earlier" / f"{file.stem}-1.npy").is_file()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="expected to write pairs to .*, but Not a directory; what was finished is kept"):
        store(tmp_path / "file" / "m").begin(head)


def test_one_matrix_of_a_results_folder(tmp_path):
    with pytest.raises(MissingData) as error:
        read_pairs(tmp_path)
    assert str(error.value) == (
        f"no pair matrix of 'any model' on 'any set' under {tmp_path}; make it with bglab search --results {tmp_path} …"
    )
    fill(pairs_folder(tmp_path, "set-1", "m"))
    assert read_pairs(tmp_path, dataset="set", model="m").native.shape == (6, 6)
    fill(pairs_folder(tmp_path, "set-2", "m"))
    with pytest.raises(BadInput) as error:
        read_pairs(tmp_path)
    assert str(error.value) == (
        "expected one pair matrix that matches, got 2 (pairs/set-1/m, pairs/set-2/m); name dataset and model"
    )
    assert read_pairs(tmp_path, dataset="set-2").native.shape == (6, 6)


def test_imagenet_predictions_are_mapped_and_gaps_stay():
    found = make_pairs([[207, 859], [7, NOT_EVALUATED]], [0, 1], original=[207, 859], native_space="imagenet")
    assert found.predictions().tolist() == [[0, -1], [1, NOT_EVALUATED]]
    assert found.predictions().dtype == np.int16
    assert found.original_predictions().tolist() == [0, -1]
    assert found.correct.tolist() == [True, False]


@pytest.mark.parametrize(
    ("protocol", "count"),
    [
        (Protocol(), 36),
        (Protocol(own_image=False), 30),
        (Protocol(own_class=False), 24),
        (Protocol(pool_classes=(1,)), 12),
        (Protocol(pool_per_class=1), 18),
        (Protocol(foregrounds_per_class=1, pool_per_class=1), 9),
        (Protocol(only_right=True), 24),
        (Protocol(own_class=False, only_right=True), 16),
    ],
)
def test_protocols_allow_what_they_say(protocol, count):
    allowed = head().allowed(protocol)
    assert allowed.sum() == count
    labels = np.array(LABELS)
    if not protocol.own_class:
        assert not allowed[labels[:, None] == labels].any()
    if not protocol.own_image:
        assert not allowed.diagonal().any()
    if protocol.pool_classes:
        assert set(labels[allowed.any(axis=0)]) == {1}
    if protocol.only_right:
        assert not allowed[~head().correct].any()
    if protocol.pool_per_class:
        assert sorted(labels[allowed.any(axis=0)]) == [0, 1, 2]


def test_the_pool_does_not_depend_on_the_order():
    ids = [f"s{i}" for i in range(40)]
    labels = np.arange(40) % 4
    drawn = Protocol(pool_per_class=3).in_pool(ids, labels)
    turned = Protocol(pool_per_class=3).in_pool(ids[::-1], labels[::-1])
    assert drawn.sum() == 12
    np.testing.assert_array_equal(drawn, turned[::-1])
    assert not drawn[:12].all()
    more = Protocol(pool_per_class=5).in_pool(ids, labels)
    assert (more >= drawn).all()


def test_every_departure_is_in_the_name():
    assert Protocol().key == ""
    everything = Protocol(
        own_image=False,
        own_class=False,
        pool_classes=(0, 3),
        pool_per_class=2,
        foregrounds_per_class=4,
        only_right=True,
    )
    assert everything.key == "no-own-image-no-own-class-of-0-3-2-a-class-4-foregrounds-only-right"
