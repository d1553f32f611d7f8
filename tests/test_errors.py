"""Messages quote what files hold, and can still be printed."""

from __future__ import annotations

import copy

import pytest

from bglab.errors import BadInput, MissingData, UnknownName, printable


@pytest.mark.parametrize("kind", [BadInput, MissingData, UnknownName])
def test_messages_cannot_control_a_terminal(kind):
    problem = kind("got 'a\x1b[31m\x9b\0b' in\n\tnaïve 犬 \u202efdp")
    assert str(problem) == r"got 'a\x1b[31m\x9b\x00b' in" + "\n\tnaïve 犬 " + r"\u202efdp"
    assert str(copy.copy(problem)) == str(problem)


def test_names_of_any_script_stay_as_they_are():
    for name in ("crème brûlée", "نمی\u200cخواهم", "👩\u200d🌾", "שלום", "a\u0301"):
        assert printable(name) == name
    assert printable("half \ud800") == r"half \ud800"
