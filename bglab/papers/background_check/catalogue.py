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
from bglab.models import TABLE_1
from bglab.names import display_name
from bglab.papers.artefact import Artefact, Product, Requirement, Test
from bglab.papers.background_check.answers import Answers, answers
from bglab.papers.background_check.text_numbers import artefacts
from bglab.papers.comparisons import compare_with_published, laid_out, model_tests, printed_layout
from bglab.papers.missing import Missing

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_INFLUENCE = "white_fg"
_INVARIANCE = ("original", "on_white", "on_texture")
_SCORE = ["model", "test", "n", "top1", "top1_low", "top1_high"]
# as many networks as the paper's Table 1 has, and images in a row of Figures 1 and 3
_ROWS, _EXAMPLES = 7, 4
_SURE = ["confidence", "answer", "correct"]

#: Our weights of the seven networks of Table 1 → printed name, and what it was trained on.
PRINTED = {network.uri: (name, "imagenet") for name, network in TABLE_1.items()}


def usable_scenes() -> Requirement:
    """Requirement scenes that networks trained on ImageNet can be judged on."""

    def missing(reproduction: Reproduction) -> Missing | None:
        command = "bglab reproduce --paper tbc --scenes imagenet:PATH --out R"
        try:
            space = reproduction.scenes.space
        except (MissingData, BadInput, UnknownName) as problem:
            return Missing("needs data", str(problem), command)
        if space in {"imagenet", "in9"}:
            return None
        reason = (
            f"expected scenes labelled with ImageNet's or the nine classes, got {reproduction.scenes.name} with {space}"
        )
        return Missing("needs data", reason, command)

    return Requirement("scenes labelled with ImageNet's or the nine classes", missing)


def make_table_1(reproduction: Reproduction) -> Product:
    """Score networks on unmodified and whitened images; tick images that only stronger networks read."""
    found = answers(reproduction)
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
    which = f"The images are {', '.join(scenes)}." if scenes else "No image has nested ticks, so none is shown."
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
            ),
            *model_tests(found.predictions.loc[found.predictions["model"].isin(models)], (_INFLUENCE,)),
            *found.missing_test,
        ),
        notes=(
            *found.notes,
            f"Shown is the first image of each step, in the order of the set. {which}",
            *_left_out(found, models),
        ),
        models=tuple(models),
    )


def table_1_models(found: Answers) -> list[str]:
    """Choose the rows of Table 1: the paper's seven if two or more are there, else at most seven from end to end."""
    theirs = [model for model in found.models if model in PRINTED]
    if len(theirs) > 1 or len(found.models) <= _ROWS:
        return theirs if len(theirs) > 1 else list(found.models)
    last = len(found.models) - 1
    return [found.models[round(place * last / (_ROWS - 1))] for place in range(_ROWS)]


def make_figure_1(reproduction: Reproduction) -> Product:
    """Show images that the baseline still recognises without their object, with its confidence."""
    found = answers(reproduction)
    variants = ("original", _INFLUENCE)
    right = _verdicts(found, variants)
    chosen = _where(right, right.all(axis=1))
    notes = [f"Drawn by the seed from {len(chosen):,} of {len(right):,} images that {found.baseline} recognises "
             "both whole and without their object."]  # fmt: skip
    if not chosen:
        chosen = _where(right, right["original"]) or right.index.tolist()
        notes = [f"{found.baseline} recognises no image both whole and without its object; others are shown."]
    return _examples(found, chosen, variants, "figure 1", notes)


def make_figure_3(reproduction: Reproduction) -> Product:
    """Show images that the baseline recognises as they are and not on other backgrounds."""
    found = answers(reproduction)
    right = _verdicts(found, _INVARIANCE)
    lost = right["original"] & ~right["on_white"] & ~right["on_texture"]
    chosen = _where(right, lost)
    notes = [f"Drawn by the seed from {len(chosen):,} of {len(_where(right, right['original'])):,} images that "
             f"{found.baseline} recognises whole, but neither on white nor on a texture."]  # fmt: skip
    if not chosen:
        chosen = _where(right, right["original"] & ~right.all(axis=1)) or right.index.tolist()
        notes = [f"{found.baseline} loses no image on both backgrounds; others are shown."]
    return _examples(found, chosen, _INVARIANCE, "figure 3", notes)


def make_figure_2(reproduction: Reproduction) -> Product:
    """Order networks by accuracy; show how often they read the class off the background."""
    found = answers(reproduction)
    table = found.table.loc[found.table["variant"] == _INFLUENCE].reset_index(drop=True)
    trend = _trend(table, {"Top-1 without the object": table["top1"], "Top-5 without the object": table["top5"]})
    return _over_networks(found, table, plot_influence(table), trend, ("top1", "top5"))


def make_figure_4(reproduction: Reproduction) -> Product:
    """Order networks by accuracy; show how well they recognise objects on white and on textures."""
    return _invariance(reproduction, "top1")


def make_figure_5(reproduction: Reproduction) -> Product:
    """Show the same as Figure 4, by top-5."""
    return _invariance(reproduction, "top5")


def _invariance(reproduction: Reproduction, measure: Measure) -> Product:
    found = answers(reproduction)
    table = found.table.loc[found.table["variant"].isin(_INVARIANCE)].reset_index(drop=True)
    drops = {
        f"Drop from Original to {display_name(variant)}": rows[f"{measure}_drop"].reset_index(drop=True)
        for variant, rows in table.groupby("variant", sort=False)
        if variant != "original"
    }
    trend = _trend(table.drop_duplicates("model"), drops)
    note = (
        f"Textures are {found.full.textures.source}, since the paper does not say which it used; their numbers are "
        f"means of {found.full.settings.draws} draws."
    )
    return _over_networks(found, table, plot_invariance(table, measure=measure), trend, (measure,), (note,))


def _over_networks(
    found: Answers,
    table: pd.DataFrame,
    figure: Axes,
    trend: tuple[Test, ...],
    measures: Sequence[str],
    notes: Sequence[str] = (),
) -> Product:
    """Lay out what Figures 2, 4 and 5 have in common: networks down, and each beside the baseline."""
    ends = [f"{measure}{end}" for measure in measures for end in ("", "_low", "_high", "_drop", "_gain")]
    columns = ["model", "variant", *(c for c in ("n", "draws", "top1_reference", *ends) if c in table.columns)]
    shown = table.reindex(columns=columns).rename(
        columns={"top1_reference": "unmodified"}
        | {f"{m}_drop": f"{m}, drop from Original (points)" for m in measures}
        | {f"{m}_gain": f"{m}, over the baseline (points)" for m in measures}
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
            f"Baseline: {found.baseline}. The paper reads all numbers relative to its baseline, since boxes miss "
            "parts of objects and second instances.",
            *(["So few networks say little about a trend; the paper has 32."] if few else []),
        ),
        models=found.models,
    )


def _trend(networks: pd.DataFrame, quantities: dict[str, pd.Series]) -> tuple[Test, ...]:
    """Test whether quantities rise with accuracy on unmodified images: Kendall's rank correlation."""
    if len(networks) < 4:
        return ()
    rows = []
    for name, values in quantities.items():
        found: Any = kendalltau(networks["top1_reference"], values)
        rows.append((name, len(networks), f"{found.statistic:.2f}".replace("-", "−"), found.pvalue))
    title = "Does it rise with accuracy on unmodified images? Kendall's rank correlation over networks"
    return (Test(title, pd.DataFrame(rows, columns=["quantity", "networks", "tau", "p"])),)


def _verdicts(found: Answers, variants: Sequence[str]) -> pd.DataFrame:
    """Say for each scene which variants the baseline gets right, scenes down, variants across."""
    marked = found.of(found.baseline)
    marked = marked.loc[marked["variant"].isin(list(variants))]
    wide = marked.pivot_table(index="scene", columns="variant", values="correct", aggfunc="first", sort=False)
    return wide.dropna().astype(bool)


def _where(verdicts: pd.DataFrame, chosen: Any) -> list[str]:
    return [str(scene) for scene in verdicts.loc[chosen].index]


def _examples(
    found: Answers, chosen: Sequence[str], variants: Sequence[str], key: str, notes: Sequence[str]
) -> Product:
    """Show some scenes in a row a variant, with the baseline's answers and how sure it is."""
    scenes = found.shuffled(chosen, key)[:_EXAMPLES]
    told = found.of(found.baseline).set_index(["scene", "variant"])
    rows = []
    for variant in variants:
        for scene, truth in zip(scenes, found.classes_of(scenes), strict=True):
            confidence, answer, is_correct = told.loc[(scene, variant), _SURE]
            rows.append((variant, scene, truth, found.class_name(int(answer)), float(confidence), bool(is_correct)))
    table = pd.DataFrame(rows, columns=["variant", "scene", "truth", "answer", "confidence", "right"])
    images = found.images(scenes, variants)
    figure = plot_images(
        [image for variant in variants for image in images[variant]],
        [f"{display_name(row[0])}, sure to {100 * row[4]:.0f} %" for row in rows],
        labels=table["truth"].tolist(),
        predictions=table["answer"].tolist(),
        columns=len(scenes),
    )
    sure = "Confidence is the softmax probability of the network's own best class."
    return Product(table, figure, notes=(*notes, sure, *found.notes), models=(found.baseline,))


def _draw_ticks(found: Answers, models: Sequence[str], ticks: pd.DataFrame) -> Axes:
    scores = found.table.set_index(["model", "variant"])["top1"]
    remarks = [f"{100 * scores[m, 'original']:.1f} / {100 * scores[m, _INFLUENCE]:.2f} %" for m in models]
    scenes = [str(scene) for scene in ticks.columns]
    return plot_ticks(ticks, found.images(scenes, [_INFLUENCE])[_INFLUENCE], found.classes_of(scenes),
                      remarks=remarks)  # fmt: skip


def _left_out(found: Answers, models: Sequence[str]) -> tuple[str, ...]:
    rest = [model for model in found.models if model not in models]
    named = ", ".join(one_line_names(rest))
    return (f"Of {len(found.models)} networks these are left out here: {named}.",) if rest else ()


def _printed_table_1(printed: pd.DataFrame) -> pd.DataFrame:
    """Lay Table 1 out as we do, with the ticks counted."""
    ticks = printed.loc[printed["quantity"] == "ticks"].set_index("model")["value"]
    table = printed_layout(printed.assign(train=""), rows="model", columns="test")
    return table.assign(**{"Ticks of seven": [int(ticks[model]) for model in table.index]})


_NEEDS = (usable_scenes(),)

#: Every artefact, in the paper's order.
ARTEFACTS = (
    Artefact(
        "tbc-table-1", "Stronger networks read more off the background", "Table 1",
        "Accuracy on unmodified images and on the same with a white box for a foreground, for seven networks; ticks "
        "mark images whose class a network still names. Ours are computed: for each network an image that it and "
        "all stronger ones get right, and no weaker one.",
        make_table_1, _NEEDS, ("tbc-table-1",), layout=_printed_table_1,
        contradictions=(
            "The accuracies without foreground are not in the order of the networks: EfficientNet-b1 has 3.78 %, the "
            "stronger SWSL-ResNeXt50-32x4d 3.75 %.",
        ),
    ),
    Artefact(
        "tbc-figure-1", "Recognised without the object", "Figure 1",
        "The baseline's answers and confidence on images as they are and with a white box for a foreground, for "
        "images that it recognises both times.",
        make_figure_1, _NEEDS,
    ),
    Artefact(
        "tbc-figure-2", "How often the background alone tells the class", "Figure 2",
        "Top-1 and top-5 accuracy on images whose foreground is a white box, networks in order of their accuracy on "
        "unmodified images.",
        make_figure_2, _NEEDS,
    ),
    Artefact(
        "tbc-figure-3", "Lost with the background", "Figure 3",
        "Images that the baseline recognises as they are, and not once everything outside the foreground's box is "
        "white or a texture.",
        make_figure_3, _NEEDS,
    ),
    Artefact(
        "tbc-figure-4", "Objects on white and on textures", "Figure 4",
        "Top-1 accuracy when everything outside the foreground's box is white or a texture, networks in order of their "
        "accuracy on unmodified images, which grey dashes show.",
        make_figure_4, _NEEDS,
    ),
    Artefact(
        "tbc-figure-5", "Objects on white and on textures, top-5", "Figure 5",
        "The same as Figure 4 by top-5 accuracy; networks stand in the order of their top-1 accuracy.",
        make_figure_5, _NEEDS,
    ),
    *artefacts(_NEEDS),
)  # fmt: skip
