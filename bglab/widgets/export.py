"""What is kept of an explorer's state: a figure, a table, the code that shows it again."""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from bglab.figures import ShownFigure, color_of, save, theme
from bglab.labels import OUTSIDE
from bglab.saliency import upsample
from bglab.widgets.messages import COLOUR_MAP, outside_or
from bglab.widgets.session import NINE_NAMES, Seen, Session
from bglab.widgets.state import State

# matplotlib's settings belong to the whole process
_DRAWING = threading.Lock()
_OVERLAY = 0.55


def table(session: Session, state: State) -> pd.DataFrame:
    """Give every number that an explorer shows.

    Returns:
        One row a model and class: ``model, scene, background, space`` (``in9`` or ``native``), ``class,
        probability, original`` (that of the photograph), ``is_true, is_background, prediction, right, captured,
        share_on_object`` and the state's other settings.
    """
    rows: list[dict[str, Any]] = []
    donor = session.layers(state.scene, state.background).donor_label
    truth = session.label(state.scene)
    for seen, before in zip(session.look(state), session.original(state.scene), strict=True):
        shared = {
            "model": seen.model,
            "scene": state.scene,
            "background": state.background,
            "prediction": seen.top[0][1] if seen.nine is None else NINE_NAMES[seen.prediction],
            "right": seen.right,
            "captured": seen.captured,
            "share_on_object": seen.share,
        }
        if seen.nine is not None and before.nine is not None:
            for label, name in enumerate(NINE_NAMES):
                rows.append(
                    shared
                    | {"space": "in9", "class": name, "probability": seen.nine[label], "original": before.nine[label]}
                    | {"is_true": label == truth, "is_background": label == donor}
                )
        for number, name, share in seen.top:
            rows.append(
                shared
                | {"space": "native", "class": name, "probability": share, "original": before.probabilities[number]}
            )
    columns = ["model", "scene", "background", "space", "class", "probability", "original", "is_true", "is_background"]
    columns += ["prediction", "right", "captured", "share_on_object"]
    return pd.DataFrame(rows, columns=columns).assign(**state.adjustment._asdict())


def draw(session: Session, state: State, venue: str = "notebook") -> ShownFigure:
    """Draw photograph, composed image, saliency and the nine classes before and after, one row a classifier.

    Args:
        session: What is explored.
        state: What is shown.
        venue: Whose column width and fonts to use.

    Raises:
        UnknownName: If there is no such venue.
    """
    answers, original = session.look(state), session.original(state.scene)
    photograph, image = session.image(State(state.scene)).numpy(), session.image(state).numpy()
    with _DRAWING, theme(venue):
        width = matplotlib.rcParams["figure.figsize"][0]
        narrow = width < 5  # one column of a two-column paper: the bars go below the images
        height = len(answers) * (0.95 * width if narrow else 0.27 * width)
        figure = ShownFigure(figsize=(width, height), layout="constrained")
        layout = [["photograph", "image", "saliency"], ["bars"] * 3] if narrow else None
        parts = figure.subfigures(len(answers), 1, squeeze=False)[:, 0]
        for part, seen, before in zip(parts, answers, original, strict=True):
            axes = part.subplot_mosaic(
                layout or [["photograph", "image", "saliency", "bars"]],
                width_ratios=None if narrow else [1, 1, 1, 1.25],
                height_ratios=[1, 1.6] if narrow else None,
            )
            _show(axes["photograph"], photograph, "Photograph")
            _show(axes["image"], image, _said(seen))
            _show_saliency(axes["saliency"], image, seen)
            _draw_bars(axes["bars"], seen, before, session.label(state.scene))
            if len(answers) > 1:
                part.suptitle(seen.model, fontsize="small")
    return figure


def figure_bytes(session: Session, state: State, venue: str, kind: str) -> bytes:
    """Draw the state for a venue as the content of a PDF, SVG or PNG file."""
    figure = draw(session, state, venue)
    with tempfile.TemporaryDirectory() as folder, _DRAWING:
        return save(figure, Path(folder) / f"figure.{kind}").read_bytes()


def code(session: Session, state: State) -> str:
    """Write the cell that shows a state again.

    Images of one's own cannot be written as code: the cell says where it expects their file.
    """
    uri = session.prepared.scenes.uri
    loaded = [f'bglab.load_classifier("{c.spec.id}")' for c in session.classifiers]
    classifier = loaded[0] if len(loaded) == 1 else f"[{', '.join(loaded)}]"
    lines = ["import bglab", "", f'scenes = bglab.open_scenes("{uri}")']
    settings = state.changed
    given = "" if session.size == 224 else f", size={session.size}"
    given += "" if session.seed == 0 else f", seed={session.seed}"
    own = session.own[state.scene] if state.scene in session.own else None  # noqa: SIM401 - no dict
    if state.background.startswith("image:"):
        lines.append(f"# the background {state.background!r} was opened by hand: open its file again in the widget")
        settings.pop("background")
    if own is not None:
        settings.pop("scene")
    written = "".join(f", {name}={value!r}" for name, value in settings.items() if own is None)
    lines.append(f"explorer = bglab.explore(scenes, {classifier}{given}{written})")
    if own is not None:
        name = f"{_stem(state.scene)}-cutout.png"
        label = "" if own.label == OUTSIDE else f', label="{NINE_NAMES[own.label]}"'
        lines.append(f'explorer.add_image("{name}"{label})  # the file that "Cut-out" keeps')
        lines.append(f"explorer.state = {settings!r}")
    return "\n".join([*lines, "explorer"])


def caption(session: Session, state: dict[str, Any]) -> str:
    """Say in one line what a state shows."""
    label = outside_or(session.label(state["scene"]))
    return f"{state['scene']} ({label}) on background {state['background']}, mix {100 * state['mix']:.0f} %"


def file_stem(session: Session, state: State) -> str:
    """Name a file after what it shows."""
    session.check_scene(state.scene)
    return f"{_stem(state.scene)}-{_stem(state.background)}"


def _stem(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")


def _said(seen: Seen) -> str:
    name = seen.top[0][1] if seen.nine is None else NINE_NAMES[seen.prediction]
    mark = {True: "✓ ", False: "✗ ", None: ""}[seen.right]
    return f"{mark}{name}"


def _show(ax: Axes, image: np.ndarray, title: str) -> None:
    ax.imshow(image.transpose(1, 2, 0), interpolation="lanczos")
    ax.set_title(title, fontsize="small")
    ax.set_axis_off()


def _show_saliency(ax: Axes, image: np.ndarray, seen: Seen) -> None:
    """Lay the map over the image; it is scaled to its own maximum."""
    title = "No saliency" if seen.saliency is None else "Grad-CAM"
    if not np.isnan(seen.share):
        title += f", {100 * seen.share:.0f} % on object"
    _show(ax, image, title)
    if seen.saliency is not None:
        large = upsample(torch.from_numpy(seen.saliency)[None], *image.shape[-2:])[0].numpy()
        level = large / max(float(large.max()), 1e-12)
        ax.imshow(level, cmap=COLOUR_MAP, alpha=_OVERLAY * np.sqrt(level), vmin=0, vmax=1)


def _draw_bars(ax: Axes, seen: Seen, before: Seen, truth: int) -> None:
    """Draw the nine probabilities with the photograph's as lines; own classes where there are no nine."""
    if seen.nine is None or before.nine is None:
        names = [name for _, name, _ in seen.top]
        now = [share for _, _, share in seen.top]
        earlier = [float(before.probabilities[number]) for number, _, _ in seen.top]
        colours = ["#999999"] * len(names)
    else:
        names, now, earlier = list(NINE_NAMES), seen.nine.tolist(), before.nine.tolist()
        colours = [*map(color_of, NINE_NAMES[:9]), "#999999"]
    places = np.arange(len(names))
    ax.barh(places, now, color=colours)
    ax.vlines(earlier, places - 0.4, places + 0.4, color="black", linewidth=1.2, label="photograph")
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "50", "100 %"], yticks=places, yticklabels=names)
    ax.invert_yaxis()
    ax.tick_params(labelsize="small", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if truth != OUTSIDE and seen.nine is not None:
        ax.get_yticklabels()[truth].set_fontweight("bold")
    ax.set_title("Probability (line: photograph)", fontsize="small", loc="left")
