"""The first hit: the verdicts of brute force from fewer pairs, in a learned order, and kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bglab import analysis as fooling
from bglab.errors import BadInput
from bglab.results import CRITERIA, NOT_EVALUATED
from bglab.results.protocol import Protocol
from bglab.search import first_hit, search_matrix
from fixtures.matrices import LABELS, MATRIX, ORIGINAL, coded_scenes, matrix_classifier
from fixtures.stand_ins import make_classifier


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.sampled_from(CRITERIA),
    st.sampled_from([1, 4, 16]),
    st.booleans(),
)
def test_the_first_hit_gives_the_verdicts_of_brute_force(count, seed, share, criterion, batch_size, own_class):
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 3, size=count))
    matrix = np.where(rng.random((count, count)) < share, labels[:, None], rng.integers(0, 3, size=(count, count)))
    protocol = Protocol(own_class=own_class)
    if not own_class and len(set(labels)) == 1:
        return
    classifier, scenes = matrix_classifier(matrix, labels), coded_scenes(labels)
    hits = first_hit(classifier, scenes, criterion=criterion, protocol=protocol, batch_size=batch_size, progress=False)
    pairs = search_matrix(classifier, scenes, protocol=protocol, progress=False)
    outcomes = fooling.pair_outcomes(pairs)
    np.testing.assert_array_equal(hits.vulnerable, outcomes.fooled(criterion).any(axis=1))
    np.testing.assert_array_equal(hits.searched, outcomes.searched)
    asked = hits.pairs.native != NOT_EVALUATED
    np.testing.assert_array_equal(hits.pairs.native[asked], matrix[asked])
    assert hits.forwards == asked.sum() <= hits.brute_force
    # a robust foreground was tried on every background that could have fooled it
    others = pairs.allowed(protocol) & ((criterion == "any") | (labels[:, None] != labels))
    robust = hits.searched & ~hits.vulnerable
    np.testing.assert_array_equal(asked[robust], others[robust])


def test_the_order_is_learned():
    """One background fools all foregrounds: last in file order, first in the learned order."""
    labels = [0] * 40
    matrix = np.zeros((40, 40), dtype=int)
    matrix[:, 37] = 1
    scenes, classifier = coded_scenes(labels), matrix_classifier(matrix, labels)
    hits = first_hit(classifier, scenes, batch_size=4, progress=False)
    assert hits.vulnerable.all()
    in_file_order = fooling.file_order_forwards(search_matrix(classifier, scenes, progress=False))
    assert in_file_order == 40 * 38
    # only the first foreground tries others before it
    assert hits.forwards <= 40 + 39
    assert hits.brute_force == 1600


def test_what_is_known_is_not_asked_again():
    classifier, scenes = matrix_classifier(MATRIX, ORIGINAL), coded_scenes(LABELS)
    first = first_hit(classifier, scenes, criterion="any", progress=False)
    alone = first_hit(classifier, scenes, criterion="targeted", progress=False)
    after = first_hit(classifier, scenes, criterion="targeted", known=first.pairs, progress=False)
    np.testing.assert_array_equal(after.vulnerable, alone.vulnerable)
    everything = first_hit(
        classifier,
        scenes,
        criterion="targeted",
        known=search_matrix(classifier, scenes, progress=False),
        progress=False,
    )
    np.testing.assert_array_equal(everything.vulnerable, alone.vulnerable)
    assert everything.forwards == 0
    with pytest.raises(BadInput) as error:
        first_hit(classifier, coded_scenes([0, 1]), known=first.pairs, progress=False)
    assert str(error.value).startswith("expected known predictions of rule:rule on coded-")


def test_verdicts_are_kept(tmp_path):
    hits = first_hit(matrix_classifier(MATRIX, ORIGINAL), coded_scenes(LABELS), results=tmp_path, progress=False)

    def refuse(_images):
        raise AssertionError("everything is there already")

    again = first_hit(make_classifier(refuse), coded_scenes(LABELS), results=tmp_path, progress=False)
    np.testing.assert_array_equal(again.vulnerable, hits.vulnerable)
    assert (again.forwards, again.brute_force) == (hits.forwards, hits.brute_force)
    assert not list(tmp_path.glob("pairs/*"))
