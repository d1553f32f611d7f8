"""Noise or Signal, Figures 7, 8 and 13: the five categories, the trend over models, blurred backgrounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from bglab.analysis import (
    STRICT_FOOLS,
    categories,
    fit_trends,
    published,
    share_interval,
    significant_best,
    trend_bands,
    with_published,
)
from bglab.figures import plot_categories, plot_images, plot_trends
from bglab.models import LISTS
from bglab.names import display_name
from bglab.papers.artefact import Artefact, Product, Test
from bglab.papers.comparisons import (
    basis_of_trained,
    count_note,
    imagenet_notes,
    laid_out,
    model_tests,
    score_table,
    training_notes,
)
from bglab.papers.examples import predicted_classes, shuffled_scenes
from bglab.papers.requirements import scenes
from bglab.papers.work import Work, of_imagenet, trained_on

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_CATEGORY_VARIANTS = ("original", "mixed_rand", "only_bg_t")
_FIGURE_7 = ("mixed_rand", "original", "only_bg_t")
_TRENDS = ("only_bg_t", "mixed_next", "mixed_rand", "mixed_same", "no_fg")
# the paper lists neither the models of Figure 8 nor that of Figure 13
_MANY = of_imagenet(*LISTS["thirty-two"])
_RESNET_50 = "timm:resnet50.tv_in1k"
_BLURRED = ("original", "only_fg", "bg_blurred", "mixed_same")


def make_figure_7(reproduction: Reproduction) -> Product:
    """Compute the share of images in each of the five categories, per trained network or pre-trained model."""
    found = reproduction.trained.networks(_FIGURE_7)
    models = list(found.values()) or list(reproduction.settings.models)
    table = categories(reproduction.predictions(models, _CATEGORY_VARIANTS), by=["model"])
    instead = "No network trained on Mixed-Rand, Original or Only-BG-T is available; shown are the pre-trained models."
    compared = None
    original = found.get("original")
    if original is not None:
        compared = _with_figure_7(table.loc[table["model"] == reproduction.label(original)])
        compared["basis"] = basis_of_trained(reproduction, original)
    return Product(
        table,
        plot_categories(table),
        shown=laid_out(table, rows="category", columns="model", value="share"),
        compared=compared,
        notes=training_notes(reproduction, found) if found else (instead,),
        models=tuple(dict.fromkeys(table["model"])),
    )


def make_figure_8(reproduction: Reproduction) -> Product:
    """Plot accuracy on each variant against accuracy on all images of ImageNet, with one linear fit per variant."""
    predictions = reproduction.predictions(reproduction.settings.models, ("original", *_TRENDS))
    table = score_table(predictions, gap=False).rename(columns={"test": "variant"})
    notes, counted = [], table.rename(columns={"variant": "test"})
    if reproduction.imagenet_scenes is not None:
        seen = reproduction.predictions(reproduction.settings.models, ["original"], scenes=reproduction.imagenet_scenes)
        whole, name = score_table(seen, gap=False), "ImageNet top-1 accuracy"
        counted = pd.concat([whole.assign(test="imagenet"), counted])
        notes += imagenet_notes(reproduction, reproduction.settings.models[0])
    else:
        whole, name = table.loc[table["variant"] == "original"], "Accuracy on Original"
    reference = dict(zip(whole["model"], whole["top1"], strict=True))
    table = table.assign(reference=[reference[model] for model in table["model"]])
    table = table.loc[table["variant"] != "original"].reset_index(drop=True)
    if reproduction.imagenet_scenes is None:
        notes.append("Without ImageNet's validation set (--imagenet), the horizontal axis is accuracy on Original.")
    if len(reproduction.settings.models) < 4:
        notes.append("The fits through this few models are uncertain, as their intervals show.")
    return Product(
        table,
        plot_trends(table, bands=trend_bands(table), reference=name),
        shown=laid_out(table, rows="variant", columns="model"),
        tests=(Test("Slope of each line, points of accuracy a point: least squares, 95 % interval", _slopes(table),
                    "Slope of each fit (percentage points per percentage point): least squares, 95 % interval"),
               *model_tests(predictions, ("mixed_rand",))),
        notes=(count_note(counted), *notes),
        models=tuple(dict.fromkeys(table["model"])),
    )  # fmt: skip


def make_figure_13(reproduction: Reproduction) -> Product:
    """Plot an image as Original, Only-FG and BG-Blurred, and compute the accuracies on these and on Mixed-Same."""
    models = list(reproduction.settings.models)
    predictions = reproduction.predictions(models, _BLURRED)
    table = score_table(predictions, gap=False)
    first = predictions.loc[predictions["model"] == reproduction.label(models[0])]
    original = first.loc[first["variant"] == "original"]
    correct = set(original.loc[original["label"] == original["prediction"], "scene"])
    order = shuffled_scenes(reproduction, models[0], _BLURRED[:3])
    scene = next((name for name in order if name in correct), order[0])
    datasets = [reproduction.dataset(variant, reproduction.size_of(models[0])) for variant in _BLURRED[:3]]
    predicted = predicted_classes(reproduction, first, scene)
    figure = plot_images(
        [dataset[scene].numpy() for dataset in datasets],
        [display_name(variant) for variant in _BLURRED[:3]],
        labels=[predicted["truth"]] * 3,
        predictions=[predicted[variant] for variant in _BLURRED[:3]],
        columns=3,
    )
    best = significant_best(laid_out(table, rows="test", columns="model"))
    return Product(
        table,
        figure,
        shown=laid_out(table, rows="test", columns="model"),
        bold=best,
        tests=model_tests(predictions, ("bg_blurred",)),
        notes=(f"Scene {scene}, drawn by the seed from those classified correctly on Original; predictions of "
               f"{reproduction.label(models[0])}.", "The paper does not state the strength of its blur."),
        models=tuple(dict.fromkeys(table["model"])),
    )  # fmt: skip


def _slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Format the slopes as text, since they are neither fractions nor percentages."""
    rows = []
    for fit in fit_trends(table).to_dict("records"):
        limits = f" [{fit['slope_low']:.2f}, {fit['slope_high']:.2f}]" if fit["models"] > 2 else ""
        slope = f"{fit['slope']:.2f}{limits}".replace("-", "−") if math.isfinite(fit["slope"]) else "–"
        rows.append((fit["variant"], fit["models"], slope))
    return pd.DataFrame(rows, columns=["variant", "models", "slope"])


def _with_figure_7(table: pd.DataFrame) -> pd.DataFrame:
    """Compare two shares with the numbers that the paper's text gives for Figure 7.

    The text says 3 % of BG Fools in Appendix H, which requires the same incorrect class of image and background.
    """
    counts = table.set_index("category")["count"]
    n = int(table["n"].iloc[0])
    ours = {
        "bg_required + bg_fg_required": counts["bg_required"] + counts["bg_fg_required"],
        STRICT_FOOLS: counts[STRICT_FOOLS],
    }
    frame = pd.DataFrame({"quantity": list(ours), "n": n, "count": list(ours.values())})
    low, high = share_interval(frame["count"].to_numpy(), frame["n"].to_numpy())
    frame = frame.assign(top1=frame["count"] / n, top1_low=low, top1_high=high)
    compared = with_published(frame, published("nos-figure-7"), on={"quantity": "quantity"})
    # a share of images on which two accuracies differ varies as their difference
    return compared.assign(spread=math.sqrt(2))


ARTEFACTS = (
    Artefact(
        "nos-figure-7", "How often the background decides", "Figure 7",
        "The five categories of Table 3 as shares of all images, for networks trained on Mixed-Rand, Original and "
        "Only-BG-T; variants are matched by the scene of the foreground.",
        make_figure_7, (scenes(),), ("nos-figure-7",),
        work=(Work("predict", trained_on(*_FIGURE_7), _CATEGORY_VARIANTS),),
    ),
    Artefact(
        "nos-figure-8", "Better models and backgrounds", "Figure 8",
        "Accuracy on five variants against ImageNet accuracy, one column of points per model, with one linear fit and "
        "95 % confidence band per variant.",
        make_figure_8, (scenes(),),
        work=(
            Work("predict", _MANY, ("original",), "imagenet"),
            Work("predict", _MANY, ("original", *_TRENDS)),
        ),
        contradictions=(
            "The introduction of version 1 says that more accurate models exploit backgrounds more and are more "
            "robust; its abstract says that they depend on backgrounds less.",
        ),
    ),
    Artefact(
        "nos-figure-13", "Blurred backgrounds", "Figure 13",
        "An image as Original, Only-FG and BG-Blurred with a model's predictions, and accuracies that test the claim "
        "that BG-Blurred lies between Only-FG and Mixed-Same.",
        make_figure_13, (scenes(),), work=(Work("predict", of_imagenet(_RESNET_50), _BLURRED),),
    ),
)  # fmt: skip
