"""Noise or Signal, Tables 1 to 5 and the two tables of its repository's README."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bglab.analysis import (
    CATEGORIES,
    accuracy,
    as_percent,
    background_gap,
    published,
    scene_categories,
    significant_best,
    vulnerability,
)
from bglab.figures import (
    ShownAxes,
    ShownFigure,
    group_names_height,
    plot_accuracy,
    plot_background_gap,
    plot_table,
    plot_train_test,
)
from bglab.labels import IN9
from bglab.papers.artefact import Artefact, Product, Test
from bglab.papers.comparisons import (
    PaperModel,
    basis_of_trained,
    compare_trained,
    compare_with_published,
    count_note,
    imagenet_notes,
    laid_out,
    model_tests,
    printed_layout,
    score_table,
    training_notes,
)
from bglab.papers.requirements import scenes, trained
from bglab.papers.training_runs import TABLE_5, TRAINING_RUNS
from bglab.papers.verdicts import SEARCH_SPREAD, Basis
from bglab.papers.work import PlannedNetwork, Work, of_imagenet, trained_on
from bglab.training import PAPER_ARCHITECTURES
from bglab.variants import variant_table

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

#: URI of the weights → model of Table 2. The paper does not name its weights; these have the printed accuracy.
TABLE_2_WEIGHTS = {
    "timm:tf_mobilenetv3_small_100.in1k": "MobileNet-v3",
    "timm:resnet50.gluon_in1k": "ResNet-50",
    "tv:wide_resnet50_2/IMAGENET1K_V1": "WRN-50x2",
    "timm:wide_resnet50_2.tv_in1k": "WRN-50x2",
    "timm:dpn92.mx_in1k": "DPN-92",
}
#: URI of the weights → model of the README, which names the files of torchvision's first weights.
README_WEIGHTS = {
    "tv:resnet50/IMAGENET1K_V1": "ResNet-50",
    "timm:resnet50.tv_in1k": "ResNet-50",
    "tv:vgg16_bn/IMAGENET1K_V1": "VGG16-BN",
    "timm:vgg16_bn.tv_in1k": "VGG16-BN",
    "tv:resnet152/IMAGENET1K_V1": "ResNet-152",
    "timm:resnet152.tv_in1k": "ResNet-152",
}
# the challenge's leader board has this one and the network trained on IN-9L
_README_RESNET_50 = "tv:resnet50/IMAGENET1K_V1"
_TABLE_2_VARIANTS = ("original", "only_bg_t", "mixed_same", "mixed_rand")
# the paper has all images of the nine classes, IN-9L, between these
_TABLE_2_ROWS = ("imagenet", "original", "in9l", "only_bg_t", "mixed_same", "mixed_rand", "background_gap")
_README_VARIANTS = ("original", "mixed_same", "mixed_rand")
_TABLE_5_TESTS = tuple(name for name in TABLE_5 if name != "in9l")


def make_table_1(reproduction: Reproduction) -> Product:
    """List how each variant is made, derived from the rules that compose it."""
    table = variant_table()
    shown = table.drop(columns="Defined in")
    return Product(table, plot_table(shown), figure_is_table=True, shown=shown)


def make_table_2(reproduction: Reproduction) -> Product:
    """Compute accuracies on Original, Only-BG-T, Mixed-Same and Mixed-Rand, and on ImageNet and IN-9L if given."""
    models = [*reproduction.settings.models, *reproduction.trained.networks(["in9l"]).values()]
    predictions = reproduction.predictions(models, _TABLE_2_VARIANTS)
    table = pd.concat([_on_imagenet(reproduction, models), score_table(predictions)], ignore_index=True)
    table = table.sort_values(
        "test", key=lambda tests: tests.map(_TABLE_2_ROWS.index), kind="stable", ignore_index=True
    )
    printed = published("nos-table-2")
    names = _weights(reproduction, models, TABLE_2_WEIGHTS, "guessed") | _names_of(reproduction, "in9l")
    notes = ["The paper does not state the checkpoints of its five ImageNet models; weights with the same name and the "
             "printed ImageNet accuracy are guesses. If all numbers of such weights agree to the printed digit, they "
             "are taken for the paper's; otherwise they are probably other weights, and no verdict on the paper "
             "follows."]  # fmt: skip
    if not reproduction.settings.imagenet:
        notes.append("The rows ImageNet and IN-9L need ImageNet's validation set; give it with --imagenet.")
    notes += [count_note(table), *imagenet_notes(reproduction, models[0])]
    return _scored(reproduction, predictions, table, printed, names, tuple(notes))


def make_readme_gap(reproduction: Reproduction) -> Product:
    """Compute the README's accuracies and gaps, for the given models and the network trained on Mixed-Rand."""
    models = [*reproduction.settings.models, *reproduction.trained.networks(["in9l", "mixed_rand"]).values()]
    predictions = reproduction.predictions(models, _README_VARIANTS)
    names = _weights(reproduction, models, README_WEIGHTS, "named") | _names_of(reproduction, "in9l", "mixed_rand")
    table = score_table(predictions)
    notes = ("For the network trained on Mixed-Rand, compare with Table 5: the README has its Mixed-Same and "
             "Mixed-Rand accuracies exchanged.",)  # fmt: skip
    return _scored(reproduction, predictions, table, published("nos-readme"), names, notes)


def make_table_3(reproduction: Reproduction) -> Product:
    """Apply the rule of the five categories to every combination of correct and incorrect predictions."""
    rows = []
    variants = ("original", "mixed_rand", "only_bg_t")
    for bits in itertools.product((True, False), repeat=3):
        seen = [
            {"model": "m", "dataset": "d", "variant": v, "scene": "s", "label": 0,
             "prediction": 0 if correct else k + 1, "native": 0, "space": "in9"}
            for k, (v, correct) in enumerate(zip(variants, bits, strict=True))
        ]  # fmt: skip
        category = scene_categories(pd.DataFrame(seen))["category"].item()
        rows.append((category, *("right" if correct else "wrong" for correct in bits)))
    table = pd.DataFrame(rows, columns=["category", *variants])
    table = table.sort_values("category", key=lambda names: names.map(CATEGORIES.index), kind="stable")
    shown = table.replace({"right": "correct", "wrong": "incorrect"})
    shown = shown.set_index("category").rename_axis(columns="variant")
    return Product(table, plot_table(as_percent(shown)), figure_is_table=True, shown=shown)


def make_table_4(reproduction: Reproduction) -> Product:
    """Count the ImageNet classes of each of the nine classes in bglab's label mapping."""
    table = pd.DataFrame(
        [(c.name, c.wordnet_id, len(c.imagenet)) for c in IN9], columns=["Class", "WordNet id", "ImageNet classes"]
    )
    printed = published("nos-table-4")
    theirs = dict(zip(printed["label"], printed["value"].astype(int), strict=True))
    compared = pd.DataFrame(
        [(name, count, theirs[name], count - theirs[name], count == theirs[name])
         for name, count in zip(table["Class"], table["ImageNet classes"], strict=True)],
        columns=["class", "ours", "published", "difference", "inside"],
    ).assign(basis="count")  # fmt: skip
    # naming the columns keeps `plot_table` and `to_html` from rewriting their headings
    shown = table.rename_axis(columns="column")
    return Product(table, plot_table(table), figure_is_table=True, shown=shown, compared=compared)


def make_table_5(reproduction: Reproduction) -> Product:
    """Compute the accuracy of every trained network on every variant."""
    found = reproduction.trained.networks(TABLE_5, required=True)
    parts = [reproduction.predictions([uri], _TABLE_5_TESTS).assign(train=name) for name, uri in found.items()]
    if reproduction.in9l_scenes is not None:
        in9l = [
            reproduction.predictions([u], ["original"], scenes=reproduction.in9l_scenes).assign(train=t)
            for t, u in found.items()
        ]
        parts += [part.assign(variant="in9l") for part in in9l]
    predictions = pd.concat(parts, ignore_index=True)
    table = score_table(predictions, keys=["train"], gap=False)
    gaps = background_gap(predictions.loc[predictions["variant"] != "in9l"], by=["train"])
    absent = [TRAINING_RUNS[name].title for name in TABLE_5 if name not in found]
    notes = [f"Missing: {', '.join(absent)}."] if absent else []
    notes += [count_note(table), *imagenet_notes(reproduction, next(iter(found.values())))]
    if reproduction.in9l_scenes is None:
        notes.append("The column IN-9L needs ImageNet's validation set; give it with --imagenet.")
    notes += training_notes(reproduction, found)
    return Product(
        table,
        plot_train_test(table),
        shown=laid_out(table, rows="train", columns="test"),
        compared=compare_trained(reproduction, table, published("nos-table-5"), found),
        tests=(Test("BG-Gap of each network: Newcombe's paired interval", gaps.drop(columns="method")),),
        notes=tuple(notes),
        models=tuple(reproduction.label(uri) for uri in found.values()),
    )


def make_readme_challenge(reproduction: Reproduction) -> Product:
    """Search adversarial backgrounds for each model; compute its challenge accuracy and accuracy on Original."""
    models = [*reproduction.settings.models, *reproduction.trained.networks(["in9l"]).values()]
    rows = []
    for model in models:
        found = vulnerability(reproduction.pairs(model)).assign(model=reproduction.label(model))
        clean = accuracy(reproduction.predictions([model], ["original"]), by=["model"])
        rows += [_long(found, "challenge_accuracy", "challenge"), _long(found, "vulnerable_targeted", "targeted")]
        rows += [_long(clean, "top1", "original")]
    table = pd.concat(rows, ignore_index=True)
    named = [_CHALLENGE[test] for test in table["test"]]
    printed = published("nos-challenge")
    right = printed.assign(test=["original" if q == "accuracy" else "challenge" for q in printed["quantity"]])
    names = _weights(reproduction, models, README_WEIGHTS, "named") | _names_of(reproduction, "in9l")
    compared = compare_with_published(table, right, names)
    notes = [reproduction.pairs_note]
    if compared is not None:
        compared = _searched(compared, whole=not reproduction.settings.pairs_per_class)
        notes.append(SEARCH_SPREAD)
    return Product(
        table,
        plot_accuracy(table.assign(variant=named)),
        shown=laid_out(table.assign(test=named), rows="test", columns="model"),
        compared=compared,
        notes=tuple(notes),
        models=tuple(reproduction.label(m) for m in models),
    )


def _searched(compared: pd.DataFrame, *, whole: bool) -> pd.DataFrame:
    """Mark the numbers of a search: incomparable if it was limited, and of unknown spread over seeds."""
    found = compared["test"] == "challenge"
    basis = compared["basis"].where(~found | whole, "other")
    return compared.assign(basis=basis, spread=np.where(found, np.nan, 1.0))


_CHALLENGE = {"challenge": "Challenge", "original": "Original", "targeted": "Vulnerable"}


def _long(table: pd.DataFrame, name: str, test: str) -> pd.DataFrame:
    """Rename one score of a model to the columns of `score_table`."""
    score = {name: "top1", f"{name}_low": "top1_low", f"{name}_high": "top1_high"}
    return table.reindex(columns=["model", "n", *score]).rename(columns=score).assign(test=test)


def _on_imagenet(reproduction: Reproduction, models: list[str]) -> pd.DataFrame:
    """Compute accuracies on all images of ImageNet's validation set, and on all of its images of the nine classes.

    They are of Original, which needs neither mask nor box: an image without a box, with a box that covers all of it, or
    that no object can be cut out of is counted, too.
    """
    parts = [pd.DataFrame(columns=["model", "test", "n", "top1", "top1_low", "top1_high"])]
    if reproduction.settings.imagenet and reproduction.in9l_scenes is not None:
        thousand = [m for m in models if reproduction.classifier(m).spec.space == "imagenet"]
        seen = [
            reproduction.predictions(thousand, ["original"], scenes=reproduction.imagenet_scenes).assign(
                variant="imagenet"
            )
        ]
        seen += [reproduction.predictions(models, ["original"], scenes=reproduction.in9l_scenes).assign(variant="in9l")]
        parts = [score_table(table, gap=False) for table in seen if len(table)]
    return pd.concat(parts, ignore_index=True)


def _weights(
    reproduction: Reproduction, models: Sequence[str], papers: Mapping[str, str], basis: Basis
) -> dict[str, PaperModel]:
    """Map pre-trained models to those of the paper.

    Args:
        reproduction: Source of the display names.
        models: URIs of our models.
        papers: URI of the weights → name in the paper.
        basis: Whether the paper names these weights.
    """
    return {reproduction.label(m): PaperModel(papers[m], "imagenet", basis) for m in models if m in papers}


def _names_of(reproduction: Reproduction, *ids: str) -> dict[str, PaperModel]:
    """Map trained networks to their published model and training set."""
    return {
        reproduction.label(uri): PaperModel("ResNet-50", name, basis_of_trained(reproduction, uri))
        for name, uri in reproduction.trained.networks(ids).items()
    }


def _scored(
    reproduction: Reproduction,
    predictions: pd.DataFrame,
    table: pd.DataFrame,
    printed: pd.DataFrame,
    names: dict[str, PaperModel],
    notes: tuple[str, ...],
) -> Product:
    """Assemble the product of a table of models: layout, bold cells, comparison, tests, bars above gaps."""
    shown = laid_out(table, rows="test", columns="model")
    best = significant_best(shown)
    # classifying by the background is no merit, nor is a large gap, and a weak model may have a small one
    best.loc[best.index.isin(["only_bg_t", "background_gap"])] = False
    return Product(
        table,
        _bars_and_gaps(predictions),
        shown=shown,
        bold=best,
        compared=compare_with_published(table, printed, names),
        tests=model_tests(predictions, ("original", "mixed_rand")),
        notes=notes,
        models=tuple(dict.fromkeys(table["model"])),
    )


def _bars_and_gaps(predictions: pd.DataFrame) -> Figure:
    """Plot accuracies as bars, and the background gaps below them."""
    scores, gaps = (
        accuracy(predictions, by=["model", "variant"]),
        background_gap(predictions, by=["model"]),
    )
    width, height = matplotlib.rcParams["figure.figsize"]
    low = 0.5 + 0.42 * len(gaps)
    high = 1.25 * height + group_names_height(list(dict.fromkeys(scores["model"])))
    figure = ShownFigure(figsize=(width, high + low), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[high, low])
    plot_accuracy(scores, ax=figure.add_subplot(grid[0], axes_class=ShownAxes))
    plot_background_gap(gaps, ax=figure.add_subplot(grid[1], axes_class=ShownAxes))
    return figure


_SWAPPED = ("The README prints Mixed-Same 71.5 and Mixed-Rand 71.3 for the network trained on Mixed-Rand (gap 0.2); "
            "Table 5 has them the other way round (71.33 and 71.53, gap -0.20).")  # fmt: skip
_WEIGHTS = ("The README's ResNet-50 (95.6 / 86.2 / 78.9) is not Table 2's (96.2 / 82.3 / 76.3): the weights differ "
            "(76.1 % and 77.6 % on ImageNet).")  # fmt: skip

_MODELS = functools.partial(printed_layout, rows="test", columns="model")


def _one_each(papers: Mapping[str, str]) -> tuple[PlannedNetwork, ...]:
    """Return one set of weights for each model of the paper, out of URI → name in the paper."""
    first = {name: uri for uri, name in reversed(list(papers.items()))}
    return of_imagenet(*reversed(first.values()))


# no weights of EfficientNet-b0 have the printed accuracy, but all have the same arithmetic
_TABLE_2_NETWORKS = (*_one_each(TABLE_2_WEIGHTS), *of_imagenet("timm:efficientnet_b0.ra_in1k"))
_TABLE_2_TRAINED = tuple(
    network
    for architecture in PAPER_ARCHITECTURES.values()
    for network in trained_on("in9l", architecture=architecture)
)
_CHALLENGED = (*of_imagenet(_README_RESNET_50), *trained_on("in9l"))

ARTEFACTS = (
    Artefact(
        "nos-table-1", "The eight variants of an image", "Table 1",
        "The foreground, the background, and the source of the background of each variant, derived from the rules "
        "that compose the images.",
        make_table_1, uses_data=False,
    ),
    Artefact(
        "nos-table-2", "Accuracy and BG-Gap of many models", "Table 2",
        "Models trained on ImageNet, and one trained on IN-9L, on Original, Only-BG-T, Mixed-Same and Mixed-Rand; "
        "BG-Gap is Mixed-Same minus Mixed-Rand on the same scenes.",
        make_table_2, (scenes(),), ("nos-table-2",), layout=_MODELS, contradictions=(_WEIGHTS,),
        work=(
            Work("predict", _TABLE_2_NETWORKS, ("original",), "imagenet"),
            Work("predict", (*_TABLE_2_NETWORKS, *_TABLE_2_TRAINED), ("original",), "in9l"),
            Work("predict", (*_TABLE_2_NETWORKS, *_TABLE_2_TRAINED), _TABLE_2_VARIANTS),
        ),
    ),
    Artefact(
        "nos-table-3", "Five ways in which a background matters", "Table 3",
        "The category of an image, by whether it is classified correctly as a whole (Original), by its foreground "
        "(Mixed-Rand) and by its background (Only-BG-T). Computed by applying the rule to all eight cases.",
        make_table_3, uses_data=False,
        contradictions=("Table 3 requires of BG Fools only that the background alone is classified incorrectly; "
                        "Appendix H requires the same incorrect class. Here, Figure 7 uses the definition of Table 3, "
                        "Figure 30 that of Appendix H.",),
    ),
    Artefact(
        "nos-table-4", "The nine classes", "Table 4",
        "WordNet id and number of ImageNet classes of each class, counted in the label mapping used for evaluation.",
        make_table_4, (), ("nos-table-4",), uses_data=False,
    ),
    Artefact(
        "nos-table-5", "Trained on one variant, tested on another", "Table 5",
        "One network per training set, tested on every variant, with the background gap of each.",
        make_table_5, (scenes(), trained(*TABLE_5, at_least=2)), ("nos-table-5",),
        work=(
            Work("predict", trained_on(*TABLE_5), _TABLE_5_TESTS),
            Work("predict", trained_on(*TABLE_5), ("original",), "in9l"),
        ),
        layout=functools.partial(printed_layout, rows="train", columns="test"),
        contradictions=(
            "According to the text, the network trained on IN-9L is about 13 points more accurate on No-FG than on "
            "Only-BG-B, and the one trained on Original about equally accurate; the table gives 21.76 and 9.28 points.",
        ),
    ),
    Artefact(
        "nos-readme-gap", "The README's table of models", "README, first table",
        "Original, Mixed-Same, Mixed-Rand and their gap, for torchvision's weights and for two trained networks.",
        make_readme_gap, (scenes(),), ("nos-readme",), layout=_MODELS, contradictions=(_SWAPPED, _WEIGHTS),
        work=(
            Work("predict", (*_one_each(README_WEIGHTS), *trained_on("in9l", "mixed_rand")), _README_VARIANTS),
        ),
    ),
    Artefact(
        "nos-readme-challenge", "The backgrounds challenge", "README, second table",
        "Share of foregrounds classified correctly on every background of the set (challenge accuracy), accuracy on "
        "Original, and the share of vulnerable foregrounds, which are classified as the background's class on some "
        "background of another class. Searched over all pairs.",
        make_readme_challenge, (scenes(),), ("nos-challenge",),
        work=(Work("matrix", _CHALLENGED), Work("predict", _CHALLENGED, ("original",))),
        contradictions=(
            "The challenge counts any error on any background, including backgrounds of the image's own class; the "
            "paper's 87.5 % (88 % in the ICLR abstract) counts only foregrounds classified as the background's class.",
        ),
    ),
)  # fmt: skip
