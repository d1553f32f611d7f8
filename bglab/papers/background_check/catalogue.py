"""The catalogue of Time for a Background Check!: Table 1, Figures 1 to 5, and the numbers of its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import kendalltau

from bglab.analysis import nested_images, published, tick_table
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.figures import Measure, one_line_names, plot_images, plot_influence, plot_invariance, plot_ticks
from bglab.models import BASELINE, LISTS, TABLE_1
from bglab.names import display_name
from bglab.papers.artefact import Artefact, Product, Requirement, Test
from bglab.papers.background_check.evaluation import SHOWN, Evaluation, evaluate_networks
from bglab.papers.background_check.text_numbers import artefacts
from bglab.papers.comparisons import PaperModel, compare_with_published, laid_out, model_tests, printed_layout
from bglab.papers.missing import Missing
from bglab.papers.work import Work, of_imagenet

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_INFLUENCE = "white_fg"
_INVARIANCE = ("original", "on_white", "on_texture")
_SCORE = ["model", "test", "n", "top1", "top1_low", "top1_high"]
# as many networks as the paper's Table 1 has, and images in a row of Figures 1 and 3
_ROWS, _EXAMPLES = 7, 4
_PREDICTION = ["confidence", "answer", "correct"]
_MEASURES = {"top1": "Top-1", "top5": "Top-5"}

#: URI of the weights → network of Table 1. The paper does not name its weights.
PRINTED = {network.uri: PaperModel(name, "imagenet", "guessed") for name, network in TABLE_1.items()}


def usable_scenes() -> Requirement:
    """Require scenes whose labels an ImageNet classifier can be evaluated with."""

    def missing(reproduction: Reproduction) -> Missing | None:
        command = "bglab reproduce --paper tbc --scenes imagenet:PATH --out R"
        try:
            space = reproduction.scenes.space
        except (MissingData, BadInput, UnknownName) as problem:
            return Missing("needs data", str(problem), command)
        if space in {"imagenet", "in9"}:
            return None
        reason = (
            "expected scenes labelled with ImageNet's or the nine classes, got "
            f"{reproduction.scenes.name} labelled with {space}"
        )
        return Missing("needs data", reason, command)

    return Requirement("scenes labelled with ImageNet's or the nine classes", missing)


def make_table_1(reproduction: Reproduction) -> Product:
    """Compute accuracies on unmodified images and on a white foreground; tick images that networks still classify."""
    found = evaluate_networks(reproduction)
    models = table_1_models(found)
    rows = found.table.loc[found.table["model"].isin(models) & found.table["variant"].isin(["original", _INFLUENCE])]
    table = rows.rename(columns={"variant": "test"}).reindex(columns=_SCORE).reset_index(drop=True)
    ticks = tick_table(found.predictions, models)
    nested = nested_images(found.predictions, models)
    whitened = table["test"] == _INFLUENCE
    counts = dict(zip(ticks.index, ticks.sum(axis=1), strict=True))
    table["ticks"] = pd.Series([counts[m] if w else pd.NA for m, w in zip(table["model"], whitened, strict=True)],
                               dtype="Int64")  # fmt: skip
    scenes = [str(scene) for scene in ticks.columns]
    shown = laid_out(table, rows="model", columns="test")
    for place, name in enumerate(found.classes_of(scenes), start=1):
        shown[f"{place}: {name}"] = ticks[scenes[place - 1]].reindex(shown.index).tolist()
    steps = [(model, nested["first"].tolist().count(model)) for model in models]
    which = f"Scenes: {', '.join(scenes)}." if scenes else "No image has nested ticks, so none is shown."
    printed = published("tbc-table-1")
    return Product(
        table,
        _draw_ticks(found, models, ticks) if scenes else None,
        shown=shown,
        compared=compare_with_published(table, printed.loc[printed["quantity"] == "accuracy"], PRINTED),
        tests=(
            Test(
                "Nested ticks: images whose class this network reads off the background and so do all stronger "
                f"ones, but no weaker one does (of {max(table['n'].tolist()):,})",
                pd.DataFrame(steps, columns=["model", "pictures"]),
                "Nested ticks: images classified correctly without their foreground by this network and all more "
                f"accurate ones, but by no less accurate one (of {max(table['n'].tolist()):,})",
            ),
            *model_tests(found.predictions.loc[found.predictions["model"].isin(models)], (_INFLUENCE,)),
            *found.missing_test,
        ),
        notes=(
            *found.notes,
            f"Shown is the first image of each such group, in the order of the set. {which}",
            *_omitted(found, models),
        ),
        models=tuple(models),
    )


def table_1_models(found: Evaluation) -> list[str]:
    """Choose the rows of Table 1: the paper's networks if at least two are given, else up to seven evenly spaced."""
    papers = [model for model in found.models if model in PRINTED]
    if len(papers) > 1 or len(found.models) <= _ROWS:
        return papers if len(papers) > 1 else list(found.models)
    last = len(found.models) - 1
    return [found.models[round(place * last / (_ROWS - 1))] for place in range(_ROWS)]


def make_figure_1(reproduction: Reproduction) -> Product:
    """Plot images that the baseline classifies correctly with and without their foreground, with its confidence."""
    found = evaluate_networks(reproduction)
    variants = ("original", _INFLUENCE)
    correct = _correct(found, variants)
    chosen = _scenes_where(correct, correct.all(axis=1))
    notes = [f"Drawn by the seed from the {len(chosen):,} of {len(correct):,} images that {found.baseline} classifies "
             "correctly both unmodified and without their foreground."]  # fmt: skip
    if not chosen:
        chosen = _scenes_where(correct, correct["original"]) or correct.index.tolist()
        notes = [f"{found.baseline} classifies no image correctly both unmodified and without its foreground; other "
                 "images are shown."]  # fmt: skip
    return _examples(found, chosen, variants, "figure 1", notes)


def make_figure_3(reproduction: Reproduction) -> Product:
    """Plot images that the baseline classifies correctly unmodified, but not on a white or textured background."""
    found = evaluate_networks(reproduction)
    correct = _correct(found, _INVARIANCE)
    lost = correct["original"] & ~correct["on_white"] & ~correct["on_texture"]
    chosen = _scenes_where(correct, lost)
    original = _scenes_where(correct, correct["original"])
    notes = [f"Drawn by the seed: of {len(original):,} images that {found.baseline} classifies correctly unmodified, "
             f"{len(chosen):,} are incorrect both on white and on a texture."]  # fmt: skip
    if not chosen:
        chosen = _scenes_where(correct, correct["original"] & ~correct.all(axis=1)) or correct.index.tolist()
        notes = [f"No image that {found.baseline} classifies correctly is incorrect on both backgrounds; other images "
                 "are shown."]  # fmt: skip
    return _examples(found, chosen, _INVARIANCE, "figure 3", notes)


def make_figure_2(reproduction: Reproduction) -> Product:
    """Plot top-1 and top-5 accuracy on a white foreground, networks ordered by accuracy on unmodified images."""
    found = evaluate_networks(reproduction)
    table = found.table.loc[found.table["variant"] == _INFLUENCE].reset_index(drop=True)
    trend = _trend(table, {"Top-1 without foreground": table["top1"], "Top-5 without foreground": table["top5"]})
    return _over_networks(found, table, plot_influence(table), trend, ("top1", "top5"))


def make_figure_4(reproduction: Reproduction) -> Product:
    """Plot top-1 accuracy on white and textured backgrounds, networks ordered by accuracy on unmodified images."""
    return _invariance(reproduction, "top1")


def make_figure_5(reproduction: Reproduction) -> Product:
    """Plot the same as Figure 4 for top-5 accuracy."""
    return _invariance(reproduction, "top5")


def _invariance(reproduction: Reproduction, measure: Measure) -> Product:
    found = evaluate_networks(reproduction)
    table = found.table.loc[found.table["variant"].isin(_INVARIANCE)].reset_index(drop=True)
    drops = {
        f"Drop from Original to {display_name(variant)}": rows[f"{measure}_drop"].reset_index(drop=True)
        for variant, rows in table.groupby("variant", sort=False)
        if variant != "original"
    }
    trend = _trend(table.drop_duplicates("model"), drops)
    note = (
        f"Textures: {found.full.textures.source}, since the paper does not say which it used; accuracies are means of "
        f"{found.full.settings.draws} draws."
    )
    return _over_networks(found, table, plot_invariance(table, measure=measure), trend, (measure,), (note,))


def _over_networks(
    found: Evaluation,
    table: pd.DataFrame,
    figure: Axes,
    trend: tuple[Test, ...],
    measures: Sequence[str],
    notes: Sequence[str] = (),
) -> Product:
    """Assemble the product of Figures 2, 4 and 5: one row per network and variant, with the gain over the baseline."""
    ends = [f"{measure}{end}" for measure in measures for end in ("", "_low", "_high", "_drop", "_gain")]
    columns = ["model", "variant", *(c for c in ("n", "draws", "top1_reference", *ends) if c in table.columns)]
    shown = table.reindex(columns=columns).rename(
        columns={"top1_reference": "unmodified (%)"}
        | {f"{m}_drop": f"{_MEASURES[m]} drop (points)" for m in measures}
        | {f"{m}_gain": f"{_MEASURES[m]} over baseline (points)" for m in measures}
    )
    few = len(set(table["model"])) < 4
    return Product(
        table,
        figure,
        shown=shown,
        tests=(*trend, *found.missing_test),
        notes=(
            *found.notes,
            *notes,
            f"Baseline: {found.baseline}. The paper reports numbers relative to its baseline, since boxes miss parts "
            "of objects and further instances.",
            *(["This few networks show little of a trend; the paper has 32."] if few else []),
        ),
        models=found.models,
    )


def _trend(networks: pd.DataFrame, quantities: dict[str, pd.Series]) -> tuple[Test, ...]:
    """Test whether quantities increase with accuracy on unmodified images: Kendall's rank correlation."""
    if len(networks) < 4:
        return ()
    rows = []
    for name, values in quantities.items():
        found: Any = kendalltau(networks["top1_reference"], values)
        rows.append((name, len(networks), f"{found.statistic:.2f}".replace("-", "−"), found.pvalue))
    title = "Does it rise with accuracy on unmodified images? Kendall's rank correlation over networks"
    return (Test(title, pd.DataFrame(rows, columns=["quantity", "networks", "tau", "p"])),)


def _correct(found: Evaluation, variants: Sequence[str]) -> pd.DataFrame:
    """Return whether the baseline classifies each scene correctly: one row per scene, one column per variant."""
    marked = found.of_model(found.baseline)
    marked = marked.loc[marked["variant"].isin(list(variants))]
    wide = marked.pivot_table(index="scene", columns="variant", values="correct", aggfunc="first", sort=False)
    return wide.dropna().astype(bool)


def _scenes_where(correct: pd.DataFrame, chosen: Any) -> list[str]:
    return [str(scene) for scene in correct.loc[chosen].index]


def _examples(
    found: Evaluation, chosen: Sequence[str], variants: Sequence[str], key: str, notes: Sequence[str]
) -> Product:
    """Plot a few scenes, one row per variant, with the baseline's predictions and confidence."""
    scenes = found.shuffled(chosen, key)[:_EXAMPLES]
    predicted = found.of_model(found.baseline).set_index(["scene", "variant"])
    rows = []
    for variant in variants:
        for scene, truth in zip(scenes, found.classes_of(scenes), strict=True):
            confidence, answer, is_correct = predicted.loc[(scene, variant), _PREDICTION]
            rows.append((variant, scene, truth, found.class_name(int(answer)), float(confidence), bool(is_correct)))
    table = pd.DataFrame(rows, columns=["variant", "scene", "truth", "answer", "confidence", "right"])
    images = found.images(scenes, variants)
    figure = plot_images(
        [image for variant in variants for image in images[variant]],
        [f"{display_name(row[0])}, confidence {100 * row[4]:.0f} %" for row in rows],
        labels=table["truth"].tolist(),
        predictions=table["answer"].tolist(),
        columns=len(scenes),
    )
    confidence = "Confidence is the softmax probability of the predicted class, among all classes of the network."
    return Product(
        table,
        figure,
        shown=table.rename(columns={"answer": "prediction", "confidence": "confidence (%)", "right": "correct"}),
        notes=(*notes, confidence, *found.notes),
        models=(found.baseline,),
    )


def _draw_ticks(found: Evaluation, models: Sequence[str], ticks: pd.DataFrame) -> Axes:
    scores = found.table.set_index(["model", "variant"])["top1"]
    remarks = [f"{100 * scores[m, 'original']:.1f} / {100 * scores[m, _INFLUENCE]:.2f} %" for m in models]
    scenes = [str(scene) for scene in ticks.columns]
    return plot_ticks(ticks, found.images(scenes, [_INFLUENCE])[_INFLUENCE], found.classes_of(scenes),
                      remarks=remarks)  # fmt: skip


def _omitted(found: Evaluation, models: Sequence[str]) -> tuple[str, ...]:
    rest = [model for model in found.models if model not in models]
    named = ", ".join(one_line_names(rest))
    return (f"Omitted from the {len(found.models)} networks: {named}.",) if rest else ()


def _printed_table_1(printed: pd.DataFrame) -> pd.DataFrame:
    """Arrange the published Table 1 like ours, with the number of ticks of each network."""
    ticks = printed.loc[printed["quantity"] == "ticks"].set_index("model")["value"]
    table = printed_layout(printed.assign(train=""), rows="model", columns="test")
    return table.assign(**{"Ticks of seven": [int(ticks[model]) for model in table.index]})


def _shown(*models: str) -> tuple[Work, ...]:
    """Return the work of `evaluate_networks`: each network sees each photograph in all variants, in one pass."""
    return (Work("stream", of_imagenet(*models), SHOWN, "boxed"),)


_NEEDS = (usable_scenes(),)

#: Every artefact, in the paper's order.
ARTEFACTS = (
    Artefact(
        "tbc-table-1", "More accurate networks rely more on the background", "Table 1",
        "Accuracy of seven networks on unmodified images and on the same images with the foreground's box painted "
        "white; ticks mark images that a network still classifies correctly. Our images are found by search: for each "
        "network, an image that it and all more accurate ones classify correctly, and no less accurate one.",
        make_table_1, _NEEDS, ("tbc-table-1",), layout=_printed_table_1,
        work=_shown(*(network.uri for network in TABLE_1.values())),
        contradictions=(
            "The accuracies without foreground are not in the order of the networks: EfficientNet-b1 has 3.78 %, the "
            "stronger SWSL-ResNeXt50-32x4d 3.75 %.",
        ),
    ),
    Artefact(
        "tbc-figure-1", "Correct predictions without the foreground", "Figure 1",
        "The baseline's predictions and confidence on unmodified images and on the same images with the foreground's "
        "box painted white, for images that it classifies correctly both times.",
        make_figure_1, _NEEDS, work=_shown(BASELINE),
    ),
    Artefact(
        "tbc-figure-2", "Accuracy from the background alone", "Figure 2",
        "Top-1 and top-5 accuracy on images with the foreground's box painted white; networks are ordered by their "
        "accuracy on unmodified images.",
        make_figure_2, _NEEDS, work=_shown(*LISTS["thirty-two"]),
    ),
    Artefact(
        "tbc-figure-3", "Incorrect predictions on other backgrounds", "Figure 3",
        "Images that the baseline classifies correctly unmodified, but incorrectly when everything outside the "
        "foreground's box is white or a texture.",
        make_figure_3, _NEEDS, work=_shown(BASELINE),
    ),
    Artefact(
        "tbc-figure-4", "Objects on white and on textures", "Figure 4",
        "Top-1 accuracy when everything outside the foreground's box is white or a texture; networks are ordered by "
        "their accuracy on unmodified images (grey dashes).",
        make_figure_4, _NEEDS, work=_shown(*LISTS["thirty-two"]),
    ),
    Artefact(
        "tbc-figure-5", "Objects on white and on textures, top-5", "Figure 5",
        "The same as Figure 4 for top-5 accuracy; networks are ordered by top-1 accuracy on unmodified images.",
        make_figure_5, _NEEDS, work=_shown(*LISTS["thirty-two"]),
    ),
    *artefacts(_NEEDS),
)  # fmt: skip
