"""Noise or Signal, Figures 1, 6, 9, 14 to 21 and 30: images, what models say of them, and where they look."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from bglab.analysis import (
    STRICT_FOOLS,
    categories,
    compare_localisation,
    localisation_summary,
    localise,
    published_predictions,
    scene_categories,
)
from bglab.figures import plot_images, plot_saliency
from bglab.labels import IN9_NAMES
from bglab.papers import requirements
from bglab.papers.artefact import Artefact, Product, Test
from bglab.papers.examples import answers_to, class_name, shuffled_scenes, title_of
from bglab.papers.illustrations import plot_tiling
from bglab.papers.training_runs import NETWORKS
from bglab.saliency import saliency_maps, upsample

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

# figures list the versions in this order (Figure 1)
_ORDER = ("original", "only_bg_b", "only_bg_t", "no_fg", "only_fg", "mixed_same", "mixed_rand", "mixed_next")
_FOOLED_BY = ("original", "mixed_rand", "only_bg_t")
_SHARE = ["model", "n", "share_on_object", "share_on_object_low", "share_on_object_high", "share_on_object_chance"]
_SALIENCY_METHOD, _SALIENCY_SCENES, _SALIENCY_BATCH = "input_gradient", 90, 15


def make_versions(name: str, reproduction: Reproduction) -> Product:
    """Show one image of a class in all versions with the model's answers."""
    model = reproduction.main_model()
    predictions = reproduction.predictions([model], _ORDER)
    scene = shuffled_scenes(reproduction, model, _ORDER, name)[0]
    answers = answers_to(reproduction, predictions, scene)
    size = reproduction.size_of(model)
    figure = plot_images(
        [reproduction.dataset(variant, size)[scene].numpy() for variant in _ORDER],
        [title_of(variant) for variant in _ORDER],
        labels=[name] * len(_ORDER),
        predictions=[answers[variant] for variant in _ORDER],
    )
    donors = predictions.loc[predictions["scene"] == scene].set_index("variant")["donor"]
    table = pd.DataFrame(
        {"variant": list(_ORDER), "scene": scene, "donor": [donors[v] for v in _ORDER], "truth": name,
         "answer": [answers[v] for v in _ORDER]}
    )  # fmt: skip
    printed = published_predictions()
    theirs = printed.loc[printed["label"] == name].set_index("variant")["prediction"]
    table["printed"] = [theirs[variant] for variant in _ORDER]
    shown = pd.DataFrame({"variant": list(_ORDER), "Our image": table["answer"], "The paper's": table["printed"]})
    return Product(
        table, figure, shown=shown,
        notes=(f"The image is {scene}, drawn by the seed; the paper does not name its own.",),
        models=(reproduction.label(model),),
    )  # fmt: skip


def make_figure_6(reproduction: Reproduction) -> Product:
    """Show where two trained networks look, and measure it on many images."""
    found = reproduction.trained.networks(("original", "mixed_rand"), required=True)
    titles = {uri: f"Trained on {NETWORKS[name].title}" for name, uri in found.items()}
    first = next(iter(titles))
    scenes = shuffled_scenes(reproduction, first, ["original"], key="saliency")
    prepared = reproduction.prepared(reproduction.size_of(first))
    scenes = [scene for scene in scenes if scene in prepared.scenes.positions][:_SALIENCY_SCENES]
    positions = [prepared.scenes.positions[scene] for scene in scenes]
    masks = np.asarray(prepared.masks[positions])
    images = torch.from_numpy(np.asarray(prepared.images[positions]))
    maps = {title: _maps(reproduction, uri, images) for uri, title in titles.items()}
    rows = pd.concat(
        [localise(values, masks).assign(model=title, scene=scenes) for title, values in maps.items()],
        ignore_index=True,
    )
    table = localisation_summary(rows, by=["model"])
    shown = {title: values[:2] for title, values in maps.items()}
    shares = {title: [f"{100 * s:.0f} % on the object" for s in rows.loc[rows["model"] == title, "share_on_object"][:2]]
              for title in maps}  # fmt: skip
    tests = ()
    if len(maps) > 1:
        tests = (Test("Saliency of the two networks on the same scenes: mean difference, paired bootstrap interval",
                      compare_localisation(rows, by=[])),)  # fmt: skip
    names = [f"{class_name(reproduction, prepared.scenes.records[p].label)}" for p in positions[:2]]
    return Product(
        table,
        plot_saliency(list(images[:2].numpy()), shown, masks[:2], names=names, captions=shares),
        shown=table.reindex(columns=_SHARE),
        tests=tests,
        notes=("The paper does not say which saliency method it used: this is the gradient of the predicted logit with "
               f"respect to the image, the greatest of its channels. Images: {', '.join(scenes[:2])}.",),
        models=tuple(reproduction.label(uri) for uri in titles),
    )  # fmt: skip


def make_figure_9(reproduction: Reproduction) -> Product:
    """Show the steps from an image to its Only-BG-T."""
    prepared = reproduction.prepared()
    able = [r.id for r, plate in zip(prepared.scenes.records, prepared.has_plate, strict=True) if plate]
    scene = min(able, key=lambda name: np.abs(_box_share(reproduction, name) - 0.25))
    box = prepared.scenes[scene].box
    table = pd.DataFrame([(scene, *box)], columns=["scene", "x0", "y0", "x1", "y1"])
    note = f"The image is {scene}, whose box covers the share of the image nearest to a quarter."
    return Product(table, plot_tiling(prepared, scene), notes=(note,))


def make_figure_30(reproduction: Reproduction) -> Product:
    """Show images that are fooled by their own background, above the same objects on a random one."""
    model = reproduction.main_model()
    predictions = reproduction.predictions([model], _FOOLED_BY)
    marked = scene_categories(predictions, by=["model"])
    strict = set(marked.loc[marked["strict"], "scene"])
    table = categories(predictions, by=["model"])
    table = table.loc[table["category"].isin(["bg_fools", STRICT_FOOLS])].reset_index(drop=True)
    order = [s for s in shuffled_scenes(reproduction, model, _FOOLED_BY, key="fooled") if s in strict][:5]
    figure = _fooled(reproduction, model, predictions, order) if order else None
    none = () if order else ("No image of this set is fooled by its own background, so there is nothing to draw.",)
    return Product(
        table, figure, notes=(f"Images: {', '.join(order)}.",) if order else none, models=(reproduction.label(model),)
    )


def _fooled(reproduction: Reproduction, model: str, predictions: pd.DataFrame, scenes: list[str]) -> Axes:
    """Draw two rows: Original with its wrong answer, Mixed-Rand with the right one."""
    found = [answers_to(reproduction, predictions, scene) for scene in scenes]
    size, rows = reproduction.size_of(model), ("original", "mixed_rand")
    return plot_images(
        [reproduction.dataset(v, size)[scene].numpy() for v in rows for scene in scenes],
        [title_of(v) for v in rows for _ in scenes],
        labels=[answers["truth"] for _ in rows for answers in found],
        predictions=[answers[v] for v in rows for answers in found],
        columns=len(scenes),
    )


def _maps(reproduction: Reproduction, uri: str, images: torch.Tensor) -> np.ndarray:
    """Compute a network's saliency of its own answers, at the images' size."""
    classifier = reproduction.classifier(uri)
    parts = []
    for batch in images.split(_SALIENCY_BATCH):
        maps = saliency_maps(classifier, batch, method=_SALIENCY_METHOD, seed=reproduction.settings.seed)
        parts.append(upsample(maps, *batch.shape[-2:]).cpu())
    return torch.cat(parts).numpy().astype(np.float64)


def _box_share(reproduction: Reproduction, scene: str) -> float:
    prepared = reproduction.prepared()
    x0, y0, x1, y1 = prepared.boxes[prepared.scenes.positions[scene]].tolist()
    return (x1 - x0) * (y1 - y0) / prepared.size**2


_SINGLE = tuple(name for name in IN9_NAMES if name != "insect")

ARTEFACTS = (
    Artefact(
        "nos-figure-1", "One image in eight versions", "Figure 1",
        "An image of an insect in all versions, with the answer of a network trained on IN-9L, or of the first given "
        "model, below each.",
        functools.partial(make_versions, "insect"), (requirements.scene_of("insect"),),
    ),
    Artefact(
        "nos-figure-6", "Where networks look", "Figure 6",
        "Saliency maps of the networks trained on Original and on Mixed-Rand, on two images; beside it the share of "
        f"saliency on the object, averaged over up to {_SALIENCY_SCENES} images, which makes the claim testable.",
        make_figure_6, (requirements.scenes(), requirements.trained("original", "mixed_rand")),
    ),
    Artefact(
        "nos-figure-9", "How Only-BG-T is made", "Figure 9",
        "The object's box, the largest strip beside it, the strip tiled over the image, the tiles copied "
        "into the box.",
        make_figure_9, (requirements.scenes(),),
    ),
    *(
        Artefact(
            f"nos-figure-{number}", f"One image in eight versions: {name}", f"Figure {number}",
            f"As Figure 1, with an image of the class {name}.",
            functools.partial(make_versions, name), (requirements.scene_of(name),),
        )
        for number, name in enumerate(_SINGLE, start=14)
    ),
    Artefact(
        "nos-figure-30", "Fooled by their own background", "Figure 30",
        "Images that get the same wrong class as their background alone, and the right one on a random background; "
        "beside them the share of such images.",
        make_figure_30, (requirements.scenes(),),
    ),
)  # fmt: skip
