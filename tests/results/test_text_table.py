"""Tables of other programs as text: rows keep their lines, and missing cells are empty whatever the form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bglab.errors import BadInput, MissingData
from bglab.results import read_text_table, shorten, to_table
from fixtures.predictions import rows as predictions

KNOWN = {"file_name", "predicted_class"}


def read(path, content):
    path.write_bytes(content)
    return read_text_table(path, KNOWN)


def test_rows_keep_their_lines(tmp_path):
    found = read(tmp_path / "t.csv", b'sep=;\r\nFile Name; predicted-class ;\r\n\r\na,b.jpg;"2"\r\nc.jpg\r\n')
    assert found.columns == ("file_name", "predicted_class", "")
    assert found.rows == (
        {"file_name": "a,b.jpg", "predicted_class": "2", "": ""},
        {"file_name": "c.jpg", "predicted_class": "", "": ""},
    )
    assert found.where == ("line 4", "line 5")
    assert found.source == str(tmp_path / "t.csv")


def test_missing_cells_of_a_frame_are_empty():
    frame = pd.DataFrame({"file_name": ["a", None], "predicted_class": [3.0, np.nan], "top5": [[1, 2], np.array([])]})
    found = read_text_table(frame, KNOWN)
    assert found.rows == (
        {"file_name": "a", "predicted_class": "3.0", "top5": "1 2"},
        {"file_name": "", "predicted_class": "", "top5": ""},
    )
    assert found.where == ("row 0", "row 1")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "expected a header and rows in .*, got an empty file"),
        (b"file_name,predicted_class\n", "expected rows in .*, got none; write one line per image"),
        (b"file_name,file_name\na,b\n", "expected one column 'file_name' in .*, got several"),
        (b"PAR1 but no more", "expected a table in .*, but reading failed"),
        (b"\xff\xfea", "expected text in utf-16 in .*; save the table as UTF-8"),
        (b'"file_name,predicted_class\na,1\n', "expected a header in line 1 of .*; correct it"),
        (b"{broken\n", "expected rows in .*, got none; line 1: expected an object of JSON"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path, content, sentence):
    with pytest.raises(BadInput, match=sentence):
        read(tmp_path / "t.csv", content)


def test_paths_that_are_no_file_are_refused(tmp_path):
    with pytest.raises(BadInput, match="expected a table in .*, but Is a directory; give a file you can read"):
        read_text_table(tmp_path, KNOWN)
    with pytest.raises(MissingData, match="there is no such file; check the path"):
        read_text_table(tmp_path / "none.csv", KNOWN)


def test_text_is_shortened_and_escaped():
    assert shorten("café\n") == "café\\n"
    assert len(shorten("x" * 1000)) == 60


def test_a_table_for_others_has_only_what_is_known():
    table = predictions(label=[0, 1], prediction=[0, -1], native=[207, 859], confidence=[0.25, 0.5])
    assert to_table(table, file_names={"s0": "a.jpg"}).values.tolist() == [["a.jpg", 207, 0.25], ["s1", 859, 0.5]]
    assert to_table(table.assign(confidence=np.nan)).columns.tolist() == ["file_name", "predicted_class"]
    both = pd.concat([table, table.assign(variant="mixed_rand")])
    assert to_table(both)["variant"].tolist() == ["original", "original", "mixed_rand", "mixed_rand"]
    with pytest.raises(BadInput, match="expected predictions, got a table without native, confidence"):
        to_table(table.drop(columns=["native", "confidence"]))
