"""Public names: an unknown one is answered with the nearest, and packages load when they are used."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

import bglab


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("predct", "bglab has no 'predct'; did you mean bglab.predict?"),
        ("Explore", "bglab has no 'Explore'; did you mean bglab.explore?"),
        ("zebra", r"bglab has no 'zebra'; dir\(bglab\) lists what it has"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, sentence):
    with pytest.raises(AttributeError, match=sentence):
        getattr(bglab, name)


def test_a_package_loads_when_it_is_used():
    assert bglab.names.object_name("dog-copy2") == "dog"
    assert not hasattr(bglab, "__wrapped__")


@pytest.mark.parametrize("name", [name for name in bglab.__all__ if find_spec(f"bglab.{name}")])
def test_a_public_name_that_is_a_package_is_the_package_from_the_start(name):
    """It takes the place of a function of its name as soon as it is imported, so which one came would be chance."""
    answer = _run(f"from bglab import {name}\nprint(type({name}).__mro__[-2].__name__)")
    assert answer == ["module"]


def test_the_papers_are_imported_by_name_and_called():
    assert _run("from bglab import papers\nprint(callable(papers), papers.plot_variants.__name__)") == [
        "True", "plot_variants",
    ]  # fmt: skip


def _run(code: str) -> list[str]:
    """Return the words that a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
