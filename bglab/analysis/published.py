"""Every number printed in the two papers, with the table, figure or section that prints it.

``nos`` is Noise or Signal (arXiv 2006.09994; numbers follow version 1, the only one with an appendix), ``tbc`` is Time
for a Background Check (arXiv 2006.14077). Places have the same identifiers as the artefacts that reproduce them. The
grids below are percent, as printed; the resulting table holds fractions. Where a paper contradicts itself, the number
is stored as printed and the note says so.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import pandas as pd

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName

Unit = Literal["fraction", "count", "setting"]


class Published(NamedTuple):
    """One printed number.

    Attributes:
        paper: ``nos`` or ``tbc``.
        place: Identifier of the table, figure or other place, e.g. ``nos-table-5``.
        quantity: What is measured: ``accuracy``, ``background_gap``, ``fooling_rate_total``, …
        value: A fraction in [0, 1], a count, or a setting of an experiment, depending on ``unit``.
        model: Model, as the paper names it.
        train: Data set that the model was trained on.
        test: Data set or variant that it was tested on.
        label: Class, for numbers of a single class.
        unit: ``fraction``, ``count`` or ``setting``.
        note: Caveat for comparisons with the number.
        digits: Decimal places that the paper prints, of a percentage if ``unit`` is ``fraction``.
    """

    paper: str
    place: str
    quantity: str
    value: float
    model: str = ""
    train: str = ""
    test: str = ""
    label: str = ""
    unit: Unit = "fraction"
    note: str = ""
    digits: int = 0


_TABLE_2 = """
              MobileNet-v3 EffNet-b0 ResNet-50 WRN-50x2 DPN-92 AlexNet* ShuffleNet* ResNet-50* WRN-50x2* VGG16-BN*
imagenet              67.9      77.2      77.6     78.5   80.0        -           -          -         -         -
original              91.0      95.6      96.2     95.8   96.8     86.7        95.7       96.3      97.2      97.6
in9l                  90.0      94.3      95.0     95.5   96.0     83.1        93.2       94.6      95.2      96.0
only_bg_t             15.7      11.9      17.8     20.7   20.6     41.5        43.6       43.6      45.1      45.7
mixed_same            69.7      79.7      82.3     81.7   85.4     76.2        86.7       89.9      90.6      91.0
mixed_rand            56.1      67.8      76.3     73.0   77.6     54.2        69.4       75.6      78.0      78.0
background_gap        13.6      11.9       6.0      8.7    7.8     22.0        17.3       14.3      12.6      13.0
"""

_TABLE_5 = """
            mixed_next mixed_rand mixed_same no_fg only_bg_b only_bg_t only_fg original  in9l
mixed_next       78.07      53.28      48.49 16.20     11.19      8.22   59.60    52.32 46.44
mixed_rand       71.09      71.53      71.33 26.72     15.33     14.62   74.89    73.23 67.53
mixed_same       45.41      51.36      74.40 39.85     35.19     41.58   61.65    75.01 69.21
no_fg            13.70      18.74      42.79 70.91     36.79     42.52   31.48    48.94 47.62
only_bg_b        10.35      15.41      38.37 37.85     54.30     42.54   21.38    42.10 41.01
only_bg_t        11.48      17.09      45.80 40.84     38.49     50.25   19.19    49.06 47.94
only_fg          33.04      35.88      47.63 27.90     23.58     22.59   84.20    54.62 51.50
original         48.77      53.58      73.80 42.22     32.94     40.54   63.23    85.95 80.38
in9l             71.21      75.60      89.90 55.78     34.02     43.60   84.12    96.32 94.61
"""

# class, share of foregrounds of other classes that any of its backgrounds fools, rates of the five strongest ones
_ADVERSARIAL = """
           total     1     2     3     4     5
dog        61.77    21    20    19    18    17
bird       64.22    38    36    35    34    32
vehicle    67.47    47    44    43    41    41
reptile    54.94    28    25    23    22    22
carnivore  53.11    28    21    20    18    17
insect     66.55    52    45    45    44    42
instrument 73.19    47    46    46    46    45
primate    63.83    39    33    28    27    25
fish       69.69    46    44    44    44    43
"""

_README = """
            original mixed_same mixed_rand background_gap
VGG16-BN        94.3       83.6       73.4           10.2
ResNet-50       95.6       86.2       78.9            7.3
ResNet-152      96.7       89.3       83.5            5.8
ResNet-50*      96.4       89.8       75.6           14.2
ResNet-50**     73.3       71.5       71.3            0.2
"""

_FIGURE_12 = """
                 mixed_same mixed_rand
imagenet               82.3       76.3
in9l                  89.90      75.60
original              73.80      53.58
mixed_rand            71.33      71.53
"""

_TBC_TABLE_1 = """
                          original white_fg
ResNet-18                     74.3     0.89
MobileNet-v3                  76.5     0.93
ResNet101                     80.7     1.55
Wide-ResNet-50-2              81.7     2.28
EfficientNet-b1               83.6     3.78
SWSL-ResNeXt50-32x4d          84.6     3.75
WSL-ResNeXt101-32x48d         87.4     5.88
"""

# numbers in sentences, captions and on the leaderboard: percent, counts, and settings of experiments
_SINGLE = """
place | quantity | value | unit | model | train | test | note
nos-text | vulnerable | 87.5 | % | ResNet-50 | in9l | only_bg_t | version 1
nos-text | vulnerable | 88 | % | ResNet-50 | in9l | only_bg_t | the ICLR abstract, rounded
nos-text | accuracy_gain | 17.3 | % | ResNet-50 | mixed_rand | mixed_rand | Table 5 contradicts: 17.95 points
nos-text | accuracy_gain | 22.3 | % | ResNet-50 | mixed_rand | mixed_next | 22.32 points in Table 5
nos-text | accuracy_spread | 3.8 | % | ResNet-50 | mixed_rand | | at most, over the five test sets of Figure 5
nos-text | accuracy | 23 | % | ResNet-50 | only_fg | only_bg_b, only_bg_t | about; 23.58 and 22.59 in Table 5
nos-text | accuracy | 15 | % | ResNet-50 | mixed_rand | only_bg_b, only_bg_t | about; 15.33 and 14.62 in Table 5
nos-text | shape_gain | 13 | % | ResNet-50 | in9l | no_fg, only_bg_b | about; Table 5 contradicts: 21.76 points
nos-text | chance | 11.11 | % | | | | the dotted line of Figure 2
nos-text | accuracy_low | 40 | % | ResNet-50 | backgrounds only | original | about, Figure 2; Table 5: 42.10 to 49.06
nos-text | accuracy_high | 50 | % | ResNet-50 | backgrounds only | original | about, Figure 2; Table 5: 42.10 to 49.06
nos-text | background_gap_low | 6 | % | all of Table 2 | imagenet | | range over five models
nos-text | background_gap_high | 14 | % | all of Table 2 | imagenet | | range over five models
nos-text | background_gap_low | 13 | % | all of Table 2 | in9l | | range over five models
nos-text | background_gap_high | 22 | % | all of Table 2 | in9l | | range over five models
nos-text | pictures | 45405 | count | | | train | IN-9; 5045 per class
nos-text | pictures | 4050 | count | | | val | IN-9; 450 per class
nos-text | pictures | 180000 | count | | in9l | | about; ICLR version
nos-text | pictures_per_class | 5045 | count | | | train | IN-9
nos-text | pictures_per_class | 450 | count | | | val | IN-9
nos-text | size_ratio | 4 | setting | | in9l | | about; number of images in IN-9L over that in IN-9
nos-text | classes | 144 | count | | in9lb | | 16 ImageNet classes in each of the nine
nos-text | subclasses | 16 | count | | in9lb | | in each of the nine classes
nos-text | box_area_limit | 90 | % | | | only_bg_t | images with larger boxes are excluded from background-only sets
nos-text | box_loss_limit | 50 | % | | | only_fg | images whose crop loses this much of the box are excluded
nos-recipe | epochs | 200 | setting | ResNet-50 | | | all trainings
nos-recipe | batch_size | 256 | setting | ResNet-50 | | | all trainings
nos-recipe | learning_rate | 0.1 | setting | ResNet-50 | | | Figure 11 differs
nos-recipe | learning_rate | 0.01 | setting | ResNet-50 | | | all sizes of Figure 11
nos-recipe | epochs_between_drops | 50 | setting | ResNet-50 | | | drops of the learning rate; the factor is not printed
nos-recipe | momentum | 0.9 | setting | ResNet-50 | | | all trainings
nos-recipe | weight_decay | 0.0001 | setting | ResNet-50 | | | all trainings
nos-figure-7 | bg_required + bg_fg_required | 35 | % | ResNet-50 | original | | about
nos-figure-7 | bg_fools_strict | 3 | % | ResNet-50 | original | | about; appendix H, same incorrect class
nos-figure-10 | background_gap | 13.3 | % | ResNet-50 | in9lb-144 | | the finest labels, 144 classes; appendix B.1
nos-figure-10 | background_gap | 15.6 | % | ResNet-50 | in9lb-9 | | nine classes; printed as 2.3 more than with 144
nos-challenge | challenge_accuracy | 22.3 | % | ResNet-50 | imagenet | only_bg_t | torchvision's first weights
nos-challenge | accuracy | 95.6 | % | ResNet-50 | imagenet | original | torchvision's first weights
nos-challenge | challenge_accuracy | 12.0 | % | ResNet-50 | in9l | only_bg_t | so 88 % vulnerable
nos-challenge | accuracy | 96.4 | % | ResNet-50 | in9l | original |
nos-challenge | challenge_accuracy | 11 | % | always dog | | only_bg_t |
tbc-text | accuracy | 95 | % | ResNet-18 | voc | original |
tbc-text | accuracy | 75 | % | ResNet-18 | voc | on_white |
tbc-text | accuracy | 46 | % | ResNet-18 | voc | on_texture |
tbc-text | accuracy | 94 | % | ResNet-18 | caltech101 | original | mean of three runs
tbc-text | accuracy | 85 | % | ResNet-18 | caltech101 | on_white | mean of three runs
tbc-text | accuracy | 74 | % | ResNet-18 | caltech101 | on_texture | mean of three runs
tbc-text | pictures | 31801 | count | | | val | ImageNet; boxes of 5 % to 70 % of the area
tbc-text | pictures | 50000 | count | | | | ImageNet's validation set, before boxes are chosen by area
tbc-text | area_low | 5 | % | | | | least share of the image that a box covers
tbc-text | area_high | 70 | % | | | | largest share of the image that a box covers
tbc-text | runs | 3 | count | ResNet-18 | caltech101 | | number of runs averaged
tbc-text | models | 32 | count | | imagenet | | Figures 2, 4 and 5; the full list is not printed
"""

# Figures 1 and 14-21: predictions of ResNet-50 trained on IN-9L for one image per class in all eight variants
_PREDICTIONS = """
           original   only_bg_b  only_bg_t  no_fg   only_fg    mixed_same mixed_rand mixed_next
insect     insect     bird       insect     bird    instrument insect     insect     instrument
dog        dog        vehicle    vehicle    dog     dog        dog        dog        dog
bird       bird       fish       bird       bird    bird       bird       bird       bird
vehicle    vehicle    vehicle    vehicle    vehicle instrument vehicle    vehicle    instrument
reptile    reptile    bird       dog        bird    reptile    reptile    reptile    reptile
carnivore  carnivore  primate    bird       bird    carnivore  carnivore  carnivore  carnivore
instrument instrument bird       bird       insect  instrument instrument bird       bird
primate    primate    instrument carnivore  dog     dog        primate    primate    dog
fish       fish       insect     fish       dog     fish       fish       fish       fish
"""

_UNITS: dict[str, Unit] = {"%": "fraction", "count": "count", "setting": "setting"}
_STARS = {"": "imagenet", "*": "in9l", "**": "mixed_rand"}  # data set that the model was trained on
_TABLE_4 = {"dog": 116, "bird": 52, "vehicle": 42, "reptile": 36, "carnivore": 35, "insect": 27, "instrument": 26,
            "primate": 20, "fish": 16}  # fmt: skip


def published(place: str | None = None) -> pd.DataFrame:
    """Load the numbers printed in the papers as a table with one row per number.

    Args:
        place: Identifier of a table, figure or section, e.g. ``nos-table-2``; None loads all numbers.

    Returns:
        The columns of `Published`; values are fractions in [0, 1] unless ``unit`` says otherwise.

    Raises:
        UnknownName: If no number has this place.

    Example:
        >>> table = published("nos-table-5")
        >>> len(table), float(table["value"].max())
        (81, 0.9632)
    """
    table = pd.DataFrame(_everything(), columns=list(Published._fields))
    if place is None:
        return table
    places = list(dict.fromkeys(table["place"]))
    if place not in places:
        raise UnknownName(unknown_name("place", place, places))
    return table.loc[table["place"] == place].reset_index(drop=True)


def published_predictions() -> pd.DataFrame:
    """Load the predictions printed below the images of Noise or Signal, Figures 1 and 14-21.

    Returns:
        72 rows, one image per class in eight variants: ``[label, variant, prediction]``, all strings; ``label`` and
        ``prediction`` are class names.
    """
    return pd.DataFrame(list(_cells(_PREDICTIONS)), columns=["label", "variant", "prediction"])


@functools.cache
def _everything() -> tuple[Published, ...]:
    """Parse all grids."""
    return (*_table_2(), *_table_4(), *_table_5(), *_fooling(), *_bars(), *_readme(), *_tbc_table_1(), *_singles())


def _table_2() -> Iterator[Published]:
    for test, name, text in _cells(_TABLE_2):
        if text != "-":
            model, train = _starred(name)
            yield _score("nos-table-2", test, text, model=model, train=train)


def _table_4() -> Iterator[Published]:
    for label, count in _TABLE_4.items():
        yield Published("nos", "nos-table-4", "imagenet_classes", count, label=label, unit="count")


def _table_5() -> Iterator[Published]:
    for train, test, text in _cells(_TABLE_5):
        yield _score("nos-table-5", test, text, model="ResNet-50", train=train)


def _fooling() -> Iterator[Published]:
    """Parse the fooling rates of adversarial backgrounds: insects in Figure 3, other classes in Figures 22-29."""
    notes = {"total": "by any background of the class; k of 3600 foregrounds, truncated to two decimals of a percent"}
    for label, column, text in _cells(_ADVERSARIAL):
        place = "nos-figure-3" if label == "insect" else "nos-figures-22-29"
        yield Published(
            "nos", place, f"fooling_rate_{column}", _fraction(text), model="ResNet-50", train="in9l",
            test="only_bg_t", label=label, note=notes.get(column, "by one background"), digits=_decimals(text),
        )  # fmt: skip


def _bars() -> Iterator[Published]:
    """Parse the bars of Figures 2, 5 and 12, whose heights are printed in Tables 2 and 5."""
    height = {(train, test): text for train, test, text in _cells(_TABLE_5)}
    backgrounds, tests = ("only_bg_b", "only_bg_t", "no_fg"), ("mixed_next", "mixed_rand", "mixed_same", "only_fg")
    bars = [("nos-figure-2", train, test) for train in backgrounds for test in (train, "original")]
    bars += [("nos-figure-5", train, test) for train in ("mixed_rand", "original") for test in (*tests, "original")]
    for place, train, test in bars:
        yield _score(place, test, height[train, test], model="ResNet-50", train=train, note="height as in Table 5")
    for train, test, text in _cells(_FIGURE_12):
        yield _score("nos-figure-12", test, text, model="ResNet-50", train=train, note="height as in Tables 2 and 5")


def _readme() -> Iterator[Published]:
    """Parse the table of the code release's README, measured with other weights than the paper's."""
    notes = {
        "ResNet-50": "torchvision's first weights (76.1 % top-1); Table 2 used others (77.6 %) and differs",
        "ResNet-50**": "mixed_same and mixed_rand are swapped compared with Table 5, where the gap is -0.20",
    }
    for name, test, text in _cells(_README):
        model, train = _starred(name)
        yield _score("nos-readme", test, text, model=model, train=train, note=notes.get(name, ""))


def _tbc_table_1() -> Iterator[Published]:
    odd = "on 31,801 images; not monotone: 3.78 at 83.6, but 3.75 at 84.6"
    for name, test, text in _cells(_TBC_TABLE_1):
        note = odd if text in {"3.78", "3.75"} else "on 31,801 images"
        yield _score("tbc-table-1", test, text, model=name, train="imagenet", note=note)
    names = dict.fromkeys(name for name, _, _ in _cells(_TBC_TABLE_1))
    for ticks, name in enumerate(names, start=1):
        note = "out of seven images; the ticks are nested"
        yield Published("tbc", "tbc-table-1", "ticks", ticks, name, "imagenet", "white_fg", unit="count", note=note)


def _singles() -> Iterator[Published]:
    for line in _SINGLE.strip().splitlines()[1:]:
        place, quantity, value, unit, model, train, test, note = (part.strip() for part in line.split("|"))
        number = _fraction(value) if unit == "%" else float(value)
        kind = _UNITS[unit]
        yield Published(
            place[:3], place, quantity, number, model, train, test, unit=kind, note=note, digits=_decimals(value)
        )


def _score(place: str, test: str, text: str, *, model: str, train: str, note: str = "") -> Published:
    """Convert a cell, whose column names a test set or the background gap."""
    gap = test == "background_gap"
    quantity = test if gap else "accuracy"
    value, digits = _fraction(text), _decimals(text)
    return Published(place[:3], place, quantity, value, model, train, "" if gap else test, note=note, digits=digits)


def _starred(name: str) -> tuple[str, str]:
    """Split a printed name into the model and the data set that its stars stand for."""
    model = name.rstrip("*")
    return model, _STARS[name.removeprefix(model)]


def _cells(grid: str) -> Iterator[tuple[str, str, str]]:
    """Yield row name, column name and text of each cell."""
    header, *lines = (line.split() for line in grid.strip().splitlines())
    for name, *values in lines:
        for column, text in zip(header, values, strict=True):
            yield name, column, text


def _fraction(text: str) -> float:
    # round, so that 78.07 becomes 0.7807 and not 0.7806999…
    return round(float(text) / 100, 6)


def _decimals(text: str) -> int:
    """Count the decimal places of a printed number."""
    return len(text.partition(".")[2])
