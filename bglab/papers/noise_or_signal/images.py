"""Noise or Signal, Figures 1, 6, 9, 14 to 21 and 30: example images, predictions and saliency maps."""

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
from bglab.names import display_name
from bglab.papers import requirements
from bglab.papers.artefact import Artefact, Product, Test
from bglab.papers.examples import class_name, predicted_classes, shuffled_scenes
from bglab.papers.illustrations import tiling_steps
from bglab.papers.training_runs import TRAINING_RUNS
from bglab.papers.work import Work, trained_on
from bglab.saliency import saliency_maps, upsample

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

# the order of Figure 1
_ORDER = ("original", "only_bg_b", "only_bg_t", "no_fg", "only_fg", "mixed_same", "mixed_rand", "mixed_next")
_FOOLED_BY = ("original", "mixed_rand", "only_bg_t")
_SHARE = ["model", "n", "share_on_object", "share_on_object_low", "share_on_object_high", "share_on_object_chance"]
_SALIENCY_METHOD, _SALIENCY_SCENES, _SALIENCY_BATCH = "input_gradient", 90, 15


def make_variants(name: str, reproduction: Reproduction) -> Product:
    """Plot one scene of a class in all variants with the model's predictions."""
    model = reproduction.main_model()
    predictions = reproduction.predictions([model], _ORDER)
    scene = shuffled_scenes(reproduction, model, _ORDER, name)[0]
    predicted = predicted_classes(reproduction, predictions, scene)
    size = reproduction.size_of(model)
    figure = plot_images(
        [reproduction.dataset(variant, size)[scene].numpy() for variant in _ORDER],
        [display_name(variant) for variant in _ORDER],
        labels=[name] * len(_ORDER),
        predictions=[predicted[variant] for variant in _ORDER],
    )
    donors = predictions.loc[predictions["scene"] == scene].set_index("variant")["donor"]
    table = pd.DataFrame(
        {"variant": list(_ORDER), "scene": scene, "donor": [donors[v] for v in _ORDER], "truth": name,
         "answer": [predicted[v] for v in _ORDER]}
    )  # fmt: skip
    printed = published_predictions()
    theirs = printed.loc[printed["label"] == name].set_index("variant")["prediction"]
    table["printed"] = [theirs[variant] for variant in _ORDER]
    shown = pd.DataFrame(
        {"variant": list(_ORDER), "Our prediction": table["answer"], "Published prediction": table["printed"]}
    )
    return Product(
        table, figure, shown=shown,
        notes=(f"Scene {scene}, drawn by the seed; the paper does not name its images.",),
        models=(reproduction.label(model),),
    )  # fmt: skip


def make_figure_6(reproduction: Reproduction) -> Product:
    """Plot the saliency maps of two trained networks, and compute the share of saliency on the object."""
    found = reproduction.trained.networks(("original", "mixed_rand"), required=True)
    titles = {uri: f"Trained on {TRAINING_RUNS[name].title}" for name, uri in found.items()}
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
        notes=("The paper does not name its saliency method; shown is the gradient of the predicted logit with "
               f"respect to the image, maximum over channels. Scenes: {', '.join(scenes[:2])}.",),
        models=tuple(reproduction.label(uri) for uri in titles),
    )  # fmt: skip


def make_figure_9(reproduction: Reproduction) -> Product:
    """Plot the steps from an image to its Only-BG-T variant."""
    prepared = reproduction.prepared()
    with_plate = [r.id for r, plate in zip(prepared.scenes.records, prepared.has_plate, strict=True) if plate]
    scene = min(with_plate, key=lambda name: np.abs(_box_share(reproduction, name) - 0.25))
    box = prepared.scenes[scene].box
    table = pd.DataFrame([(scene, *box)], columns=["scene", "x0", "y0", "x1", "y1"])
    note = f"Scene {scene}, chosen because its box covers closest to a quarter of the image."
    images, titles = tiling_steps(prepared, scene)
    return Product(table, plot_images(images, titles), notes=(note,))


def make_figure_30(reproduction: Reproduction) -> Product:
    """Plot images that their own background makes incorrect, above the same objects on a random background."""
    model = reproduction.main_model()
    predictions = reproduction.predictions([model], _FOOLED_BY)
    marked = scene_categories(predictions, by=["model"])
    strict = set(marked.loc[marked["strict"], "scene"])
    table = categories(predictions, by=["model"])
    table = table.loc[table["category"].isin(["bg_fools", STRICT_FOOLS])].reset_index(drop=True)
    order = [s for s in shuffled_scenes(reproduction, model, _FOOLED_BY, key="fooled") if s in strict][:5]
    figure = _fooled(reproduction, model, predictions, order) if order else None
    note = f"Scenes: {', '.join(order)}." if order else "No scene of this set is in this category, so none is drawn."
    return Product(table, figure, notes=(note,), models=(reproduction.label(model),))


def _fooled(reproduction: Reproduction, model: str, predictions: pd.DataFrame, scenes: list[str]) -> Axes:
    """Plot two rows: Original with its incorrect prediction, Mixed-Rand with the correct one."""
    predicted = [predicted_classes(reproduction, predictions, scene) for scene in scenes]
    size, rows = reproduction.size_of(model), ("original", "mixed_rand")
    return plot_images(
        [reproduction.dataset(v, size)[scene].numpy() for v in rows for scene in scenes],
        [display_name(v) for v in rows for _ in scenes],
        labels=[classes["truth"] for _ in rows for classes in predicted],
        predictions=[classes[v] for v in rows for classes in predicted],
        columns=len(scenes),
    )


def _maps(reproduction: Reproduction, uri: str, images: torch.Tensor) -> np.ndarray:
    """Compute a network's saliency maps for its predicted classes, at image resolution (``n h w``)."""
    classifier = reproduction.classifier(uri)
    parts = []
    for batch in images.split(_SALIENCY_BATCH):
        seen, transform = classifier.see(batch), classifier.spec.prepared_transform
        maps = saliency_maps(classifier, seen, method=_SALIENCY_METHOD, seed=reproduction.settings.seed)
        height, width = batch.shape[-2:]
        parts.append((upsample(maps, height, width) if transform is None else transform.uncrop(maps, height)).cpu())
    return torch.cat(parts).numpy().astype(np.float64)


def _box_share(reproduction: Reproduction, scene: str) -> float:
    prepared = reproduction.prepared()
    x0, y0, x1, y1 = prepared.boxes[prepared.scenes.positions[scene]].tolist()
    return (x1 - x0) * (y1 - y0) / prepared.size**2


_SINGLE = tuple(name for name in IN9_NAMES if name != "insect")
_EIGHT_VARIANTS = (Work("predict", trained_on("in9l"), _ORDER),)

ARTEFACTS = (
    Artefact(
        "nos-figure-1", "One image in eight variants", "Figure 1",
        "An image of an insect in all variants, each with the prediction of a network trained on IN-9L or, without "
        "one, of the first pre-trained model.",
        functools.partial(make_variants, "insect"), (requirements.scene_of("insect"),), work=_EIGHT_VARIANTS,
    ),
    Artefact(
        "nos-figure-6", "Where networks look", "Figure 6",
        "Saliency maps of the networks trained on Original and on Mixed-Rand for two images, and the share of "
        f"saliency on the object, averaged over up to {_SALIENCY_SCENES} images, which quantifies the claim.",
        make_figure_6, (requirements.scenes(), requirements.trained("original", "mixed_rand")),
        work=(Work("saliency", trained_on("original", "mixed_rand"), ("original",), images=_SALIENCY_SCENES),),
    ),
    Artefact(
        "nos-figure-9", "How Only-BG-T is made", "Figure 9",
        "The object's bounding box, the largest background strip outside it, the strip tiled over the image, and the "
        "tiles pasted into the box.",
        make_figure_9, (requirements.scenes(),),
    ),
    *(
        Artefact(
            f"nos-figure-{number}", f"One image in eight variants: {name}", f"Figure {number}",
            f"As Figure 1, with an image of the class {name}.",
            functools.partial(make_variants, name), (requirements.scene_of(name),), work=_EIGHT_VARIANTS,
        )
        for number, name in enumerate(_SINGLE, start=14)
    ),
    Artefact(
        "nos-figure-30", "Images fooled by their own background", "Figure 30",
        "Images that are classified incorrectly, as the same class as their background alone, but correctly on a "
        "random background; and the share of such images.",
        make_figure_30, (requirements.scenes(),), work=(Work("predict", trained_on("in9l"), _FOOLED_BY),),
    ),
)  # fmt: skip
