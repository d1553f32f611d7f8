"""Networks whose logits are not finite are refused by name rather than tabulated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bglab
from bglab.errors import BadInput
from bglab.evaluation import predict
from bglab.models import finite_logits
from bglab.scenes import prepare
from bglab.search import search_matrix
from bglab.variants import compose
from fixtures.stand_ins import make_scenes

SIZE = 32


def turning(value):
    """Classify images as usual when the function is tried, and later with one logit of another value."""
    calls = []

    def network(images):
        calls.append(len(images))
        logits = torch.zeros(len(images), 9)
        logits[:, 1] = images.mean((1, 2, 3))
        if len(calls) > 2:
            logits[0, 3] = value
        return logits

    return bglab.classifier(network, name="turning", classes="in9", size=SIZE, device="cpu")


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(per_class=1), SIZE, progress=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_by_name(prepared, tmp_path, value):
    with pytest.raises(BadInput, match="expected finite logits of .*turning"):
        predict(turning(value), compose(prepared, "original"), results=tmp_path, batch_size=2, progress=False)
    assert not list(tmp_path.rglob("*.parquet"))
    with pytest.raises(BadInput, match="expected finite logits of .*turning"):
        search_matrix(turning(value), prepared, results=tmp_path, batch_size=4, progress=False)


def test_a_class_without_any_probability_is_no_error():
    classifier = turning(0.0)
    logits = torch.tensor([[0.0, -torch.inf], [1.0, 2.0]])
    assert finite_logits(classifier, logits) is logits
    for row in ([np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]):
        with pytest.raises(BadInput, match="got NaN or infinity"):
            finite_logits(classifier, torch.tensor([row]))
