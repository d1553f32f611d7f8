"""Public names: an unknown one is answered with the nearest, and packages load when they are used."""

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
