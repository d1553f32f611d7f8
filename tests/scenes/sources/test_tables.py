"""Tables as spreadsheets and editors save them."""

from __future__ import annotations

import pytest

from bglab.errors import BadInput
from bglab.scenes.sources._tables import check_file, read_table


def table(folder, content: str | bytes, encoding: str = "utf-8"):
    file = folder / "t.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return read_table(file)


TEXT = "file,label\na.jpg,Hündin\nb.jpg,naïve\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_endings(tmp_path, encoding, ending):
    found = table(tmp_path, TEXT.replace("\n", ending), encoding)
    assert found.columns == ("file", "label")
    assert [row.cells["label"] for row in found.rows] == ["Hündin", "naïve"]
    is_guess = encoding in {"cp1252", "latin-1"}
    assert ("was read as Windows-1252" in found.notice) == is_guess


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_headers_and_quotes(tmp_path, delimiter):
    text = ' "File" ; LABEL;Imagenet_Index \n"a, b.jpg";" cow ";1\n;;\n\nc.jpg;"say ""moo""";\n'
    found = table(tmp_path, text.replace(";", delimiter))
    assert found.columns == ("file", "label", "imagenet_index")
    assert [(row.line, *row.cells.values()) for row in found.rows] == [
        (2, "a, b.jpg", "cow", "1"),
        (5, "c.jpg", 'say "moo"', ""),
    ]


def test_excels_first_line_names_the_delimiter(tmp_path):
    found = table(tmp_path, "sep=;\r\nfile;label\r\na.jpg;x, y\r\n")
    assert [(found.where(row), row.cells["label"]) for row in found.rows] == [
        (f"line 3 of {tmp_path / 't.csv'}", "x, y")
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,1,2,3", "it has 4 cells for 3 columns"),
        ("a,b\0c,2", "a cell holds a control character, as in no text"),
        ("a,b\x1b[31mc,2", "a cell holds a control character, as in no text"),
        ("a," + "x" * 200_000, "reading it failed (field larger than field limit (131072))"),
        ('a,"b,2\nc,3,4', "a cell spans several lines, as after an unclosed quotation mark"),
    ],
)
def test_a_broken_row_is_told_and_the_others_are_read(tmp_path, row, problem):
    found = table(tmp_path, f"file,x,y\ngood,1,2,\n{row}\n")
    assert [row.problem for row in found.rows] == ["", problem]
    assert found.rows[0].cells == {"file": "good", "x": "1", "y": "2"}


def test_columns_that_occur_twice_and_bytes_of_no_text_are_refused(tmp_path):
    with pytest.raises(BadInput, match="expected each column once in .*, got label again"):
        table(tmp_path, "file,label,Label\n")
    with pytest.raises(BadInput, match="save it as UTF-8 csv"):
        table(tmp_path, b"\xff\xfea")


@pytest.mark.parametrize(
    ("delimiter", "text", "value"),
    [
        (",", "40", 40),
        (",", "40.0", 40),
        (",", "+4e1", 40),
        (",", ".5", 0.5),
        (";", "40,5", 40.5),
        (";", "-40.5", -40.5),
        *((",", text, None) for text in ("nan", "inf", "1e999", "1_0", "", "4 0", "0x10", "٤", "40,5")),
        (";", "1.000,5", None),
    ],
)
def test_numbers_have_a_point_or_where_it_is_free_a_comma(tmp_path, delimiter, text, value):
    found = table(tmp_path, f"file{delimiter}x\n")
    if value is None:
        with pytest.raises(ValueError, match=f"^'{text}' is no number$"):
            found.number(text)
    else:
        assert found.number(text) == value


@pytest.mark.parametrize(
    "name", ["../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "\\\\host\\a.jpg", "..\\a", ""]
)
def test_files_outside_of_the_folder_are_refused(name):
    with pytest.raises(BadInput, match="expected a file within the folder in line 2"):
        check_file(name, "line 2")
    assert check_file("x\\y/a.jpg", "line 2").parts == ("x", "y", "a.jpg")
