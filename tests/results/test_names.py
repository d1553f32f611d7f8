"""File names of models, data sets and variants: no two share one, and none leads out of its folder."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bglab.results import (
    PairStore,
    data_file_name,
    export_predictions,
    file_name,
    model_file_name,
    pairs_folder,
    prediction_file,
    read_predictions_file,
    saliency_file,
    write_predictions,
)
from fixtures.matrices import make_pairs
from fixtures.prediction_rows import provenance, rows

ODD = ["", ".", "..", "../../evil", "/etc/evil", "a\\..\\b", "a/b", "a\0b", ".hidden", "dot.", "space ", " space",
       "CON", "con", "nul.txt", "Com1", "ä", "a\u0308", "A", "a", "a b", "a-b", "a:b", "a\nb", "x" * 400, "x" * 401,
       "\ud800", "~a", "-a", "a*", "a?"]  # fmt: skip


@pytest.mark.parametrize("make", [file_name, model_file_name])
def test_every_name_has_a_component_of_its_own(make):
    made = [make(name) for name in [*ODD, *map(make, ODD)]]
    distinct = {*ODD, *map(make, ODD)}
    assert len({name.lower() for name in made}) == len(distinct)
    for name in made:
        assert Path(name).name == name
        assert 0 < len(name.encode()) <= 150
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith((".", " "))
        assert not name.endswith((".", " "))
        assert name.partition(".")[0].lower() not in {"con", "nul", "com1"}


def test_readable_names_stay():
    assert model_file_name("lite:efficientnet_lite0") == "lite-efficientnet_lite0"
    assert file_name("in9-bg_challenge-12ab34") == "in9-bg_challenge-12ab34"
    assert data_file_name("synthetic9:n=450 size=64", "f7e65b99") == "synthetic9-n-450-size-64-f7e65b"
    models = ["a:b-c", "a-b:c", "a:b:c", "a-b-c"]
    assert len({model_file_name(model) for model in models}) == len(models)


def test_no_result_lies_outside_its_folder(tmp_path):
    results = tmp_path / "results"
    for odd, place in itertools.product(ODD, range(3)):
        run = ["set", "a:b", "original"]
        run[place] = odd
        for path in (
            prediction_file(results, *run),
            saliency_file(results, *run, "grad_cam-true"),
            pairs_folder(results, run[0], run[1]),
        ):
            inside = path.relative_to(results).parts
            assert ".." not in inside
            assert len(inside) in {3, 4}
    table = rows(model="../m", variant="/../../v", dataset="../../d")
    (path,) = export_predictions(table, results)
    assert results.resolve() in path.resolve().parents
    assert len(path.relative_to(results).parts) == 3


def test_saliency_of_hyphenated_variants_is_kept_apart(tmp_path):
    def path(variant, how):
        return saliency_file(tmp_path, "set", "a:b", variant, how)

    assert path("a-b", "grad_cam-true") != path("a", "b-grad_cam-true")
    assert path("original", "grad_cam-true").name == "original-grad_cam-true.parquet"


def test_predictions_under_an_earlier_name_are_found_if_they_are_of_the_model(tmp_path):
    model, other = "tv:resnet50/IMAGENET1K_V1", "tv:resnet50 IMAGENET1K_V1"
    earlier = tmp_path / "predictions" / "set-abcdef" / "tv-resnet50-IMAGENET1K_V1" / "original.parquet"
    write_predictions(earlier, rows(model), provenance(model=model))
    table = pq.read_table(earlier)
    metadata = {b"bglab": json.dumps(provenance(model=model)).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), earlier)  # as of an earlier version
    assert prediction_file(tmp_path, "set-abcdef", model, "original") == earlier
    assert len(read_predictions_file(earlier)) == 4
    found = prediction_file(tmp_path, "set-abcdef", other, "original")
    assert found != earlier
    write_predictions(found, rows(other), provenance(model=other))
    assert prediction_file(tmp_path, "set-abcdef", model, "original") == earlier, "the other one has not replaced it"


def test_pairs_under_an_earlier_name_are_found_if_they_are_of_the_model(tmp_path):
    head = make_pairs(np.full((2, 2), -2), [0, 1], model="file:my net.pt")
    earlier = tmp_path / "pairs" / "set" / "file-my-net.pt"
    PairStore(earlier, head.provenance).begin(lambda: head)
    assert pairs_folder(tmp_path, "set", "file:my net.pt") == earlier
    assert pairs_folder(tmp_path, "set", "file:my-net.pt").name == "file-my-net.pt"
    assert pairs_folder(tmp_path, "set", "file:my_net.pt") != earlier
