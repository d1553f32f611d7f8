"""Noise or Signal, Figures 2, 5, 10, 11 and 12: effects of training data, label granularity and data set size."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes

from bglab.analysis import background_gap, published, with_published
from bglab.figures import plot_accuracy, plot_curves, plot_own_and_original
from bglab.papers.artefact import Artefact, Product, Test
from bglab.papers.comparisons import (
    compare_trained,
    laid_out,
    model_tests,
    printed_layout,
    score_table,
    training_notes,
)
from bglab.papers.noise_or_signal.tables import README_WEIGHTS, TABLE_2_WEIGHTS
from bglab.papers.requirements import scenes, trained
from bglab.papers.training_runs import GRANULARITIES, SIZES, TRAINING_RUNS, granularity_id, size_id
from bglab.papers.verdicts import Basis
from bglab.papers.work import Work, of_imagenet, trained_on

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_BACKGROUNDS = ("only_bg_b", "only_bg_t", "no_fg")
_FIGURE_5 = ("mixed_next", "mixed_rand", "mixed_same", "only_fg", "original")
_CURVES = ("mixed_next", "mixed_rand", "mixed_same", "original")
_MIXED = ("mixed_same", "mixed_rand")
# the README's ResNet-50 is known to have other weights than Table 2's, which Figure 12 repeats
_RESNET_50: dict[str, Basis] = {
    **{model: "other" for model, name in README_WEIGHTS.items() if name == "ResNet-50"},
    **{model: "guessed" for model, name in TABLE_2_WEIGHTS.items() if name == "ResNet-50"},
}
_PRE_TRAINED = next(iter(name for name, basis in _RESNET_50.items() if basis == "guessed"))
# Figure 12 from left to right, after a pre-trained model
_METHODS = ("in9lb-9", "in9lb-144", "in9l", "original", "mixed_rand", "in9-l2", "in9-linf")


def make_figure_2(reproduction: Reproduction) -> Product:
    """Test networks trained on backgrounds alone on their own variant and on Original."""
    found = reproduction.trained.networks(_BACKGROUNDS, required=True)
    predictions = pd.concat([_trained(reproduction, {t: uri}, (t, "original")) for t, uri in found.items()])
    table = score_table(predictions, keys=["train"], gap=False)
    own = table.assign(test=table["test"].where(table["test"] == "original", "own test set"))
    return _product(reproduction, found, table, predictions, "nos-figure-2", plot_own_and_original(table),
                    shown=laid_out(own, rows="train", columns="test"))  # fmt: skip


def make_figure_5(reproduction: Reproduction) -> Product:
    """Test the networks trained on Mixed-Rand and on Original on five variants."""
    found = reproduction.trained.networks(("mixed_rand", "original"), required=True)
    predictions = _trained(reproduction, found, _FIGURE_5)
    table = score_table(predictions, keys=["train"], gap=False)
    drawn = table.rename(columns={"test": "variant"}).assign(
        model=[TRAINING_RUNS[t].title for t in table["train"]], space="in9"
    )
    tests = model_tests(predictions.assign(model=predictions["train"]), _FIGURE_5) if len(found) > 1 else ()
    return _product(reproduction, found, table, predictions, "nos-figure-5", plot_accuracy(drawn), tests=tests)


def make_figure_10(reproduction: Reproduction) -> Product:
    """Compute accuracies of networks trained on the same images with 9 to 144 classes."""
    ids = {granularity_id(k): k for k in GRANULARITIES}
    return _curves(reproduction, ids, "nos-figure-10", "classes", "Classes in training")


def make_figure_11(reproduction: Reproduction) -> Product:
    """Compute accuracies of networks trained on a quarter of IN-9 to four times its size."""
    ids = {size_id(k): k for k in SIZES}
    product = _curves(reproduction, ids, "", "size", "Training images, as a multiple of IN-9")
    if reproduction.trained.training_uri("in9l") and not reproduction.trained.knows_natives("in9l"):
        note = "The scenes have no ImageNet class labels, so the subsets are drawn from all images."
        return Product(**{**vars(product), "notes": (*product.notes, note)})
    return product


def make_figure_12(reproduction: Reproduction) -> Product:
    """Compare training data and methods by the accuracies on Mixed-Same and Mixed-Rand."""
    found = reproduction.trained.networks(_METHODS, required=True)
    model = _pre_trained(reproduction.settings.models)
    given = reproduction.predictions([model], _MIXED).assign(train="imagenet")
    predictions = pd.concat([given, _trained(reproduction, found, _MIXED)], ignore_index=True)
    table = score_table(predictions, keys=["train"])
    titles = {"imagenet": "Pre-trained"} | {name: TRAINING_RUNS[name].title for name in _METHODS}
    titles |= {"original": "IN-9", "mixed_rand": "IN-9 (Mixed-Rand)"}
    bars = table.loc[table["test"] != "background_gap"].rename(columns={"test": "variant"})
    drawn = bars.assign(model=bars["train"].map(titles), space="in9")
    missing = [titles[name] for name in _METHODS if name not in found]
    notes = [f"The pre-trained model is {model}."]
    notes += [f"Missing: {', '.join(missing)}; give them with --trained."] if missing else []
    gaps = background_gap(predictions, by=["train"]).drop(columns="method")
    return _product(
        reproduction, found, table, predictions, "nos-figure-12", plot_accuracy(drawn), notes=tuple(notes),
        tests=(Test("BG-Gap of each: Newcombe's paired interval", gaps),), more=_compare_pre_trained(table, model),
    )  # fmt: skip


def _pre_trained(models: Sequence[str]) -> str:
    """Choose the pre-trained model of Figure 12: a ResNet-50, as in the paper, else the first."""
    return next((model for model in models if _RESNET_50.get(model)), models[0])


def _compare_pre_trained(table: pd.DataFrame, model: str) -> pd.DataFrame | None:
    """Compare the pre-trained model with the printed ResNet-50, whose weights are those of Table 2; None for others."""
    if not _RESNET_50.get(model):
        return None
    own = table.loc[table["train"] == "imagenet"]
    compared = with_published(own, published("nos-figure-12"), on={"train": "train", "test": "test"})
    return compared.assign(basis=_RESNET_50[model])


def _trained(reproduction: Reproduction, found: Mapping[str, str], variants: Sequence[str]) -> pd.DataFrame:
    """Return the predictions of trained networks, with the training run's name in the column ``train``."""
    parts = [reproduction.predictions([uri], variants).assign(train=name) for name, uri in found.items()]
    return pd.concat(parts, ignore_index=True)


def _curves(reproduction: Reproduction, ids: Mapping[str, float], place: str, x: str, label: str) -> Product:
    """Compute the accuracies of a series of networks and plot one curve per variant."""
    found = reproduction.trained.networks(list(ids), required=True)
    predictions = _trained(reproduction, found, _CURVES)
    table = score_table(predictions, keys=["train"])
    table[x] = [ids[name] for name in table["train"]]
    points = table.loc[table["test"] != "background_gap"].rename(columns={"test": "variant"})
    titles = {name: TRAINING_RUNS[name].title for name in ids}
    missing = [titles[name] for name in ids if name not in found]
    return _product(
        reproduction, found, table, predictions, place,
        plot_curves(points, x=x, label=label),
        shown=laid_out(table.assign(train=[titles[name] for name in table["train"]]), rows="train", columns="test"),
        notes=(f"Missing: {', '.join(missing)}.",) if missing else (),
    )  # fmt: skip


def _product(
    reproduction: Reproduction,
    found: Mapping[str, str],
    table: pd.DataFrame,
    predictions: pd.DataFrame,
    place: str,
    figure: Axes,
    *,
    shown: pd.DataFrame | None = None,
    tests: tuple[Test, ...] = (),
    notes: tuple[str, ...] = (),
    more: pd.DataFrame | None = None,
) -> Product:
    """Assemble the product of trained networks, compared with the numbers of a place ("" for none), and with more."""
    parts = [] if more is None else [more]
    if place:
        parts.append(compare_trained(reproduction, table, published(place), found))
    compared = pd.concat(parts, ignore_index=True) if parts else None
    if place:
        notes = (*notes, *training_notes(reproduction, found))
    return Product(
        table,
        figure,
        shown=laid_out(table, rows="train", columns="test") if shown is None else shown,
        compared=compared,
        tests=tests,
        notes=notes,
        models=tuple(dict.fromkeys(predictions["model"])),
    )


_GAIN = ("According to the text, the network trained on Mixed-Rand is 17.3 points more accurate on Mixed-Rand than the "
         "one trained on Original; the values in Table 5 differ by 17.95 points (and by 22.32 on Mixed-Next, where the "
         "text says 22.3).")  # fmt: skip

_TRAINED = functools.partial(printed_layout, rows="train", columns="test")

ARTEFACTS = (
    Artefact(
        "nos-figure-2", "Backgrounds alone are enough to learn from", "Figure 2",
        "Networks trained on Only-BG-B, Only-BG-T and No-FG, tested on their own variant and on Original; the dotted "
        "line is chance.",
        make_figure_2, (scenes(), trained(*_BACKGROUNDS)), ("nos-figure-2",), layout=_TRAINED,
        work=tuple(Work("predict", trained_on(name), (name, "original")) for name in _BACKGROUNDS),
    ),
    Artefact(
        "nos-figure-5", "Training on Mixed-Rand", "Figure 5",
        "The networks trained on Mixed-Rand and on Original, tested on five variants.",
        make_figure_5, (scenes(), trained("mixed_rand", "original")), ("nos-figure-5",), layout=_TRAINED,
        contradictions=(_GAIN,), work=(Work("predict", trained_on("mixed_rand", "original"), _FIGURE_5),),
    ),
    Artefact(
        "nos-figure-10", "Finer labels", "Figure 10",
        "Networks trained on the same images with 9 to 144 classes, tested on nine.",
        make_figure_10, (scenes(), trained(*map(granularity_id, GRANULARITIES), at_least=2)),
        ("nos-figure-10",), work=(Work("predict", trained_on(*map(granularity_id, GRANULARITIES)), _CURVES),),
    ),
    Artefact(
        "nos-figure-11", "More data", "Figure 11",
        "Networks trained on 0.25 to 4 times the number of images of IN-9, all with a learning rate of 0.01. Each "
        "training set contains all smaller ones.",
        make_figure_11, (scenes(), trained(*map(size_id, SIZES), at_least=2)),
        work=(Work("predict", trained_on(*map(size_id, SIZES)), _CURVES),),
    ),
    Artefact(
        "nos-figure-12", "Training data and methods", "Figure 12",
        "Accuracy on Mixed-Same and Mixed-Rand of a pre-trained model, of networks trained on IN-9LB (9 and 144 "
        "classes), IN-9L, IN-9 and Mixed-Rand, and of adversarially trained networks (L2, L∞).",
        make_figure_12, (scenes(), trained("original", "mixed_rand")), ("nos-figure-12",), layout=_TRAINED,
        work=(Work("predict", (*of_imagenet(_PRE_TRAINED), *trained_on(*_METHODS)), _MIXED),),
    ),
)  # fmt: skip
