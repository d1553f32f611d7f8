"""Exports of an explorer's state: a figure, a table, and the code that reproduces it."""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path, PurePath
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from bglab.figures import ShownFigure, color_of, save, theme
from bglab.labels import OUTSIDE
from bglab.models import ModelSpec
from bglab.names import python_literal
from bglab.saliency import upsample
from bglab.variants import VARIANTS
from bglab.widgets.display_space import DisplaySpace
from bglab.widgets.inspection import Prediction, Saliency
from bglab.widgets.messages import COLOUR_MAP
from bglab.widgets.session import Session
from bglab.widgets.state import State

#: Held while a figure is drawn: matplotlib's settings are global to the process.
DRAWING = threading.Lock()
_OVERLAY = 0.55
#: Longest line of code, in characters.
_CODE_WIDTH = 100


def table(session: Session, state: State) -> pd.DataFrame:
    """Tabulate every number that an explorer shows.

    Returns:
        One row per model and class, with the columns ``model, scene, background, space`` (``in9`` or the scenes' own
        label space; ``native`` for the most probable of the classifier's own classes if these are others),
        ``class, probability, original`` (probability for the photograph), ``is_true, is_background, prediction,
        right`` (whether the prediction is correct), ``captured`` (whether it is the background's class),
        ``share_on_object`` and the state's other settings.
    """
    rows: list[dict[str, Any]] = []
    display = session.display
    inspections, originals = session.inspector.inspect(state), session.inspector.inspect_original(state.scene)
    for inspection, original in zip(inspections, originals, strict=True):
        now, before = inspection.prediction, original.prediction
        shared = {
            "model": inspection.model,
            "scene": state.scene,
            "background": state.background,
            "prediction": now.name,
            "right": now.correct,
            "captured": now.captured,
            "share_on_object": inspection.saliency.share,
        }
        if now.by_class is not None and before.by_class is not None:
            names = [*display.names, display.rest] if display.is_nine else display.names
            for label, name in enumerate(names):
                rows.append(
                    shared
                    | {"space": display.space, "class": name}
                    | {"probability": now.by_class[label], "original": before.by_class[label]}
                    | {"is_true": label == now.true_label, "is_background": label == now.donor_label}
                )
            if not display.is_nine:  # its own classes are those above
                continue
        for index, name, probability in now.top:
            rows.append(
                shared
                | {"space": "native", "class": name, "probability": probability}
                | {"original": before.probabilities[index]}
            )
    columns = ["model", "scene", "background", "space", "class", "probability", "original", "is_true", "is_background"]
    columns += ["prediction", "right", "captured", "share_on_object"]
    return pd.DataFrame(rows, columns=columns).assign(**state.adjustment._asdict())


def draw(session: Session, state: State, venue: str = "notebook") -> ShownFigure:
    """Draw photograph, composed image, saliency and class probabilities before and after, one row per classifier.

    Args:
        session: Images and classifiers.
        state: State to draw.
        venue: Venue whose column width and fonts to use.

    Raises:
        UnknownName: If there is no such venue.
    """
    inspections, originals = session.inspector.inspect(state), session.inspector.inspect_original(state.scene)
    photograph, image = (session.renderer.image(shown).numpy() for shown in (State(state.scene), state))
    with DRAWING, theme(venue):
        width = matplotlib.rcParams["figure.figsize"][0]
        narrow = width < 5  # one column of a two-column paper: the bars go below the images
        height = len(inspections) * (0.95 * width if narrow else 0.27 * width)
        figure = ShownFigure(figsize=(width, height), layout="constrained")
        layout = [["photograph", "image", "saliency"], ["bars"] * 3] if narrow else None
        parts = figure.subfigures(len(inspections), 1, squeeze=False)[:, 0]
        classifiers = session.inspector.classifiers
        for part, classifier, inspection, original in zip(parts, classifiers, inspections, originals, strict=True):
            axes = part.subplot_mosaic(
                layout or [["photograph", "image", "saliency", "bars"]],
                width_ratios=None if narrow else [1, 1, 1, 1.25],
                height_ratios=[1, 1.6] if narrow else None,
            )
            _show(axes["photograph"], photograph, "Photograph")
            now, before = inspection.prediction, original.prediction
            _show(axes["image"], image, _prediction(now))
            _show_saliency(axes["saliency"], image, inspection.saliency)
            _draw_bars(axes["bars"], session.display, now, before)
            if len(inspections) > 1:
                part.suptitle(public_id(classifier.spec), fontsize="small")
    return figure


def figure_bytes(session: Session, state: State, venue: str, kind: str) -> bytes:
    """Return the bytes of a PDF, SVG or PNG file that shows the state."""
    figure = draw(session, state, venue)
    with tempfile.TemporaryDirectory() as folder, DRAWING:
        return save(figure, Path(folder) / f"figure.{kind}").read_bytes()


def code(session: Session, state: State) -> str:
    """Write the cell that reproduces a state.

    Uploads and networks that were passed as objects cannot be written as code, so the cell says where it expects them.
    """
    images = session.images
    made, loaded = _classifiers(session)
    lines = ["import bglab", "", *made, f"scenes = bglab.open_scenes({_literal(images.scenes.uri)})"]
    arguments = ["scenes", loaded[0] if len(loaded) == 1 else f"[{', '.join(loaded)}]"]
    arguments += [] if images.size == 224 else [f"size={images.size}"]
    arguments += [] if session.seed == 0 else [f"seed={session.seed}"]
    settings = state.changed
    is_upload = state.scene in images.uploads
    if state.background.startswith("image:"):
        lines.append(f"# the background {state.background!r} was uploaded: upload its file again in the widget")
        settings.pop("background")
    if is_upload:
        settings.pop("scene")
    else:
        arguments += [f"{name}={_literal(value)}" for name, value in settings.items()]
    one_line = f"explorer = bglab.explore({', '.join(arguments)})"
    wrapped = ["explorer = bglab.explore(", *(f"    {argument}," for argument in arguments), ")"]
    lines += [one_line] if len(one_line) <= _CODE_WIDTH else wrapped
    if is_upload:
        name, label = f"{_stem(state.scene)}-cutout.png", images.label(state.scene)
        labelled = "" if label == OUTSIDE else f", label={_literal(session.display.name(label))}"
        lines.append(f'explorer.add_image("{name}"{labelled})  # the file that the button "Cut-out" saves')
        written = ", ".join(f"{_literal(name)}: {_literal(value)}" for name, value in settings.items())
        lines.append(f"explorer.state = {{{written}}}")
    return "\n".join([*lines, "explorer"])


def _classifiers(session: Session) -> tuple[list[str], list[str]]:
    """Write the lines that a cell needs for its classifiers, and an expression for each of them."""
    specs = [classifier.spec for classifier in session.inspector.classifiers]
    own = [spec for spec in specs if spec.source == "own"]
    names = iter(["classifier"] if len(own) == 1 else [f"classifier_{i}" for i in range(1, len(own) + 1)])
    lines, expressions = [], []
    for spec in specs:
        if spec.source == "own":
            expressions.append(next(names))
            called = f"…, name={_literal(spec.name)}"
            lines.append(f"{expressions[-1]} = ...  # the network made by bglab.classifier({called})")
        else:
            protocol = "" if spec.protocol == "as-is" else f", protocol={_literal(spec.protocol)}"
            expressions.append(f"bglab.load_classifier({_literal(spec.id)}{protocol})")
    return lines, expressions


def caption(session: Session, state: dict[str, Any]) -> str:
    """Describe a state in one line."""
    label = session.display.name(session.images.label(state["scene"]))
    return f"{state['scene']} ({label}) on background {state['background']}, mix {100 * state['mix']:.0f} %"


def summary(session: Session, state: State) -> str:
    """Describe what is shown and which classifiers see it.

    Example:
        ``white_ibis on the background of motorcycle, lite:efficientnet_lite0``
    """
    models = [classifier.spec.id for classifier in session.inspector.classifiers]
    return ", ".join([f"{state.scene} {in_words(state.background)}", *models])


def public_id(spec: ModelSpec) -> str:
    """Return a model's URI; that of a checkpoint with the name of its file alone, since readers have other folders."""
    return f"file:{PurePath(spec.name).name}" if spec.source == "file" else spec.id


def in_words(background: str) -> str:
    """Describe a background, such as ``scene:motorcycle``, in words that follow the name of what stands on it."""
    kind, _, rest = background.partition(":")
    return {
        "own": "as photographed",
        "scene": f"on the background of {rest}",
        "variant": f"as {VARIANTS[rest].title}" if kind == "variant" else "",
        "colour": f"on the colour {rest}",
        "texture": f"on a {rest} texture",
        "noise": f"on {rest} noise",
        "image": f"on the picture {rest}",
    }[kind]


def file_stem(session: Session, state: State) -> str:
    """Return a file name, without its suffix, for what a state shows."""
    session.images.check(state.scene)
    return f"{_stem(state.scene)}-{_stem(state.background)}"


def _literal(value: object) -> str:
    """Write a value as Python code, with double quotes around text."""
    return python_literal(value) if isinstance(value, str) else repr(value)


def _stem(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")


def _prediction(prediction: Prediction) -> str:
    """Return the predicted class, with a tick or cross where the true class is known."""
    mark = {True: "✓ ", False: "✗ ", None: ""}[prediction.correct]
    return f"{mark}{prediction.name}"


def _show(ax: Axes, image: np.ndarray, title: str) -> None:
    ax.imshow(image.transpose(1, 2, 0), interpolation="lanczos")
    ax.set_title(title, fontsize="small")
    ax.set_axis_off()


def _show_saliency(ax: Axes, image: np.ndarray, saliency: Saliency) -> None:
    """Overlay the map, scaled to its own maximum, on the image."""
    title = "No saliency map" if saliency.values is None else "Grad-CAM"
    if not np.isnan(saliency.share):
        title += f", {100 * saliency.share:.0f} % on object"
    _show(ax, image, title)
    if saliency.values is not None:
        large = upsample(torch.from_numpy(saliency.values)[None], *image.shape[-2:])[0].numpy()
        level = large / max(float(large.max()), 1e-12)
        ax.imshow(level, cmap=COLOUR_MAP, alpha=_OVERLAY * np.sqrt(level), vmin=0, vmax=1)


def _draw_bars(ax: Axes, display: DisplaySpace, now: Prediction, before: Prediction) -> None:
    """Draw the probabilities of the rows of the display, or of the top native ones, with the photograph's as lines."""
    rows, true_row = [(name, p, float(before.probabilities[i]), "#999999") for i, name, p in now.top], None
    if now.by_class is not None and before.by_class is not None:
        chosen = display.rows(now.by_class, before.by_class, now.true_label, now.donor_label)
        colours = ["#999999" if row.label == OUTSIDE else color_of(row.name) for row in chosen]
        rows = [(row.name, row.now, row.before, colour) for row, colour in zip(chosen, colours, strict=True)]
        true_row = next((i for i, row in enumerate(chosen) if row.label == now.true_label != OUTSIDE), None)
    names, current, earlier, colours = zip(*rows, strict=True)
    places = np.arange(len(names))
    ax.barh(places, current, color=colours)
    ax.vlines(earlier, places - 0.4, places + 0.4, color="black", linewidth=1.2, label="photograph")
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "50", "100 %"], yticks=places, yticklabels=names)
    ax.invert_yaxis()
    ax.tick_params(labelsize="small", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if true_row is not None:
        ax.get_yticklabels()[true_row].set_fontweight("bold")
    ax.set_title("Probability (line: photograph)", fontsize="small", loc="left")
