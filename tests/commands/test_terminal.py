"""What commands print: names in it never control the terminal, and no encoding of it fails."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from bglab.__main__ import _Escaped, main


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("a\x1b[31mb\x07\n", "a\\x1b[31mb\\x07\n"),
        ("\x1b]0;title\x1b\\", "\\x1b]0;title\\x1b\\"),
        ("\u202eevil\u2028", "\\u202eevil\\u2028"),
        ("half \udcff", "half \\udcff"),
        ("crème → ü\t1", "crème → ü\t1"),
        ("\r 50%|█████     |\x1b[A", "\r 50%|█████     |\x1b[A"),
    ],
)
def test_control_characters_are_escaped_but_those_of_progress_bars(given, written):
    stream = io.StringIO()
    assert _Escaped(stream).write(given) == len(given)
    assert stream.getvalue() == written


def test_what_an_encoding_lacks_is_escaped_too():
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="ascii")
    _Escaped(stream).write("50 % → é")
    stream.flush()
    assert content.getvalue() == b"50 % \\u2192 \\xe9"


def test_a_command_prints_the_names_of_classes_escaped(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "data"))
    folder = tmp_path / "set"
    for part, mode in (("images", "RGB"), ("masks", "L")):
        (folder / part / "\x1b[31mdog").mkdir(parents=True)
        image = Image.new(mode, (32, 32))
        ImageDraw.Draw(image).rectangle((8, 8, 20, 20), fill="white")
        image.save(folder / part / "\x1b[31mdog" / "0.png")
    assert main(["data", "check", f"folder:{folder}", "--size", "16"]) == 0
    printed = capsys.readouterr()
    assert "\\x1b[31mdog: 1" in printed.out
    assert "\x1b" not in printed.out + printed.err
