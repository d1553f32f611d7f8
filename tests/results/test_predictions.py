"""Prediction files: one that is not there and one that is broken are told apart."""

from __future__ import annotations

import pytest

from bglab.errors import BadInput, MissingData
from bglab.results import read_predictions_file


def test_a_missing_file_is_not_called_broken(tmp_path):
    with pytest.raises(MissingData, match=r"there is no such file; make it with bglab predict"):
        read_predictions_file(tmp_path / "none.parquet")
    (tmp_path / "broken.parquet").write_text("not a table")
    with pytest.raises(BadInput, match=r"broken\.parquet, but reading failed .*; remove it"):
        read_predictions_file(tmp_path / "broken.parquet")
